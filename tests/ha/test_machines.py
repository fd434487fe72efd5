# SPDX-License-Identifier: Apache-2.0
"""Every controller learns which machine each host is; people hear of a doubt from one of them."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from billow.errors import BillowError, Conflict, Unavailable
from billow.ha.machines import Machines
from billow.model.ha.alarm import Alarm
from billow.model.ha.evidence import AgentReport
from billow.model.ha.view import View
from billow.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio


@dataclass
class Stage:
    """One host's report, management controllers that learn, and what people were told."""

    machine: str = "a"
    leads: bool = True
    clock: VirtualClock = field(default_factory=VirtualClock)
    told: dict[str, Alarm] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    trouble: BillowError | None = None

    def view(self, now: float) -> View:
        """Return the report."""
        report = AgentReport(host="h1", at=0.0, machine=self.machine)
        return View("c", now, ("h1",), np.full((1, 3), now), np.ones(3), {"h1": report})

    async def add_alarm(self, alarm: Alarm) -> None:
        """Keep what is told, once per key."""
        self.told.setdefault(alarm.key, alarm)

    async def learn(self, host: str, machine: str) -> None:
        """Keep the first that is told of a host."""
        if self.trouble:
            raise self.trouble
        if self.known.setdefault(host, machine) != machine:
            raise Conflict(f"{host} was another machine until now")

    def machines(self) -> Machines:
        """Return who tells of it."""
        return Machines(self, self, self, self.clock, lambda: self.leads)  # type: ignore[arg-type]  # the rest is not asked


async def test_controllers_are_told_which_machine_a_host_is_and_people_when_it_is_another() -> None:
    stage = Stage()
    machines = stage.machines()
    await machines.turn()
    assert stage.known == {"h1": "a"}
    stage.machine = "b"
    for _ in range(2):
        await machines.turn()
    (alarm,) = stage.told.values()
    assert "another machine" in alarm.text


async def test_who_stands_by_learns_for_its_own_fences_and_tells_nobody() -> None:
    stage = Stage(leads=False)
    machines = stage.machines()
    await machines.turn()
    assert stage.known == {"h1": "a"}
    stage.machine = "b"
    await machines.turn()
    assert not stage.told


async def test_a_doubt_that_was_not_told_while_it_stood_by_is_told_when_it_leads() -> None:
    stage = Stage(machine="b", leads=False, known={"h1": "a"})
    machines = stage.machines()
    await machines.turn()
    assert not stage.told
    stage.leads = True
    await machines.turn()
    assert len(stage.told) == 1


async def test_a_doubt_is_told_once_a_day_at_most_and_again_in_a_year() -> None:
    stage = Stage(machine="b", known={"h1": "a"})
    for _ in range(2):
        await stage.machines().turn()
    assert len(stage.told) == 1
    await stage.clock.sleep(365 * 86_400.0)
    await stage.machines().turn()
    assert len(stage.told) == 2


async def test_what_could_not_be_kept_is_told_again() -> None:
    stage = Stage(trouble=Unavailable("the disk is full"))
    machines = stage.machines()
    await machines.turn()
    assert not stage.known
    stage.trouble = None
    await machines.turn()
    assert stage.known == {"h1": "a"}
