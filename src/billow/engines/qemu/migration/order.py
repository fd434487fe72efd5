# SPDX-License-Identifier: Apache-2.0
"""What is to be moved, from where to where, and how."""

from dataclasses import dataclass
from typing import Final

from billow.engines.qemu.machine import Accelerator, Firmware, Machine
from billow.model.kinds import MigrationPolicy

ARRIVED: Final = "arrived"
FETCHING: Final = "fetching"
WAITING: Final = "waiting for the network"
PAST_RECALL: Final = frozenset({ARRIVED, FETCHING, WAITING})
"""Phases in which a guest is on its new host already."""
WATCHES_ALL: Final = 9
"""The first QEMU that misses no write of a guest under TCG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A move.

    Attributes:
        number: Unique for ever.
        nodes: The NUMA nodes on the target.
        downtime_s: How long the guest may stand still.
    """

    number: str
    machine: Machine
    source: str
    target: str
    nodes: tuple[int, ...] = ()
    policy: MigrationPolicy = MigrationPolicy.BALANCED
    downtime_s: float = 0.3

    @property
    def ends(self) -> tuple[str, str]:
        """Where from and where to."""
        return self.source, self.target


def sleeps(machine: Machine, version: str) -> bool:
    """Return whether a guest must sleep while its memory is copied.

    Before 9.0, QEMU forgets under TCG to watch some pages again that it has sent; a guest that
    wrote to one of them arrives with old memory and hangs. The firmware guest checks its memory
    after a move and was never seen to suffer.
    """
    translated = machine.platform.accelerator is Accelerator.TCG
    major = version.partition(".")[0]
    old = not major.isdecimal() or int(major) < WATCHES_ALL
    return translated and old and not isinstance(machine.boot, Firmware)
