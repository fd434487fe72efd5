# SPDX-License-Identifier: Apache-2.0
"""From any state on, let nothing fail any more, mend all, and see that every incident ends.

One fair order of steps is enough: if it leads to a good end from every state, then a good end can
be reached from every state, and whoever gets all steps their turn again and again does reach it.
This module must not help the protocol with anything but mended hosts and the passing of time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.testing.ha.controllers import Controllers
from billow.testing.ha.states import Mask, States
from billow.testing.ha.world import HOSTS, INSTANCES, Rules, Step, World

ROUNDS: Final = 60
"""After so many rounds without an end, there is none."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What is whole again when nothing fails any more.

    Attributes:
        boots: Whether hosts without power come back.
        bmc: Whether management controllers answer.
    """

    boots: bool = True
    bmc: bool = True


class Healing:
    """Lets states come to their end."""

    def __init__(self, rules: Rules, controllers: Controllers, mended: Mended) -> None:
        self._rules = rules
        self._controllers = controllers
        self._world = World(rules)
        self._mended = mended

    def stuck(self, states: States) -> States:
        """Return those from which no good end was reached, as they were."""
        if not len(states):
            return states
        now = States(states.rows.copy())
        now["mark"] = np.arange(len(now))
        self._mend(now)
        for _ in range(ROUNDS):
            now = now.where(~self.ended(now))
            if not len(now):
                break
            now = self._round(now)
        return States(states.rows[now["mark"]])

    def ended(self, states: States) -> Mask:
        """Return where every instance runs once, or was left, and no incident waits for a step."""
        ended = np.ones(len(states), dtype=np.bool_)
        for instance in INSTANCES:
            runs, left = states[f"runs{instance}"] > 0, states[f"left{instance}"] > 0
            ended &= runs | left
        for host in HOSTS:
            calm = states[f"record{host}"] == 0
            if not self._mended.boots:
                calm |= states[f"on{host}"] == 0
            ended &= calm
        return ended

    def _mend(self, states: States) -> None:
        states["faults"] = self._rules.faults
        for host in HOSTS:
            alive = states[f"on{host}"] > 0
            for name in ("lm", "ls"):
                states.put(alive | self._mended.boots, 1, f"{name}{host}")
            for name in ("frozen", "other", "old_cut", "old_ask", "old_clean"):
                states[f"{name}{host}"] = 0
            states[f"bmc_up{host}"] = self._mended.bmc and self._rules.bmc
        for instance in INSTANCES:
            states[f"old_start{instance}"] = 0

    def _round(self, states: States) -> States:
        """Let each of the possible steps happen once, and a second pass."""
        for steps in (self._decide, self._carry_out, self._carry_out, self._boot):
            for host in HOSTS:
                states = _stepped(states, steps(states, host))
        return next(after for _, after in self._world.tick(states))

    def _decide(self, states: States, host: int) -> Iterator[Step]:
        yield from self._settled(self._controllers.write(states, host))
        yield from self._settled(self._controllers.decide(states, host))

    def _carry_out(self, states: States, host: int) -> Iterator[Step]:
        yield from self._settled(self._controllers.orders.steps(states, host))

    def _boot(self, states: States, host: int) -> Iterator[Step]:
        if self._mended.boots:
            yield from self._world.boot(states, host)

    def _settled(self, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            yield from self._controllers.settled(step)


def _stepped(states: States, steps: Iterable[Step]) -> States:
    """Return each state after the first step that it can take, or as it was."""
    place = np.zeros(1 << 16, dtype=np.int64)
    place[states["mark"]] = np.arange(len(states))
    after, moved = States(states.rows.copy()), np.zeros(len(states), dtype=np.bool_)
    for _, some in steps:
        at = place[some["mark"]]
        first = ~moved[at]
        after.rows[at[first]] = some.rows[first]
        moved[at] = True
    return after
