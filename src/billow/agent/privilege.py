# SPDX-License-Identifier: Apache-2.0
"""Keep the beats going on a host that is short of memory and CPU, where the kernel allows it."""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_CURRENT, _FUTURE, _ON_FAULT = 1, 2, 4  # MCL_*, linux/mman.h
_PDEATHSIG: Final = 1  # PR_SET_PDEATHSIG, linux/prctl.h
PRIORITY: Final = 10
"""Above every ordinary process, below the kernel's own threads."""


def taken() -> Iterator[str]:
    """Take what the kernel allows; yield a sentence for each thing that it does not."""
    if not _locked():
        yield "its memory may be swapped out: mlockall is not allowed (CAP_IPC_LOCK)"
    try:
        priority = os.sched_param(PRIORITY)
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, priority)
    except OSError:
        yield "it waits for the CPU like anybody: SCHED_FIFO is not allowed (CAP_SYS_NICE)"
    try:
        Path("/proc/self/oom_score_adj").write_text("-1000", encoding="ascii")
    except OSError:
        yield "it may be ended when memory is short: oom_score_adj cannot be lowered"


def _locked() -> bool:
    """Lock what is touched, and only that: the stacks of threads are much larger than used."""
    code: int = ctypes.CDLL(None).mlockall(_CURRENT | _FUTURE | _ON_FAULT)
    return code == 0


def ends_with_parent() -> None:
    """Have the kernel end this process when its parent ends."""
    with suppress(OSError):
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
