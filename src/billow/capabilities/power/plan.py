# SPDX-License-Identifier: Apache-2.0
"""Few hosts run, the others sleep: consolidates by forecast, wakes hosts before they are needed.

This is the capability's face. Which instances move is decided in `solve.py`, by the risk that
`board.py` counts from the forecast. Pure: no I/O, no clock, no dice.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from billow.capabilities.power.energy import HOUR_S
from billow.capabilities.power.policy import PowerPolicy
from billow.capabilities.power.report import power_report
from billow.capabilities.power.round import Round
from billow.capabilities.power.scene import Scene
from billow.model.action import Action, Migrate, PowerOff, PowerOn
from billow.model.instance import nodes_of
from billow.model.plan import Proposal
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report
from billow.plan.amounts import amount

NAME: Final = "power"


class Power:
    """The capability: hosts sleep while the others can carry the load."""

    name = NAME
    policy: type[Policy] = PowerPolicy

    def propose(self, pool: Pool, policy: PowerPolicy, /) -> Proposal:
        """Return moves, hosts to wake and hosts to switch off; nothing when all is well.

        Per host that is emptied about instances of it times hosts; a pool of 1,000 instances on
        50 hosts takes tens of milliseconds.
        """
        scene = Scene(pool, policy)
        if policy.all_on:
            rows = np.flatnonzero(scene.asleep).tolist()
            return Proposal(NAME, tuple(_wakes(pool, rows, "emergency: everything is wanted on")))
        done = Round(scene)
        done.run()
        actions = tuple(_actions(scene, done))
        return Proposal(NAME, actions, gain=_gain(scene, done))

    def report(self, pool: Pool, policy: PowerPolicy, /) -> Report:
        """Return what the pool draws and what it could draw: energy, money and CO2 a day."""
        return power_report(pool, policy)


def _actions(scene: Scene, done: Round) -> Iterator[Action]:
    pool = scene.pool
    yield from _wakes(pool, sorted(done.woken), "demand and what must be kept free need it")
    yield from _moves(scene, done)
    load = f"{amount(done.awake_count, 'hosts')} can carry the load"
    for row in sorted(done.emptied):
        yield PowerOff(host=pool.hosts.id[row], reason=load)


def _wakes(pool: Pool, rows: list[int], reason: str) -> Iterator[Action]:
    for row in rows:
        yield PowerOn(host=pool.hosts.id[row], reason=reason)


def _moves(scene: Scene, done: Round) -> Iterator[Action]:
    pool, draft = scene.pool, scene.ground.draft
    for row in draft.changed():
        source = int(pool.instances.host[row])
        if source < 0:
            continue  # a request that was only seated to keep its room
        target, mask = draft.where(row)
        why = "empties its host" if source in done.emptied else "its host may run out of CPU"
        yield Migrate(
            instance=pool.instances.id[row],
            source=pool.hosts.id[source],
            target=pool.hosts.id[target],
            source_nodes=nodes_of(int(pool.instances.nodes[row])),
            target_nodes=nodes_of(mask),
            reason=why,
        )


def _gain(scene: Scene, done: Round) -> dict[str, float]:
    before, after = done.watts_before, done.watts_after
    saved = (before - after) * 24 * HOUR_S / 3.6e6
    return {
        "hosts_off": float(len(done.emptied)),
        "hosts_woken": float(len(done.woken)),
        "energy_saved_kwh_per_day": saved * scene.policy.overhead_ratio,
    }
