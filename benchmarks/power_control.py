# SPDX-License-Identifier: Apache-2.0
"""Billow's power capability as the controller of a replayed day."""

import numpy as np

from benchmarks.power_replay import (
    HOSTS_OF_A_KIND,
    MIPS,
    TYPES,
    Day,
    Outcome,
    Standing,
    replay,
)
from billow.capabilities.power.board import Board
from billow.capabilities.power.forecast import forecast
from billow.capabilities.power.plan import Power
from billow.capabilities.power.policy import PowerPolicy
from billow.model.action import Migrate, PowerOff, PowerOn
from billow.model.kinds import Power as PowerState
from billow.model.kinds import code_of
from billow.model.pool import Pool

POLICY = PowerPolicy(
    ceiling_share=1.0,  # overloaded is: asked for more than there is
    overload_share=0.004,
    move_gain_share=0.002,
    spare_hosts=0,  # the published setup keeps no reserve, no zones, no wear limits
    least_on_per_zone=0,
    least_on_s=0.0,
    wakes_per_day=0,
    wake_s=0.0,
)
"""One policy for every day."""


def billow_day(day: Day, policy: PowerPolicy = POLICY) -> Outcome:
    """Return what the capability makes of a day."""
    return replay(day, first_placement(day, policy), Follow(policy))


class Follow:
    """Carries out whatever the capability proposes, at once."""

    def __init__(self, policy: PowerPolicy) -> None:
        self._policy = policy

    def __call__(self, pool: Pool) -> Standing:
        """Return where instances are after the proposal's moves."""
        host = pool.instances.host.astype(np.int64)
        on = pool.hosts.power == code_of(PowerState.ON)
        for action in Power().propose(pool, self._policy).actions:
            match action:
                case Migrate():
                    host[pool.instances.row[action.instance]] = pool.hosts.row[action.target]
                case PowerOn():
                    on[pool.hosts.row[action.host]] = True
                case PowerOff():
                    on[pool.hosts.row[action.host]] = False
                case _:
                    raise AssertionError(f"power proposed {action.name}")
        return Standing(host, on)


def first_placement(day: Day, policy: PowerPolicy = POLICY) -> Standing:
    """Return the first placement: by types and first sample, on the thriftier kind of host.

    Steady instances first, so that the wild ones share hosts: the spread of a sum grows more
    slowly than the sum of spreads. Each goes to the first host whose risk stays allowed.
    """
    size = np.array([float(mips) for mips, _ in TYPES])[day.kind]
    ahead = forecast(day.demand[:, :1].astype(np.float32), size)
    limit = np.repeat(np.array(MIPS, dtype=np.float64), HOSTS_OF_A_KIND)
    board = Board(ahead, limit, np.full(len(size), -1, dtype=np.int32))
    rows = np.r_[HOSTS_OF_A_KIND : 2 * HOSTS_OF_A_KIND, 0:HOSTS_OF_A_KIND]
    wild = ahead.variance / np.maximum(ahead.mean, 1e-9)
    for instance in np.argsort(wild, kind="stable").tolist():
        used = int((board.count > 0).sum()) + 1
        near = rows[:used]
        risk = board.risk_with(np.array([instance]), near)[0]
        board.move(instance, int(near[np.argmax(risk <= policy.overload_share)]))
    return Standing(board.host.copy(), board.count > 0)
