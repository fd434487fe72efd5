# SPDX-License-Identifier: Apache-2.0
"""Who shares which link: the rate of every migration under way.

What a host or a rack sends is shared fairly by who sends, what it receives by who receives. It
knows nothing of time.
"""

from collections import defaultdict

from billow.engines.sim.precopy import Precopy
from billow.model.pool import Pool
from billow.plan.lanes import STREAM_MIB_S, Route, fair, route


class Network:
    """The links of a pool and the copies that flow over them now."""

    def __init__(self, pool: Pool, stream_mib_s: float = STREAM_MIB_S) -> None:
        self._pool = pool
        self._stream_mib_s = stream_mib_s
        self._routes: dict[str, Route] = {}
        self._copies: dict[str, Precopy] = {}
        self._on: defaultdict[str, set[str]] = defaultdict(set)

    def join(self, name: str, copy: Precopy) -> dict[str, tuple[Precopy, float]]:
        """Add a copy under a name; return who may flow otherwise now, by name: MiB/s."""
        lanes = route(self._pool, copy.source, copy.target)
        self._routes[name], self._copies[name] = lanes, copy
        for lane in lanes:
            self._on[lane.name].add(name)
        return self._beside(lanes, {name})

    def leave(self, name: str) -> dict[str, tuple[Precopy, float]]:
        """Take a copy away; return who may flow otherwise now, by name: MiB/s."""
        lanes = self._routes.pop(name)
        del self._copies[name]
        for lane in lanes:
            self._on[lane.name].discard(name)
        return self._beside(lanes, set())

    def _beside(self, lanes: Route, names: set[str]) -> dict[str, tuple[Precopy, float]]:
        """Return the rates of all who share a lane, or a lane with one who does, and so on."""
        seen, ahead = set(names), [lane.name for lane in lanes]
        known = set(ahead)
        while ahead:
            for each in self._on[ahead.pop()] - seen:
                seen.add(each)
                more = {lane.name for lane in self._routes[each]} - known
                known |= more
                ahead += more
        flows = {each: self._routes[each] for each in sorted(seen)}
        rates = fair(flows, self._stream_mib_s)
        return {each: (self._copies[each], rate) for each, rate in rates.items()}
