# SPDX-License-Identifier: Apache-2.0
"""The firmware guest's control pages, one per vCPU: orders go in, answers come out.

The layout is `payload.S`'s; nothing else in Billow knows it.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from billow.errors import Invalid

ADDRESS: Final = 0x10000
"""Guest-physical address of the first vCPU's page."""
PAGE: Final = 4096
MOST_PAGES: Final = 64
WORDS: Final = 14
"""Words of a page that are orders or answers."""
FIRST_FREE: Final = 0x100000
"""Regions start here at the earliest: below are the control pages and the ROM."""
_NATIVE_TICKS: Final = 8192 * 50
"""Above this, kernel-mode instructions were emulated one by one (about 5000 ticks each)."""


FACTOR: Final = 0x5851F42D4C957F2D
"""Word n of a page that is written as a whole holds its count and n, times this."""


class Role(IntEnum):
    """What a vCPU does."""

    IDLE = 0
    READER = 1
    WRITER = 2
    CALCULATOR = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What one vCPU shall do.

    Attributes:
        base: First byte of its region, a multiple of 4096.
        pages: 4 KiB pages of its region.
        period_ns: From one batch to the next; 0 without a pause.
        batch: Units per batch (pages, or calculations); 0 for 64.
        fill: Fill the region with pseudo-random words first.
        beat_ms: Between two lines on the serial line (vCPU 0 only).
        spin: Calculations after each written page.
        whole: Change every word of a page, not only its count: nothing of it is worth keeping.
    """

    role: Role = Role.IDLE
    base: int = FIRST_FREE
    pages: int = 0
    period_ns: int = 0
    batch: int = 0
    fill: bool = False
    beat_ms: int = 1000
    spin: int = 0
    whole: bool = False

    def __post_init__(self) -> None:
        if self.base % PAGE or self.base < FIRST_FREE or min(self.pages, self.period_ns) < 0:
            raise Invalid(
                f"a region of {self.pages} pages from {self.base:#x} is not possible",
                fix=f"start at a multiple of {PAGE} from {FIRST_FREE:#x} on",
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """What one vCPU says of itself.

    Attributes:
        work: Units done since boot.
        online: 0 not started, 1 in long mode, 2 at work.
        gap: Longest time between two batches, in ticks of its time-stamp counter.
        stamp: The time-stamp counter at its last batch.
        beats: Lines written on the serial line.
        privileged: Ticks that 8192 kernel-mode instructions took.
    """

    work: int
    online: int
    gap: int
    stamp: int
    beats: int
    privileged: int

    @property
    def runs_systems(self) -> bool:
        """Whether kernel-mode code is native here, so that an operating system can run."""
        return 0 < self.privileged < _NATIVE_TICKS


def encode(orders: Sequence[Orders], memory_mib: int) -> bytes:
    """Return the control pages of the first vCPUs.

    Raises:
        Invalid: a region reaches beyond the memory, or there are more orders than pages.
    """
    if len(orders) > MOST_PAGES:
        raise Invalid(f"orders for {len(orders)} vCPUs, but there are {MOST_PAGES} control pages")
    for each in orders:
        if each.base + each.pages * PAGE > memory_mib * 2**20:
            raise Invalid(f"a region ends beyond {memory_mib} MiB", fix="make it smaller")
    return b"".join(_page(each) for each in orders)


def _page(orders: Orders) -> bytes:
    words = (0, orders.role, orders.base, orders.pages, orders.period_ns, orders.batch)
    more = (0, 0, 0, int(orders.fill), 0, orders.beat_ms, orders.spin, 0)
    return struct.pack("<15Q", *words, *more, int(orders.whole)).ljust(PAGE, b"\0")


def decode(words: Sequence[int]) -> Answer:
    """Read the first `WORDS` words of a control page."""
    return Answer(
        work=words[0],
        online=words[6],
        gap=words[7],
        stamp=words[8],
        beats=words[10],
        privileged=words[13],
    )
