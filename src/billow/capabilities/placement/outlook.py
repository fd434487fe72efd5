# SPDX-License-Identifier: Apache-2.0
"""When hosts will be empty, by chance, and how much longer one more instance keeps each of them.

Instances of one batch mostly end together, so a batch on a host counts as one life and a little
more (`_APART`), not as many independent ones; that is what makes a host with few batches one that
empties. What is expected is told for the times ahead of `lifetimes.AHEAD`.
"""

from typing import Final

import numpy as np

from billow.capabilities.placement.lifetimes import AHEAD
from billow.model.resources import FloatArray, IntArray

_APART: Final = 0.02
"""How much of an independent life each further instance of a batch adds to its host."""
_SURE: Final = 1e-9
"""No end is more certain than this leaves open."""
_STEPS_H: Final[FloatArray] = np.diff(np.concatenate([[0.0], AHEAD])) / 3600.0
"""Hours between the times ahead."""


class Outlook:
    """The chance that each host is empty, at each time ahead: `(hosts, ahead)`.

    Attributes:
        batch: The batch that came last to each host, -1 for none, `(hosts,) int64`.
    """

    def __init__(self, hosts: int) -> None:
        self._empty: FloatArray = np.ones((hosts, len(AHEAD)))
        self.batch: IntArray = np.full(hosts, -1, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.batch)

    def grow(self, hosts: int) -> None:
        """Add empty hosts until there are so many."""
        more = hosts - len(self)
        self._empty = np.concatenate([self._empty, np.ones((more, len(AHEAD)))])
        self.batch = np.append(self.batch, np.full(more, -1, dtype=np.int64))

    def renew(self, host: IntArray, batch: IntArray, survival: FloatArray) -> None:
        """Tell all hosts anew from all that is on them.

        Args:
            host, batch: Of each instance, `(instances,) int64`.
            survival: Of each instance from now, `(instances, ahead)`.
        """
        order = np.lexsort((batch, host))
        host, batch = host[order], batch[order]
        again = np.zeros(len(order), dtype=np.bool_)
        again[1:] = (host[1:] == host[:-1]) & (batch[1:] == batch[:-1])
        gone = np.log(np.maximum(1.0 - survival[order], _SURE))
        gone[again] *= _APART
        total = np.zeros_like(self._empty)
        np.add.at(total, host, gone)
        self._empty = np.exp(total)

    def enter(self, host: int, batch: int, survival: FloatArray) -> None:
        """Note that an instance came to a host (row)."""
        gone = np.maximum(1.0 - survival, _SURE)
        self._empty[host] *= gone**_APART if self.batch[host] == batch else gone
        self.batch[host] = batch

    def clear(self, host: int) -> None:
        """Note that a host (row) is empty."""
        self._empty[host] = 1.0
        self.batch[host] = -1

    def extension_h(self, survival: FloatArray, batch: int) -> FloatArray:
        """Return how many hours longer each host is expected to be in use with one more instance.

        Args:
            survival: Of the instance from now, `(ahead,)`.
            batch: Its batch; a host that has it already is hardly kept longer.
        """
        longer: FloatArray = self._empty @ (survival * _STEPS_H)
        longer[self.batch == batch] *= _APART
        return longer
