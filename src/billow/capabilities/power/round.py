# SPDX-License-Identifier: Apache-2.0
"""One round of planning: relieve, wake, empty, until nothing more is gained.

A round ends where another one would do nothing: what it leaves is at rest until demand changes.
"""

from functools import cached_property

import numpy as np

from billow.capabilities.power.board import Rows
from billow.capabilities.power.energy import watts
from billow.capabilities.power.scene import Scene
from billow.capabilities.power.solve import Aims, Relief, short_of, vacate
from billow.capabilities.power.spare import survives
from billow.model.instances import NOWHERE
from billow.model.kinds import Power, code_of
from billow.model.resources import BoolArray, FloatArray

_OFF = code_of(Power.OFF)
_TRIED = 6
"""How many hosts with instances are tried before the others are relieved again."""


class Round:
    """What one look at the pool leads to.

    Attributes:
        woken: Rows of hosts to switch on.
        emptied: Rows of hosts to switch off.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._ground = scene.ground
        self._policy = policy = scene.policy
        self._aims = Aims(policy.overload_share, policy.move_gain_share, policy.hysteresis_share)
        self._relief = Relief(self._ground, self._aims)
        self._left = policy.moves_per_plan
        self.woken: set[int] = set()
        self.emptied: set[int] = set()
        self.watts_before = self._draw(scene.pool.hosts.power != _OFF)

    def run(self) -> None:
        """Decide everything. Requests that wait for a host come first; the rest then stays."""
        if self._seat_requests():
            return
        for _ in range(2 * len(self._scene.cpus) + 10):  # each empties or wakes one host at least
            before = self._ground.mark(), len(self.woken), len(self.emptied)
            self._relieve()
            self._keep_spare()
            self._consolidate()
            if before == (self._ground.mark(), len(self.woken), len(self.emptied)):
                break

    @property
    def awake_count(self) -> int:
        """How many hosts are on afterwards."""
        return int(self._awake.sum())

    @property
    def moves(self) -> int:
        """How many instances move."""
        ours = self._scene.pool.instances.host
        return sum(int(ours[row]) != NOWHERE for row in self._ground.draft.changed())

    @property
    def watts_after(self) -> float:
        """What the pool is expected to draw afterwards."""
        return self._draw(self._awake)

    @property
    def _awake(self) -> BoolArray:
        on: BoolArray = self._scene.pool.hosts.power != _OFF
        on[list(self.woken)] = True
        on[list(self.emptied)] = False
        return on

    def _draw(self, on: BoolArray) -> float:
        board, scene = self._ground.board, self._scene
        load = board.mean / np.maximum(scene.cpus, 1.0)
        drawn: FloatArray = np.where(on, watts(scene.curves, load), scene.policy.asleep_watts)
        return float(drawn.sum())

    def _seat_requests(self) -> bool:
        """Wake hosts for requests that find no room; return whether there are requests at all."""
        requests = np.flatnonzero(self._scene.pool.instances.host == NOWHERE).tolist()
        for request in requests:
            if self._seat(request):
                continue
            for host in self._sleepers():
                self._ground.open[host] = True
                if self._seat(request):
                    self.woken.add(host)
                    break
                self._ground.open[host] = False
        return bool(requests)

    def _seat(self, request: int) -> bool:
        ground = self._ground
        hosts = np.flatnonzero(ground.targets(request))
        used = hosts[np.argsort(ground.board.count[hosts] == 0, kind="stable")]
        return any(ground.take(request, int(host)) for host in used.tolist())

    def _relieve(self) -> None:
        if not (self._policy.relieve and self._scene.seen):
            return
        self._left -= self._relief.relieve(self._left)
        while self._left > 0 and short_of(self._ground, self._aims) and self._wake_one():
            moved = self._relief.relieve(self._left)
            self._left -= moved
            if not moved:
                break

    def _keep_spare(self) -> None:
        """Wake hosts until the largest may die; none where that does not help."""
        woken: list[int] = []
        while not survives(self._ground, self._policy.spare_hosts):
            host = self._wake_one()
            if host is None:
                for row in woken:
                    self._sleep_again(row)
                break
            woken.append(host)

    def _consolidate(self) -> None:
        if self._held or short_of(self._ground, self._aims):
            return
        for host in self._candidates():
            if self._zone_needs(host):
                continue
            count = int(self._ground.board.count[host])
            if not vacate(self._ground, self._aims, host, self._agrees, self._left):
                continue
            self._left -= count
            self._rest(host)
            if count:
                return  # the others' risks have changed: relieve first

    def _agrees(self) -> bool:
        return survives(self._ground, self._policy.spare_hosts)

    def _rest(self, host: int) -> None:
        self._ground.open[host] = False
        if host in self.woken:
            self.woken.discard(host)
        else:
            self.emptied.add(host)

    def _candidates(self) -> list[int]:
        """Return hosts that could be emptied, those with the fewest to move first."""
        may = self._scene.restful & self._ground.open
        may[list(self.woken)] = True
        rows = np.flatnonzero(may)
        count = self._ground.board.count[rows]
        place = count * len(may) + self._waste[rows]
        used = place[count > 0]
        few = np.partition(used, _TRIED)[:_TRIED] if len(used) > _TRIED else used
        places = np.concatenate([np.sort(place[count == 0]), np.sort(few)])
        order: list[int] = self._wasteful[places % len(may)].tolist()
        return order

    @cached_property
    def _wasteful(self) -> Rows:
        """Rows of hosts, those that do least per watt first."""
        return self._scene.thrift[::-1]

    @cached_property
    def _waste(self) -> Rows:
        """The place of each host among the wasteful ones."""
        place = np.empty(len(self._wasteful), dtype=np.intp)
        place[self._wasteful] = np.arange(len(place))
        return place

    @cached_property
    def _held(self) -> bool:
        hour = int(self._scene.pool.taken_at // 3600) % 24
        return hour in self._policy.always_on_hours

    def _zone_needs(self, host: int) -> bool:
        zones = self._scene.pool.hosts.zone.codes
        left = int(np.count_nonzero(self._ground.open & (zones == zones[host])))
        return left <= self._policy.least_on_per_zone

    def _sleepers(self) -> list[int]:
        """Return hosts that could be woken, or kept from being emptied, the thriftiest first."""
        could = self._scene.asleep.copy()
        could[list(self.emptied)] = True
        could[list(self.woken)] = False
        return [row for row in self._scene.thrift.tolist() if could[row]]

    def _wake_one(self) -> int | None:
        host = next(iter(self._sleepers()), None)
        if host is not None:
            self._ground.open[host] = True
            if host in self.emptied:
                self.emptied.discard(host)
            else:
                self.woken.add(host)
        return host

    def _sleep_again(self, host: int) -> None:
        self._rest(host)
