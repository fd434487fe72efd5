# SPDX-License-Identifier: Apache-2.0
"""Who shares which link: the rate of every migration under way.

A host's link is shared equally by the migrations that it sends and receives. It knows nothing of
time.
"""

from collections.abc import Iterable

from billow.engines.sim.precopy import Precopy
from billow.model.pool import Pool

_LEAST_MIB_S = 1.0


class Network:
    """The links of a pool and the copies that flow over them now."""

    def __init__(self, pool: Pool) -> None:
        self._own = dict(zip(pool.hosts.id, pool.hosts.bandwidth.tolist(), strict=True))
        self._links = {
            frozenset((link.first, link.second)): link.bandwidth_mib_s for link in pool.links
        }
        self._flows: dict[str, dict[str, Precopy]] = {}

    def join(self, name: str, copy: Precopy) -> dict[str, Precopy]:
        """Add a copy under a name; return every copy, by name, whose rate may have changed."""
        for host in (copy.source, copy.target):
            self._flows.setdefault(host, {})[name] = copy
        return self._beside(copy)

    def leave(self, name: str, copy: Precopy) -> dict[str, Precopy]:
        """Take a copy away; return every other one, by name, whose rate may have changed."""
        for host in {copy.source, copy.target}:
            del self._flows[host][name]
        return self._beside(copy)

    def rate(self, copy: Precopy) -> float:
        """Return what flows for a copy that has joined, MiB/s."""
        ends = copy.source, copy.target
        link = self._links.get(frozenset(ends))
        if link is not None:
            return max(_LEAST_MIB_S, link) / max(self._crowds(ends))
        shares = (
            max(_LEAST_MIB_S, self._own[end]) / crowd
            for end, crowd in zip(ends, self._crowds(ends), strict=True)
        )
        least: float = min(shares)
        return least

    def _crowds(self, ends: Iterable[str]) -> list[int]:
        return [len(self._flows[end]) for end in ends]

    def _beside(self, copy: Precopy) -> dict[str, Precopy]:
        return {**self._flows[copy.source], **self._flows[copy.target]}
