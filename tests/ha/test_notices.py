# SPDX-License-Identifier: Apache-2.0
"""People are told of an agent that stays away, and of a guest that hangs: once, and of nothing."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from billow.ha.matrix import AWAY_S, Matrix
from billow.ha.notices import LASTS_S, Notices
from billow.model.ha.alarm import Alarm
from billow.model.ha.evidence import AgentReport, Hardware, Symptom
from billow.model.ha.view import View
from billow.plan.ha.sights import worst
from billow.testing.clock import VirtualClock

HUNG = Symptom("guest", "a", Hardware.HURTING, "its QEMU does not answer", 0.0, instance="a")


@dataclass
class Stage:
    """One host's report, as heard, and what people were told."""

    report: AgentReport
    clock: VirtualClock = field(default_factory=VirtualClock)
    told: list[Alarm] = field(default_factory=list)
    leads: bool = True

    def view(self, now: float) -> View:
        """Return the report."""
        return View("c", now, ("h1",), np.full((1, 3), now), np.ones(3), {"h1": self.report})

    async def add_alarm(self, alarm: Alarm) -> None:
        """Keep what is told, once per key."""
        if alarm.key not in {each.key for each in self.told}:
            self.told.append(alarm)


def staged(*symptoms: Symptom) -> tuple[Stage, Notices]:
    """Return a stage, and who tells of it."""
    stage = Stage(AgentReport(host="h1", at=0.0, symptoms=symptoms))
    return stage, Notices(stage, stage, stage.clock, lambda: stage.leads)  # type: ignore[arg-type]  # the rest is not asked


@pytest.mark.anyio
async def test_a_guest_that_hangs_for_a_while_is_told_of_once() -> None:
    stage, notices = staged(replace(HUNG, since=VirtualClock().now()))
    await notices.turn()
    assert not stage.told
    for _ in range(3):
        await stage.clock.sleep(LASTS_S)
        await notices.turn()
    (alarm,) = stage.told
    assert (alarm.host, alarm.text) == ("h1", "a on h1: its QEMU does not answer")


@pytest.mark.anyio
async def test_what_is_the_hosts_own_and_who_does_not_lead_tells_nothing() -> None:
    stage, notices = staged(replace(HUNG, instance=""))
    await notices.turn()
    stage.report = replace(stage.report, symptoms=(HUNG,))
    stage.leads = False
    await notices.turn()
    assert not stage.told
    stage.leads = True
    await notices.turn()
    assert stage.told


def test_an_agent_that_stays_away_while_its_kernel_answers_is_a_notice_and_no_illness() -> None:
    now = [1000.0]
    matrix = Matrix(VirtualClock(), 1.0, monotonic=lambda: now[0])
    row = matrix.row("h1")
    matrix.expect(["h1"])
    for place in range(3):
        matrix.came(3 * row + place, now[0])
    matrix.tell(row, AgentReport(host="h1", at=0.0))
    report = matrix.reports()["h1"]
    for _ in range(int(AWAY_S * 2) + 4):
        now[0] += 0.5
        for place in range(3):
            matrix.answers(3 * row + place, True)
        matrix.look(now[0])
        report = matrix.reports()["h1"]
        assert worst(report.symptoms) is Hardware.SOUND
    assert [each.probe for each in report.symptoms] == ["agent"]
    assert matrix.reports()["h1"] is report
    for place in range(3):
        matrix.came(3 * row + place, now[0])
    matrix.look(now[0])
    assert not matrix.reports()["h1"].symptoms
