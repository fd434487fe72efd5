# SPDX-License-Identifier: Apache-2.0
"""How well an instance suits those that are on each host already, by what is known of their ends.

Hosts empty together when those that share one end together. Ends are hard to foretell, but three
things are known at arrival and tell who ends with whom: how long such instances live (learned), how
many came together (batches mostly end as one), and when (cohorts). A host is told by the means of
these over what it carries, weighted by CPU, so one more instance changes one row. A short life on a
host that stays anyway costs little; a long one on a host that would soon be empty costs much; and
old cohorts are filled before young ones, which thus drain.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from billow.model.resources import FloatArray, IntArray

_LIFE: Final = 0.3
"""Cost of each doubling between an expected life and the mean of its company."""
_SHORTER: Final = 0.1
"""What of it is forgiven to the shorter-lived among the longer-lived, and charged to the others."""
_SIZE: Final = 0.05
"""Cost of each doubling between the size of its batch and the mean of its company's."""
_COHORT: Final = 0.09
"""Cost of each hour by which its company came later than another."""
_MATES: Final = 0.1
"""Worth of a host that has an instance of the same batch as the last that came."""
ALONE: Final = 10.0
"""Cost of a host with nobody on it: it would be in use for this instance alone."""

Rows = npt.NDArray[np.intp] | slice


class Guest(NamedTuple):
    """What tells when an instance will end.

    Attributes:
        weight: CPUs.
        life: Expected life at its start, doublings of an hour.
        size: CPUs of its batch, doublings.
        born_h: When it came, hours.
        batch: Its batch; equal only for those that came together.
    """

    weight: float
    life: float
    size: float
    born_h: float
    batch: int


class Company:
    """Who is on which host, as means.

    Attributes:
        weight: CPUs of those that are known on each host, `(hosts,) float64`.
        batch: The batch that came last to each host, -1 for none, `(hosts,) int64`.
    """

    def __init__(self, hosts: int) -> None:
        self._sums: FloatArray = np.zeros((3, hosts))
        self.weight: FloatArray = np.zeros(hosts)
        self.batch: IntArray = np.full(hosts, -1, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.weight)

    def grow(self, hosts: int) -> None:
        """Add empty hosts until there are so many."""
        more = hosts - len(self)
        self._sums = np.concatenate([self._sums, np.zeros((3, more))], axis=1)
        self.weight = np.append(self.weight, np.zeros(more))
        self.batch = np.append(self.batch, np.full(more, -1, dtype=np.int64))

    def enter(self, host: int, guest: Guest) -> None:
        """Note that an instance came to a host (row)."""
        self._change(host, guest, 1.0)
        self.batch[host] = guest.batch

    def leave(self, host: int, guest: Guest) -> None:
        """Note that an instance left a host (row)."""
        self._change(host, guest, -1.0)
        if self.weight[host] <= 0.0:
            self.weight[host] = 0.0
            self._sums[:, host] = 0.0
            self.batch[host] = -1

    def misfit(self, guest: Guest, hosts: Rows = slice(None)) -> FloatArray:
        """Return what an instance costs on hosts (rows), lower is better: `(hosts,) float64`."""
        weight = self.weight[hosts]
        life, size, born = self._sums[:, hosts] / np.maximum(weight, 1e-9)
        life -= guest.life
        cost: FloatArray = np.abs(life) * _LIFE - life * _SHORTER
        cost += np.abs(size - guest.size) * _SIZE
        cost += (born - guest.born_h) * _COHORT
        cost[self.batch[hosts] == guest.batch] -= _MATES
        cost[weight <= 0.0] = ALONE
        return cost

    def _change(self, host: int, guest: Guest, sign: float) -> None:
        weight = sign * guest.weight
        self.weight[host] += weight
        sums = self._sums
        sums[0, host] += weight * guest.life
        sums[1, host] += weight * guest.size
        sums[2, host] += weight * guest.born_h
