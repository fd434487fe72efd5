# SPDX-License-Identifier: Apache-2.0
"""Faults by script: each happens when and to whom it says, and to nobody else."""

import asyncio

import pytest
from tests.engines.sim.lab import Lab, move, place

from billow.engines.sim.script import Mishap, Moment, Rule, Script
from billow.engines.sim.timing import Timing
from billow.errors import Invalid, Lost, Refused, Unavailable
from billow.model.action import Evacuate, Fence, PowerOn, Start
from billow.model.kinds import Health, Power, State
from billow.ports import Trace
from billow.testing.pools import pool

POOL = pool("3 hosts x 64GiB 16c; a: 3 vms x 10GiB 1c on=h1")
"""A move of 10 GiB at 1000 MiB/s takes 10.29 s."""


def test_a_script_is_read() -> None:
    script = Script.parse(
        """
        # a comment
        at 120 host h3 dies
        at 60 away for 20   # with a comment
        on 2nd migrate a* fails at 0.5
        on any h7 hangs for 1.5
        on place is lost
        """
    )
    assert script.moments == (
        Moment(120.0, Mishap.DIES, "h3"),
        Moment(60.0, Mishap.AWAY, lasts_s=20.0),
    )
    assert [(rule.verb, rule.name, rule.nth) for rule in script.rules] == [
        ("migrate", "a*", 2),
        ("any", "h7", 0),
        ("place", "*", 0),
    ]
    assert script.rules[0].strike.fails_at == 0.5
    assert script.rules[1].strike.hang_s == 1.5
    assert script.rules[2].strike.lost


@pytest.mark.parametrize(
    "line",
    [
        "at noon host h1 dies",
        "at 1 host h1 sleeps",
        "at 1 away",
        "on migrte fails at 0.5",
        "on migrate fails at 1.5",
        "on 1th",
        "at -1 host h1 dies",
        "at NaN host h1 dies",
        "on migrate fails at 0.5; rm -rf /",
    ],
)
def test_a_line_that_is_not_understood_is_named(line: str) -> None:
    with pytest.raises(Invalid):
        Script.parse(f"\n{line}\n")


def test_a_script_for_another_pool_is_refused() -> None:
    with pytest.raises(Invalid, match="h9"):
        Lab(POOL, "at 1 host h9 dies")


def test_a_host_dies_with_all_that_it_does() -> None:
    lab = Lab(POOL, "at 5 host h1 dies")

    async def story() -> None:
        failed = await lab.try_to(move("a1", "h1", "h2"))
        assert isinstance(failed, Refused)
        assert lab.elapsed == pytest.approx(5.0, abs=1.0)
        seen = await lab.engine.sense()
        host = seen.host("h1")
        assert (host.power, host.health) == (Power.UNKNOWN, Health.FAILED)
        assert {each.state for each in seen.instance_views()} == {State.FAILED}
        assert seen.instance("a1").host == "h1"
        assert await lab.engine.find("move-a1") is Trace.FAILED
        assert await lab.engine.blockers(place("new", "h1"))

    lab.run(story())


def test_a_target_that_dies_leaves_the_instance_where_it_ran() -> None:
    lab = Lab(POOL, "at 5 host h2 dies")

    async def story() -> None:
        assert isinstance(await lab.try_to(move("a1", "h1", "h2")), Refused)
        there = (await lab.engine.sense()).instance("a1")
        assert (there.host, there.state) == ("h1", State.RUNNING)

    lab.run(story())


def test_the_way_out_of_a_death_fence_evacuate() -> None:
    lab = Lab(POOL, "at 5 host h1 dies")

    async def story() -> None:
        await lab.clock.sleep(6.0)
        assert await lab.engine.blockers(move("a1", "h1", "h2"))
        await lab.do(Fence(id="fence", host="h1"))
        assert (await lab.engine.sense()).instance("a1").state is State.FAILED
        away = Evacuate(id="away", instance="a1", source="h1", target="h2")
        assert await lab.engine.blockers(away) == []
        await lab.do(away)
        await lab.do(PowerOn(id="on", host="h1"))
        seen = await lab.engine.sense()
        assert (seen.instance("a1").host, seen.instance("a1").state) == ("h2", State.RUNNING)
        assert seen.host("h1").schedulable

    lab.run(story())


def test_a_host_returns() -> None:
    lab = Lab(POOL, "at 5 host h1 dies\nat 50 host h1 returns")

    async def story() -> None:
        await lab.clock.sleep(60.0)
        seen = await lab.engine.sense()
        assert seen.host("h1").schedulable
        assert seen.instance("a1").state is State.FAILED
        await lab.do(Start(id="start", instance="a1", host="h1"))
        assert (await lab.engine.sense()).instance("a1").state is State.RUNNING

    lab.run(story())


def test_the_second_migration_fails_half_way() -> None:
    lab = Lab(POOL, "on 2nd migrate fails at 0.5")

    async def story() -> None:
        assert await lab.try_to(move("a1", "h1", "h2")) is None
        began = lab.elapsed
        assert isinstance(await lab.try_to(move("a2", "h1", "h2")), Refused)
        assert lab.elapsed - began == pytest.approx(Timing().setup_s + 5.12, abs=0.01)
        assert await lab.try_to(move("a3", "h1", "h2")) is None
        assert isinstance(await lab.try_to(move("a2", "h1", "h2")), Refused)  # its known outcome
        seen = await lab.engine.sense()
        assert [seen.instance(name).host for name in ("a1", "a2", "a3")] == ["h2", "h1", "h2"]

    lab.run(story())


def test_an_action_without_memory_fails_at_its_share() -> None:
    lab = Lab(POOL, "on place n* fails at 0.5")

    async def story() -> None:
        before = (await lab.engine.sense()).digest
        assert isinstance(await lab.try_to(place("new", "h2")), Refused)
        assert lab.elapsed == pytest.approx(1.0, abs=0.01)
        assert await lab.try_to(place("other", "h2")) is None
        await lab.do(move("other", "h2", "h3"))
        assert (await lab.engine.sense()).digest != before
        assert "new" not in (await lab.engine.sense()).instances.row

    lab.run(story())


def test_a_call_hangs_and_then_succeeds() -> None:
    lab = Lab(POOL, "on place hangs for 30")

    async def story() -> None:
        reports = await lab.do(place("new", "h2"))
        assert lab.elapsed == pytest.approx(32.0, abs=0.01)
        assert reports[0].phase == "waiting"
        assert reports[-1].phase == "place"

    lab.run(story())


def test_a_lost_outcome_is_lost_once() -> None:
    lab = Lab(POOL, "on 1st place is lost")

    async def story() -> None:
        assert isinstance(await lab.try_to(place("new", "h2")), Lost)
        assert await lab.engine.find("place-new") is Trace.DONE
        assert await lab.try_to(place("new", "h2")) is None
        assert (await lab.engine.sense()).instance("new").host == "h2"

    lab.run(story())


def test_an_engine_that_is_away_answers_nobody_and_forgets_nothing() -> None:
    lab = Lab(POOL, "at 5 away for 20")

    async def story() -> None:
        moving = asyncio.create_task(lab.try_to(move("a1", "h1", "h2")))
        await lab.clock.sleep(6.0)
        for question in (
            lab.engine.sense(),
            lab.engine.find("x"),
            lab.engine.blockers(place("new", "h2")),
            lab.do(place("new", "h2")),
        ):
            with pytest.raises(Unavailable):
                await question
        assert isinstance(await moving, Lost)
        await lab.clock.sleep(20.0)
        assert await lab.engine.find("move-a1") is Trace.DONE
        assert await lab.engine.find("place-new") is Trace.UNKNOWN
        assert (await lab.engine.sense()).instance("a1").host == "h2"

    lab.run(story())


def test_a_stale_answer_is_an_old_pool_with_its_old_time() -> None:
    lab = Lab(POOL, "at 5 stale for 30")

    async def story() -> None:
        before = await lab.engine.sense()
        await lab.clock.sleep(6.0)
        await lab.do(place("new", "h2"))
        stale = await lab.engine.sense()
        assert stale.digest == before.digest
        assert stale.taken_at == pytest.approx(1005.0)
        await lab.clock.sleep(30.0)
        fresh = await lab.engine.sense()
        assert fresh.instance("new").host == "h2"
        assert fresh.taken_at == lab.clock.now()

    lab.run(story())


def test_rules_count_what_is_accepted_only() -> None:
    lab = Lab(POOL, "on 2nd place fails at 0")

    async def story() -> None:
        await lab.try_to(place("x", "h9"))
        assert await lab.try_to(place("one", "h2")) is None
        await lab.try_to(place("x", "h9"))
        assert isinstance(await lab.try_to(place("two", "h2")), Refused)

    lab.run(story())


def test_a_rule_concerns_names_and_verbs() -> None:
    rule = Script.parse("on any a* is lost").rules[0]
    assert isinstance(rule, Rule)
    assert rule.concerns(place("a7", "h1"))
    assert not rule.concerns(place("b", "h1"))
    assert rule.concerns(Fence(id="f", host="abc"))
