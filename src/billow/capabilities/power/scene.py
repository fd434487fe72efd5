# SPDX-License-Identifier: Apache-2.0
"""A pool as power sees it: what is expected of it, which hosts may sleep, which could be woken.

Hosts that are off are drafted as if they were on but closed; waking one opens it. So one plan can
wake a host and move instances there, and the order of plans sees to it that power comes first.
"""

from dataclasses import replace
from functools import cached_property

import numpy as np

from billow.capabilities.power.board import Board, Rows
from billow.capabilities.power.energy import curves
from billow.capabilities.power.forecast import Forecast, Samples, forecast
from billow.capabilities.power.ground import Ground
from billow.capabilities.power.growth import growth
from billow.capabilities.power.policy import PowerPolicy
from billow.model.column import frozen
from billow.model.instances import NOWHERE
from billow.model.kinds import Health, Power, State, code_of
from billow.model.pool import Pool
from billow.model.resources import CPU, BoolArray, FloatArray

_OFF, _ON = code_of(Power.OFF), code_of(Power.ON)


class Scene:
    """What a round of planning starts from.

    Attributes:
        pool: As it is.
        ground: Where moves are tried; hosts that are off are closed there.
        asleep: Which hosts are off and could be switched on, `(hosts,) bool`.
    """

    def __init__(self, pool: Pool, policy: PowerPolicy) -> None:
        self.pool = pool
        self.policy = policy
        hosts = pool.hosts
        off = hosts.power == _OFF
        sound = (hosts.health != code_of(Health.FAILED)) & hosts.cordon.where("")
        self.asleep: BoolArray = off & sound
        board = Board(self._ahead, self._limit, pool.instances.host)
        self.ground = Ground(_as_if_on(pool, self.asleep), board, _movable(pool), off)

    @cached_property
    def samples(self) -> Samples:
        """What instances used, oldest first, NaN where unknown, `(instances, samples)`."""
        ours, history = self.pool.instances, self.pool.history
        if history is None or not history.cpu.shape[1]:
            return ours.cpu_used[:, None]
        return history.cpu_of(ours.id)

    @cached_property
    def cpus(self) -> FloatArray:
        """What each host physically has, thousandths of a CPU, `(hosts,)`."""
        total: FloatArray = self.pool.hosts.capacity.sum(axis=1)[:, CPU].astype(np.float64)
        return total

    @cached_property
    def curves(self) -> FloatArray:
        """What each host draws, `(hosts, 11)` watts."""
        return curves(self.pool, self.policy)

    @cached_property
    def thrift(self) -> Rows:
        """Rows of hosts, those that do most per watt at full load first; then by id."""
        per_watt = self.cpus / np.maximum(self.curves[:, -1], 1e-9)
        return np.argsort(-per_watt, kind="stable")

    @cached_property
    def seen(self) -> bool:
        """Whether anything is known of what instances use."""
        return bool((~np.isnan(self.samples)).any())

    @cached_property
    def restful(self) -> BoolArray:
        """Which hosts may be switched off by themselves, `(hosts,) bool`: no need of the pool's."""
        hosts = self.pool.hosts
        may: BoolArray = hosts.schedulable.copy()
        may &= ~np.isin(np.array(hosts.id), list(self.policy.keep_on))
        return may & self._rested & ~self._pinned

    @cached_property
    def growth(self) -> float:
        """How much higher demand will be, at most, by the time that a host has woken; 1 or more."""
        history = self.pool.history
        if history is None:
            return 1.0
        return growth(self.samples, history.step_s, self.policy.wake_s)

    @cached_property
    def _ahead(self) -> Forecast:
        size = self.pool.demand[self.pool.instances.shape, CPU].astype(np.float64)
        return forecast(self.samples, size, self.policy.unseen_share)

    @property
    def _limit(self) -> FloatArray:
        return self.cpus * self.policy.ceiling_share / self.growth

    @property
    def _pinned(self) -> BoolArray:
        """Which hosts hold something that must stay there."""
        ours = self.pool.instances
        stays = (ours.host != NOWHERE) & ~_movable(self.pool)
        pinned: BoolArray = np.bincount(ours.host[stays], minlength=len(self.pool.hosts)) > 0
        return pinned

    @property
    def _rested(self) -> BoolArray:
        """Which hosts have been on long enough and were not woken too often."""
        names, history = self.pool.hosts.id, self.pool.history
        rested = np.ones(len(names), dtype=np.bool_)
        if history is None:
            return rested
        for row, name in enumerate(names):
            place = history.host_row.get(name)
            if place is None:
                continue
            since = history.until - float(history.switched[place])
            fresh = since < self.policy.least_on_s  # false for NaN: never seen to change
            worn = int(history.wakes[place]) >= self.policy.wakes_per_day > 0
            rested[row] = not (fresh or worn)
        return rested


def _movable(pool: Pool) -> BoolArray:
    ours = pool.instances
    running = (ours.state == code_of(State.RUNNING)) & (ours.host != NOWHERE)
    movable: BoolArray = running & ours.immovable.where("")
    return movable


def _as_if_on(pool: Pool, asleep: BoolArray) -> Pool:
    if not asleep.any():
        return pool
    power = pool.hosts.power.copy()
    power[asleep] = _ON
    return replace(pool, hosts=replace(pool.hosts, power=frozen(power)))
