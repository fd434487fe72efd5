# SPDX-License-Identifier: Apache-2.0
"""What hosts let happen while a plan is replayed: power, cordons, and who is still on them."""

from collections import Counter
from functools import cached_property

import numpy as np

from billow.model.action import (
    Action,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Start,
    Uncordon,
)
from billow.model.instances import NOWHERE
from billow.model.kinds import Power, code_of
from billow.model.pool import Pool
from billow.model.resources import BoolArray, IntArray


class Gates:
    """Power, cordon and population of each host at this moment of the replay.

    Attributes:
        powered: Which hosts have power, `(hosts,) bool`.
        taking: Which hosts are not cordoned, `(hosts,) bool`.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.powered: BoolArray = pool.hosts.power != code_of(Power.OFF)
        self.taking: BoolArray = pool.hosts.cordon.where("").copy()
        self._dead: BoolArray = pool.hosts.power == code_of(Power.OFF)
        self._change: Counter[int] = Counter()

    def population(self, host: int) -> int:
        """Return how many instances are on a host (row), counting a moving one at both ends."""
        return int(self._at_first[host]) + self._change[host]

    @cached_property
    def _at_first(self) -> IntArray:
        hosts = self._pool.instances.host
        counts = np.bincount(hosts[hosts != NOWHERE], minlength=len(self._pool.hosts))
        return counts.astype(np.int64)

    @property
    def open_hosts(self) -> BoolArray:
        """Which hosts take something new now: `(hosts,) bool`."""
        return self.powered & self.taking

    def open_for(self, action: Action) -> bool:
        """Return whether the hosts of an action let it start now."""
        match action:
            case Place():
                return bool(self.open_hosts[self._row(action.host)])
            case Migrate():
                return self._open_for_move(action)
            case Evacuate():
                return self.is_dead(action) and bool(self.open_hosts[self._row(action.target)])
            case Start():
                there = self._pool.instance(action.instance)
                return there.is_host or bool(self.powered[self._row(action.host)])
            case PowerOff():
                return not self.population(self._row(action.host))
            case _:
                return True

    def enter(self, action: Action) -> None:
        """Note that an action has started."""
        match action:
            case Place():
                self._change[self._row(action.host)] += 1
            case Migrate() | Evacuate():
                self._change[self._row(action.target)] += 1
            case PowerOff() | Fence():
                self.powered[self._row(action.host)] = False
            case Cordon():
                self.taking[self._row(action.host)] = False
            case _:
                pass

    def settle(self, action: Action) -> None:
        """Note that an action has succeeded."""
        match action:
            case Migrate() | Evacuate():
                self._change[self._row(action.source)] -= 1
            case Delete():
                self._change[self._row(action.host)] -= 1
            case Start() if self._pool.instance(action.instance).is_host:
                self.powered[self._row(action.host)] = True
            case PowerOn():
                self.powered[self._row(action.host)] = True
                self._dead[self._row(action.host)] = False
            case PowerOff() | Fence():
                self._dead[self._row(action.host)] = True
            case Uncordon():
                self.taking[self._row(action.host)] = True
            case _:
                pass

    def is_dead(self, action: Evacuate) -> bool:
        """Return whether it is proved that nothing runs on the source any more."""
        return bool(action.incident) or bool(self._dead[self._row(action.source)])

    def _open_for_move(self, action: Migrate) -> bool:
        target = self._row(action.target)
        if action.source == action.target:
            return bool(self.powered[target])
        return bool(self.powered[target] and self.taking[target])

    def _row(self, host: str) -> int:
        return self._pool.host_row(host)
