# SPDX-License-Identifier: Apache-2.0
"""Look at a few pages of a guest: how well they compress, what changes in them. Changes nothing.

Only pages that are there are read, and those that hold nothing but zeros are left out: they cost
next to nothing however they are sent. It takes some milliseconds; the guest does not notice.
"""

import contextlib
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

PAGES: Final = 64
LEAST: Final = 8
"""Fewer pages tell nothing."""
LEAST_WRITTEN: Final = 4
"""Fewer pages that were written meanwhile tell nothing."""
_LOOKED_AT: Final = 2048
"""Places at which a page may be, evenly spread."""
_TURNS: Final = 32
_PAGE: Final = 4096
_PRESENT: Final = 1 << 63
_ENTRY: Final = 8
_RANGE: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw", re.MULTILINE)
_EMPTY: Final = bytes(_PAGE)
_RUN: Final = 3
"""Bytes that say where a run of changed bytes begins and how long it is, about."""


def shrinks_to(process: int, memory_mib: int) -> float:
    """Return the size of a guest's compressed memory over its size.

    NaN when it has written too little, or when its process does not let us look.
    """
    pages = b""
    with contextlib.suppress(OSError):
        pages = b"".join(_pages(process, memory_mib * 2**20))
    if len(pages) < LEAST * _PAGE:
        return math.nan
    return min(1.0, len(zlib.compress(pages, 1)) / len(pages))


def pages_of(process: int, memory_mib: int) -> dict[int, bytes]:
    """Return pages all over a guest that hold something, by their place; none if that is hidden."""
    with contextlib.suppress(OSError):
        return dict(_found(process, memory_mib * 2**20))
    return {}


def changes(before: Mapping[int, bytes], now: Mapping[int, bytes]) -> float:
    """Return the size of what changed in pages that were written, over their size.

    NaN when too few of them were written between the two looks.
    """
    written = [(old, now[place]) for place, old in before.items() if now.get(place, old) != old]
    if len(written) < LEAST_WRITTEN:
        return math.nan
    return float(np.mean([_delta(*each) for each in written])) / _PAGE


def _delta(old: bytes, new: bytes) -> int:
    """Return how many bytes tell what changed: each run with its length and what it leaps over."""
    differs = np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8)
    runs = np.count_nonzero(differs[1:] & ~differs[:-1]) + int(differs[0])
    return min(_PAGE, int(np.count_nonzero(differs)) + _RUN * int(runs))


def _pages(process: int, size: int) -> Iterator[bytes]:
    """Yield pages that hold something, at most so many, spread over the guest. Raises OSError."""
    yield from islice((page for _, page in _found(process, size)), PAGES)


def _found(process: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield pages that hold something, and where they are. Raises OSError."""
    begin = _begin(process, size)
    if begin is None:
        return
    folder = Path("/proc") / str(process)
    with (folder / "pagemap").open("rb") as entries, (folder / "mem").open("rb") as memory:
        there = (place for place in _places(size) if _is_there(entries.fileno(), begin + place))
        found = ((place, os.pread(memory.fileno(), _PAGE, begin + place)) for place in there)
        yield from ((place, page) for place, page in found if page != _EMPTY)


def _places(size: int) -> Iterator[int]:
    """Yield places all over the guest, each of `_TURNS` turns a little beside the one before."""
    step = max(_PAGE, size // _LOOKED_AT // _PAGE * _PAGE)
    for turn in range(_TURNS):
        yield from range(turn * step, size, _TURNS * step)


def _is_there(entries: int, address: int) -> bool:
    entry = os.pread(entries, _ENTRY, address // _PAGE * _ENTRY)
    return bool(int.from_bytes(entry, "little") & _PRESENT)


def _begin(process: int, size: int) -> int | None:
    """Return where a guest's memory begins in its process: the mapping that is as large."""
    text = (Path("/proc") / str(process) / "maps").read_text()
    for begin, end in _RANGE.findall(text):
        if int(end, 16) - int(begin, 16) == size:
            return int(begin, 16)
    return None
