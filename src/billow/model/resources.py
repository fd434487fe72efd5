# SPDX-License-Identifier: Apache-2.0
"""The resources that a host has and an instance takes: one fixed axis for every array.

Why an axis and not fields: filters, drafts and solvers work on `(hosts, nodes, RESOURCES)` arrays,
and an axis that never changes lets them say `array[..., CPU]`. Huge pages are a memory of their
own: an instance with huge pages takes `huge_mib` and no `memory_mib`.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

CPU: Final = 0
"""Thousandths of a CPU (one hardware thread, or one virtual CPU at an allocation ratio of 1)."""
MEMORY: Final = 1
"""MiB of ordinary memory."""
HUGE: Final = 2
"""MiB of memory set aside as huge pages."""
GPU: Final = 3
"""Whole GPUs."""

RESOURCES: Final = ("cpu_milli", "memory_mib", "huge_mib", "gpus")
LARGEST: Final = 2**40
"""Upper bound of any single amount: sums over a million rows stay exact in int64."""

IntArray: TypeAlias = npt.NDArray[np.int64]
RowArray: TypeAlias = npt.NDArray[np.int32]
MaskArray: TypeAlias = npt.NDArray[np.uint32]
CodeArray: TypeAlias = npt.NDArray[np.uint8]
FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
