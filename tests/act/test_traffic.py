# SPDX-License-Identifier: Apache-2.0
"""Moves of a run go as their links have use for them: real executor, simulated world and time."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from billow.act.execute import Execution
from billow.act.guard import World
from billow.act.lease import Writer
from billow.act.traffic import Traffic
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.script import Script
from billow.engines.sim.setting import Setting
from billow.engines.sim.timing import Timing
from billow.engines.sim.world import World as SimWorld
from billow.errors import Conflict
from billow.migrations import Migrations
from billow.model.action import Action, Migrate, Place
from billow.model.assessment import Guest, Way
from billow.model.assessment import Writer as Writing
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import MigrationPolicy, State
from billow.model.migration import Migration, MigrationState
from billow.model.plan import Proposal
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.run import Entry, Flow, Phase, Progress, Run, RunState
from billow.model.shape import Shape
from billow.plan.compose import Stamp, compose
from billow.plan.cost import weighed
from billow.plan.lanes import Lane
from billow.plan.traffic import Transfer
from billow.sense.collect import Collector
from billow.sense.recorder import Recorder
from billow.testing.clock import VirtualClock
from billow.testing.memory import MemoryJournal, MemoryLeases, MemoryWitness

BIG = Shape("big", 100, 10_000)
HOSTS = [Host(name, (Node(64_000, 1_000_000),)) for name in ("h1", "h2", "h3")]


def pool(*dirty: float, priority: tuple[int, ...] = ()) -> Pool:
    """Return a pool with an instance on the first host for each rate of writing."""
    return Pool.build(
        HOSTS,
        [
            Instance(
                f"i{number}",
                BIG,
                host="h1",
                state=State.RUNNING,
                dirty_mib_s=rate,
                priority=priority[number] if priority else 0,
            )
            for number, rate in enumerate(dirty)
        ],
    )


@dataclass
class Stand:
    """A controller over a simulated world, in memory and virtual time."""

    pool: Pool
    limits: Limits
    faults: str = ""
    weigh: Callable[[str], Awaitable[Guest]] | None = None

    async def run(self, *actions: Action, begun: tuple[str, ...] = ()) -> Run:
        """Carry a plan out, of which an earlier controller has begun some actions."""
        self.clock, self.journal = VirtualClock(), MemoryJournal()
        laws = Setting(Timing(report_s=0.1), Script.parse(self.faults))
        self.sim = SimWorld(self.pool, laws)
        engine = SimEngine(self.sim, self.clock)
        if self.weigh is not None:
            engine.weigh = self.weigh  # type: ignore[attr-defined]  # what the simulator needs not
        self.began = self.clock.now()
        self.sim.look(self.began)
        writer = Writer(MemoryLeases(), self.clock, "test")
        assert await writer.turn()
        collector, witness = Collector(engine, Recorder()), MemoryWitness()
        self.world = World(
            engine, collector, self.journal, witness, self.clock, writer, self.limits
        )
        self.plan = compose(self.pool, [Proposal("x", actions)], self.limits, Stamp("p"))
        entries = {each.action.id: Entry(each.action.id) for each in self.plan.steps}
        for name in begun:
            entries[name] = Entry(name, Phase.INTENDED)
        run = Run("r", "p", "tester", writer.fence, self.began, entries=entries)
        await self.journal.begin(run, self.plan)
        self.execution = Execution(self.world, self.plan, run)
        return await self.execution.carry_out()

    @property
    def seconds(self) -> float:
        return self.clock.now() - self.began

    @property
    def most_at_once(self) -> int:
        now = most = 0
        for word, _ in self.journal.written:
            now += 1 if word == "intend" else -1
            most = max(most, now)
        return most

    @property
    def order(self) -> list[str]:
        """Which action was intended when."""
        return [name for word, name in self.journal.written if word == "intend"]


def away(count: int) -> list[Migrate]:
    return [
        Migrate(instance=f"i{number}", source="h1", target=f"h{2 + number % 2}")
        for number in range(count)
    ]


def test_idle_instances_fill_the_link_and_writers_have_it_for_themselves() -> None:
    idle, writers = Stand(pool(0, 0, 0, 0), Limits()), Stand(pool(400, 400, 400), Limits())
    assert asyncio.run(idle.run(*away(4))).state is RunState.DONE
    assert 2 <= idle.most_at_once <= 4  # two may end together
    assert idle.seconds == pytest.approx(40, rel=0.03)
    assert asyncio.run(writers.run(*away(3))).state is RunState.DONE
    alone = writers.plan.steps[0].cost.seconds
    assert writers.seconds == pytest.approx(3 * alone, rel=0.05)
    assert writers.seconds == pytest.approx(writers.plan.cost.seconds, rel=0.05)


def test_high_priority_is_moved_last() -> None:
    stand = Stand(pool(400, 400, 400, priority=(5, -1, 0)), Limits())
    asyncio.run(stand.run(*away(3)))
    assert stand.order == ["p.1", "p.2", "p.0"]


def test_the_user_s_bound_is_kept() -> None:
    stand = Stand(pool(0, 0, 0), Limits(migrations_at_once_per_host=1))
    asyncio.run(stand.run(*away(3)))
    assert stand.most_at_once == 1
    assert stand.seconds == pytest.approx(stand.plan.cost.seconds, rel=0.05)


def test_other_steps_of_the_wave_do_not_wait_for_a_link() -> None:
    stand = Stand(pool(400, 400), Limits())
    places = [Place(instance=Instance(f"n{n}", BIG), host="h2") for n in range(4)]
    asyncio.run(stand.run(*away(2), *places))
    assert [len(wave) for wave in stand.plan.waves] == [6]
    assert stand.order[:5] == ["p.2", "p.3", "p.4", "p.5", "p.0"] or stand.order[-1] == "p.1"


def test_what_an_earlier_controller_began_is_counted_and_goes_on_first() -> None:
    stand = Stand(pool(400, 400), Limits())
    run = asyncio.run(stand.run(*away(2), begun=("p.1",)))
    assert run.state is RunState.DONE
    assert {each.phase for each in run.entries.values()} == {Phase.DONE}
    alone = stand.plan.steps[0].cost.seconds
    assert stand.seconds >= 2 * alone * 0.9  # one after the other


def test_after_a_failure_no_further_step_of_the_wave_starts() -> None:
    stand = Stand(pool(400, 400, 400), Limits(), "on migrate i0 fails at 0.5")
    run = asyncio.run(stand.run(*away(3)))
    assert run.state is RunState.FAILED
    phases = sorted(str(each.phase) for each in run.entries.values())
    assert phases == ["failed", "skipped", "skipped"]
    assert stand.seconds < stand.plan.steps[0].cost.seconds


def test_a_run_that_is_stopped_lets_nobody_wait() -> None:
    stand = Stand(pool(400, 400, 400), Limits())

    async def story() -> Run:
        task = asyncio.create_task(stand.run(*away(3)))
        await asyncio.sleep(0)
        await stand.clock.sleep(2.0)
        stand.execution.stop("enough")
        return await task

    run = asyncio.run(story())
    assert run.state is RunState.STOPPED
    phases = sorted(str(each.phase) for each in run.entries.values())
    assert phases == ["done", "skipped", "skipped"]
    assert stand.seconds < 2 * stand.plan.steps[0].cost.seconds


class Told:
    """A store that knows what the journal knows of one run."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand

    async def migration(self, name: str) -> Migration:
        run, _ = self.stand.journal.runs["r"]
        (step,) = (each for each in self.stand.plan.steps if each.action.id == name)
        assert isinstance(step.action, Migrate)
        return Migration(
            id=name,
            run_id=run.id,
            plan_id=run.plan_id,
            actor=run.actor,
            instance=step.action.instance,
            source=step.action.source,
            target=step.action.target,
            policy=MigrationPolicy.BALANCED,
            promise_s=math.nan,
            entry=run.entries.get(name, Entry(name)),
        )


def test_one_that_waits_is_cancelled_by_itself() -> None:
    stand, found = Stand(pool(400, 400, 400), Limits()), list[Migration]()

    async def story() -> Run:
        task = asyncio.create_task(stand.run(*away(3)))
        await asyncio.sleep(0)
        await stand.clock.sleep(2.0)
        last = stand.plan.steps[-1].action.id
        world = stand.world
        store: Any = Told(stand)
        moves = Migrations(store, world.engine, world.collector, world.clock, world.traffic)
        found.append(await moves.cancel(last))
        with pytest.raises(Conflict, match="is cancelled"):
            await moves.cancel(last)
        return await task

    run = asyncio.run(story())
    assert run.state is RunState.DONE
    assert sorted(str(each.phase) for each in run.entries.values()) == ["done", "done", "skipped"]
    (cancelled,) = found
    assert cancelled.state is MigrationState.CANCELLED
    assert cancelled.entry.error["brief"] == "it was cancelled before it began"
    assert cancelled.id not in stand.order
    assert not stand.world.traffic.withdraw(cancelled.id), "nothing waits any more"


def test_what_is_not_known_is_measured_before_it_goes() -> None:
    asked: list[str] = []

    async def weigh(instance: str) -> Guest:
        asked.append(instance)
        dirty = 600.0 if instance == "i1" else 0.0
        writers = (Writing(dirty_mib_s=dirty, working_mib=10_000.0),)
        return Guest(memory_mib=10_000.0, writers=writers)

    lone = Stand(pool(math.nan), Limits(), weigh=weigh)
    assert asyncio.run(lone.run(*away(1))).state is RunState.DONE
    assert asked == []  # nobody else is there to be hurt
    stand = Stand(pool(math.nan, math.nan, math.nan), Limits(), weigh=weigh)
    assert asyncio.run(stand.run(*away(3))).state is RunState.DONE
    assert sorted(asked) == ["i1", "i2"]  # the first is alone meanwhile, whatever it writes
    assert stand.order == ["p.0", "p.1", "p.2"]  # it takes longer than the third


def test_who_writes_little_into_each_page_counts_as_what_is_sent_of_it() -> None:
    known = transfer("a", math.nan)
    writers = (Writing(dirty_mib_s=400.0, working_mib=100.0),)
    guest = Guest(memory_mib=1000.0, writers=writers)
    assert weighed(known, guest).writes
    deltas = weighed(known, replace(guest, changes=0.02))
    assert not deltas.writes
    assert 1000.0 < deltas.copy_mib < 1300.0  # all of it, and once more what is written again


def transfer(name: str, dirty: float = 0.0) -> Transfer:
    lanes = Lane("h1 out", 100.0), Lane(f"{name} in", 100.0)
    return Transfer(
        id=name,
        instance=name,
        hosts=("h1", name),
        route=lanes,
        copy_mib=1000.0,
        seconds=10.35,
        dirty_mib_s=dirty,
    )


def test_who_turns_out_to_write_is_left_alone_and_who_nearly_is_there_makes_room() -> None:
    async def story() -> None:
        traffic = Traffic()
        moves = [transfer(name) for name in "abcd"]
        traffic.expect(each.id for each in moves)
        traffic.announce(moves, 0, 0.0)
        going = [asyncio.create_task(traffic.enter(each.id)) for each in moves]

        async def gone() -> list[bool]:
            await asyncio.sleep(0)
            return [each.done() for each in going]

        assert await gone() == [True, True, False, False]
        flow = Flow(way=Way.PLAIN, seconds=1.0, left_mib=500.0, rate_mib_s=50.0)
        copying = Progress(0.5, "copying", 10.0, copied_mib=10.0, total_mib=1000.0, flow=flow)
        traffic.heard("a", copying, 0.5)  # set-up took half a second
        writing = replace(copying, flow=replace(flow, dirty_mib_s=(30.0,)))
        traffic.heard("a", writing, 1.0)
        traffic.leave("b", 2.0)
        assert await gone() == [True, True, False, False]
        traffic.heard("a", replace(writing, left_s=0.1), 3.0)  # a writer's end is not believed
        assert await gone() == [True, True, False, False]
        traffic.heard("a", replace(writing, phase="arrived"), 4.0)
        assert await gone() == [True, True, True, True]
        for each in moves:
            traffic.leave(each.id, 5.0)

    asyncio.run(story())


def test_an_idle_one_that_nearly_is_there_makes_room() -> None:
    async def story() -> None:
        traffic = Traffic()
        moves = [transfer(name) for name in "abc"]
        traffic.expect(each.id for each in moves)
        traffic.announce(moves, 0, 0.0)
        third = asyncio.create_task(traffic.enter("c"))
        copying = Progress(0.5, "copying", 1.0, copied_mib=500.0, total_mib=1000.0)
        traffic.heard("a", copying, 0.5)
        await asyncio.sleep(0)
        assert not third.done()
        traffic.heard("a", replace(copying, left_s=0.4), 0.9)
        await asyncio.sleep(0)
        assert third.done()

    asyncio.run(story())


def test_who_gives_up_before_it_was_announced_is_forgotten() -> None:
    async def story() -> None:
        traffic = Traffic()
        traffic.expect(["a", "b"])
        waiting = asyncio.create_task(traffic.enter("a"))
        await asyncio.sleep(0)
        traffic.release(["a"])
        await waiting
        traffic.leave("a", 0.0)
        traffic.announce([transfer("a", 90.0), transfer("b", 90.0)], 0, 1.0)
        await asyncio.wait_for(traffic.enter("b"), 1.0)

    asyncio.run(story())


def test_who_is_cancelled_while_it_waits_is_forgotten() -> None:
    async def story() -> None:
        traffic = Traffic()
        moves = [transfer(name, 90.0) for name in "abc"]
        traffic.expect(each.id for each in moves)
        traffic.announce(moves, 0, 0.0)
        await traffic.enter("a")
        second = asyncio.create_task(traffic.enter("b"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        traffic.leave("b", 1.0)
        assert [each.id for each in traffic.under_way] == ["a"]
        traffic.leave("a", 2.0)
        await asyncio.wait_for(traffic.enter("c"), 1.0)

    asyncio.run(story())
