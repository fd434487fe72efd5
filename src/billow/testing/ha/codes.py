# SPDX-License-Identifier: Apache-2.0
"""A state of the boundless world as one number of 64 bits: each cell has its place in it.

The places above the cells are free for a mark that steps leave as it is.
"""

from itertools import accumulate
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from billow.testing.ha.world import HOSTS

Codes: TypeAlias = NDArray[np.uint64]

BODY: Final = {"on": 1, "age": 2, "cut": 1, "agent": 2, "clean": 1, "start": 2, "look": 6}
"""What of a host the next step of its incident depends on, and how many bits that takes."""
BODY_BITS: Final = sum(BODY.values())
_HOST: Final = BODY | {"lease": 2, "lag": 1, "quarantine": 1, "old_clean": 1}
_BITS: Final = {f"{name}{host}": bits for host in HOSTS for name, bits in _HOST.items()} | {
    "home": 2,
    "runs": 3,
    "old_start": 6,
}
CELLS: Final = tuple(_BITS)
"""What a state consists of."""
PLACE: Final = dict(zip(CELLS, accumulate(_BITS.values(), initial=0), strict=False))
MARKS: Final = sum(_BITS.values())
"""The place of the first free bit."""
MARK_BITS: Final = 63 - MARKS
_NEVER_0: Final = 1 << 63
ALL: Final = (1 << 64) - 1
"""Every bit."""


def cell(codes: Codes, name: str) -> Codes:
    """Return one cell of each state."""
    return (codes >> np.uint64(PLACE[name])) & np.uint64((1 << _BITS[name]) - 1)


def put(codes: Codes, **cells: object) -> Codes:
    """Return the states with some cells written: a number, or one for each state."""
    for name, value in cells.items():
        kept = codes & np.uint64(ALL & ~mask_of(name))
        codes = kept | (np.asarray(value).astype(np.uint64) << np.uint64(PLACE[name]))
    return codes


def mask_of(name: str) -> int:
    """Return the bits of a cell."""
    return ((1 << _BITS[name]) - 1) << PLACE[name]


def blank(count: int) -> Codes:
    """Return states of which every cell is 0; their codes are not."""
    return np.full(count, _NEVER_0, dtype=np.uint64)


def scattered(codes: Codes) -> Codes:
    """Return another number for each, so that like ones lie far apart; it can be undone."""
    mixed = codes * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    return mixed ^ (mixed >> np.uint64(29))
