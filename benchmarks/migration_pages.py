# SPDX-License-Identifier: Apache-2.0
"""Check a guest's memory after a move, page by page.

A writer puts its running count into the second word of each page, one page after the other
(`payload.S`). So each page must hold the one newest count that belongs to it; every other word of
every region must be what it was before the move, or what a writer of whole pages makes of it.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from billow.engines.qemu.monitor import Monitor, talk
from billow.firmware.control import ADDRESS, FACTOR, PAGE, WORDS, Orders, Role, decode

Words = NDArray[np.uint64]
_PAGE_WORDS = PAGE // 8
_COUNT = 1


async def dump(line: Path, orders: Sequence[Orders]) -> list[Words]:
    """Return what each vCPU's region holds, (pages, 512) words, as QEMU sees it."""
    async with talk(line) as monitor:
        return [await _region(monitor, each) for each in orders]


async def bad_pages(line: Path, orders: Sequence[Orders], before: Sequence[Words]) -> int:
    """Stop a guest, and return how many pages do not hold what they must."""
    async with talk(line) as monitor:
        await monitor.execute("stop")
        found = 0
        for cpu, each in enumerate(orders):
            words = await monitor.words(ADDRESS + cpu * PAGE, WORDS)
            now = await _region(monitor, each)
            found += wrong_pages(each, decode(words).work, before[cpu], now)
    return found


def wrong_pages(orders: Orders, work: int, before: Words, now: Words) -> int:
    """Return how many pages of one region are not as they must be."""
    same = now == before
    if orders.role is not Role.WRITER:
        return int((~same.all(axis=1)).sum())
    expected = newest_counts(now[:, _COUNT].astype(np.int64), work, orders.batch)
    as_expected = now[:, _COUNT] == expected.astype(np.uint64)
    same[:, _COUNT] = np.where(expected == 0, same[:, _COUNT], as_expected)
    if orders.whole:
        _told_whole(same, expected, now)
        _told_begun(same, expected, before, now)
    return int((~same.all(axis=1)).sum())


def _told_whole(same: NDArray[np.bool_], expected: NDArray[np.int64], now: Words) -> None:
    """Say of every word but the first two whether it holds what its page's count makes of it."""
    written = expected > 0
    same[written, _COUNT + 1 :] = now[written, _COUNT + 1 :] == _made(expected[written])


def _told_begun(
    same: NDArray[np.bool_], expected: NDArray[np.int64], before: Words, now: Words
) -> None:
    """Say the same of the page that was written when the guest was stopped: it may be half done.

    Its count comes first; then its words in order, so from one of them on they are the last pass's.
    """
    page = int(expected.argmax())
    newest, last = int(expected[page]), int(expected[page]) - len(expected)
    if newest <= 0:
        return
    old = _made(np.array([last]))[0] if last > 0 else before[page, _COUNT + 1 :]
    words = now[page, _COUNT + 1 :]
    done = int((words == _made(np.array([newest]))[0]).cumprod().sum())
    same[page, _COUNT + 1 :] = (np.arange(len(words)) < done) | (words == old)


def _made(counts: NDArray[np.int64]) -> Words:
    """Return what a writer of whole pages makes of their counts: all words but the first two."""
    words = np.arange(_COUNT + 1, _PAGE_WORDS, dtype=np.uint64)
    return (counts.astype(np.uint64)[:, None] + words[None, :]) * np.uint64(FACTOR)


def newest_counts(counts: NDArray[np.int64], work: int, batch: int) -> NDArray[np.int64]:
    """Return what each page must hold; 0 for a page that was never written, -1 when all are wrong.

    Args:
        counts: (pages,) counts as found.
        work: Units that the writer says it has done; it says so after each batch.
        batch: Units that may be done and not said yet.
    """
    pages = len(counts)
    place = np.arange(pages)
    for newest in range(work + (batch or 64), work - 1, -1):
        if newest > 0 and counts[(newest - 1) % pages] == newest:
            return np.maximum(newest - (newest - 1 - place) % pages, 0)
    return np.full(pages, -1)


async def _region(monitor: Monitor, orders: Orders) -> Words:
    with tempfile.TemporaryDirectory(prefix="billow-pages-") as folder:
        file = Path(folder) / "memory"
        size = orders.pages * PAGE
        where = {"val": orders.base, "size": size, "filename": str(file)}
        await monitor.execute("pmemsave", where)
        return np.fromfile(file, dtype=np.uint64).reshape(-1, _PAGE_WORDS)
