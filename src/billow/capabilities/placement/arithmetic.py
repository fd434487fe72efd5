# SPDX-License-Identifier: Apache-2.0
"""The few operations by which one formula serves all hosts at once and one host alone.

Scoring 10,000 hosts wants NumPy columns; scoring the one host that just changed wants plain
numbers, since a NumPy call costs more than the whole formula. The formulas (`judge.py`) are written
once, over `Column`, and take one of the two arithmetics below. Nothing here knows what a column
means.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np

from billow.model.resources import FloatArray

Column = TypeVar("Column", float, FloatArray)
"""One number per host: an array over hosts, or the number of a single host."""


class Arithmetic(Protocol[Column]):
    """What formulas need beyond `+ - * abs`."""

    def lowest(self, columns: Sequence[Column], /) -> Column:
        """Return the smallest of the columns, host by host."""

    def choose(self, room: Column, yes: Column, otherwise: float, /) -> Column:
        """Return `yes` where `room >= 0`, elsewhere `otherwise`."""

    def least(self, columns: Sequence[Column], count: int, /) -> Column:
        """Return the sum of the `count` smallest columns, host by host; there are as many."""


class Numbers:
    """The arithmetic of one host."""

    def lowest(self, columns: Sequence[float], /) -> float:
        """Return the smallest number."""
        return min(columns)

    def choose(self, room: float, yes: float, otherwise: float, /) -> float:
        """Return `yes` when `room >= 0`, else `otherwise`."""
        return yes if room >= 0 else otherwise

    def least(self, columns: Sequence[float], count: int, /) -> float:
        """Return the sum of the `count` smallest numbers."""
        return min(columns) if count == 1 else sum(sorted(columns)[:count])


class Arrays:
    """The arithmetic of many hosts: every column is `(hosts,) float64`."""

    def lowest(self, columns: Sequence[FloatArray], /) -> FloatArray:
        """Return the smallest of the columns, host by host."""
        lowest = columns[0].copy()
        for column in columns[1:]:
            np.minimum(lowest, column, out=lowest)
        return lowest

    def choose(self, room: FloatArray, yes: FloatArray, otherwise: float, /) -> FloatArray:
        """Return `yes` where `room >= 0`, elsewhere `otherwise`."""
        chosen: FloatArray = np.where(room >= 0, yes, otherwise)
        return chosen

    def least(self, columns: Sequence[FloatArray], count: int, /) -> FloatArray:
        """Return the sum of the `count` smallest columns, host by host."""
        if count == 1:
            return self.lowest(columns)
        if count == len(columns) == 2:
            return columns[0] + columns[1]
        # Added in ascending order, as Numbers does, so that both give the same bits.
        ascending = np.sort(np.stack(columns), axis=0)
        total: FloatArray = ascending[0].copy()
        for column in ascending[1:count]:
            total += column
        return total


NUMBERS = Numbers()
ARRAYS = Arrays()
