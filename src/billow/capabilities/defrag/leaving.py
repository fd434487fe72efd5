# SPDX-License-Identifier: Apache-2.0
"""Every way in which residents can leave a place: few per place, so all of them are written down.

What is written down can be priced with one matrix product. Where that would be too many, a place
with many residents gets one row that promises too much instead: everything leaves for the price of
one more. It serves the bound alone, and is never part of a plan.
"""

from dataclasses import dataclass

import numpy as np

from billow.model.resources import BoolArray, IntArray

MOST_ROWS = 300_000
"""Most rows that are written down; where there would be more, fewer may leave a place at once."""


@dataclass(frozen=True)
class Leavings:
    """Rows of departures, place type by place type; the first of each type is "nobody".

    Attributes:
        owner: The type that a row belongs to, ascending, `(rows,)`.
        start: Where the rows of each type begin, `(types + 1,)`.
        gone: Departures by class, `(rows, classes)`.
        moves: How many leave, `(rows,)`.
        freed: CPU and memory, `(rows, 2)`, units.
        real: Whether it can be done; false for rows of the bound alone, `(rows,) bool`.
    """

    owner: IntArray
    start: IntArray
    gone: IntArray
    moves: IntArray
    freed: IntArray
    real: BoolArray

    def __len__(self) -> int:
        return len(self.owner)


def leavings(residents: IntArray, size: IntArray) -> Leavings:
    """Return all departures of every type of residents.

    Args:
        residents: Instances by class, `(types, classes)`.
        size: Units that each class takes, `(classes, 2)`.
    """
    most = int(residents.sum(axis=1).max(initial=1))
    while most > 1 and _rows(residents, most) > MOST_ROWS:
        most = min(most - 1, 3 * most // 4 + 1) if most > 4 else most - 1
    known: dict[bytes, tuple[IntArray, IntArray]] = {}
    blocks: list[tuple[IntArray, IntArray]] = []
    for line in residents:
        key = line.tobytes()
        if key not in known:
            known[key] = _ways(line, most)
        blocks.append(known[key])
    count = np.array([len(block[0]) for block in blocks], dtype=np.int64)
    classes = residents.shape[1]
    gone = np.concatenate([block[0] for block in blocks] or [np.zeros((0, classes), np.int64)])
    spare = np.concatenate([block[1] for block in blocks] or [np.zeros(0, np.int64)])
    real = spare == 0
    freed = gone @ size
    moves = np.where(real, gone.sum(axis=1), most + 1)
    return Leavings(
        np.repeat(np.arange(len(residents)), count),
        np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        gone,
        moves.astype(np.int64),
        freed.astype(np.int64),
        real,
    )


def _rows(residents: IntArray, most: int) -> int:
    """Return about how many rows there would be."""
    ways = np.zeros((len(residents), most + 1))
    ways[:, 0] = 1.0
    for column in residents.T:
        fresh = ways.copy()
        for leaving in range(1, most + 1):
            fresh[:, leaving:] += np.where(
                column[:, None] >= leaving, ways[:, : most + 1 - leaving], 0.0
            )
        ways = fresh
    return int(ways.sum())


def _ways(line: IntArray, most: int) -> tuple[IntArray, IntArray]:
    """Return departures of one place, fewest first, and which rows are for the bound alone."""
    classes = np.flatnonzero(line)
    rows: list[tuple[int, ...]] = [()]
    for number in line[classes].tolist():
        rows = [
            (*row, leaving) for row in rows for leaving in range(min(number, most - sum(row)) + 1)
        ]
    rows.sort(key=sum)
    ways = np.zeros((len(rows), len(line)), dtype=np.int64)
    ways[:, classes] = np.array(rows, dtype=np.int64).reshape(len(rows), len(classes))
    spare = np.zeros(len(rows), dtype=np.int64)
    if int(line.sum()) > most:
        ways, spare = np.concatenate([ways, line[None]]), np.append(spare, 1)
    return ways, spare
