# SPDX-License-Identifier: Apache-2.0
"""What the evacuation benchmark does in the simulator: the product's executor, virtual time."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from billow.act.execute import Execution
from billow.act.guard import World
from billow.act.lease import Writer
from billow.act.traffic import Admit, Traffic
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.setting import Setting
from billow.engines.sim.timing import Timing
from billow.engines.sim.world import World as SimWorld
from billow.errors import Bug
from billow.model.action import Migrate
from billow.model.group import Uplink
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.plan import Proposal
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.run import Entry, Run, RunState
from billow.model.shape import Shape
from billow.plan.compose import Stamp, compose
from billow.plan.traffic import Stage, Transfer
from billow.sense.collect import Collector
from billow.sense.recorder import Recorder
from billow.testing.clock import VirtualClock
from billow.testing.memory import MemoryJournal, MemoryLeases, MemoryWitness

GIB = 1024
ROOM = (Node(1_000_000, 4_000_000),)
REPORT_S = 0.2
"""How often real migrations are looked at, and so simulated ones."""


@dataclass(frozen=True, slots=True)
class Case:
    """A host to be emptied."""

    name: str
    pool: Pool
    targets: tuple[str, ...]


def fixed(most: int) -> Admit:
    """Return the rule that lets so many moves go at once, whatever they are."""

    def admit(
        waiting: Sequence[Transfer], under_way: Sequence[tuple[Transfer, Stage]], _: int
    ) -> Sequence[str]:
        return [each.id for each in waiting[: max(0, most - len(under_way))]]

    return admit


def cases(seed: int) -> Iterator[Case]:
    """Yield hosts to be emptied over links of 10 Gbit/s, with dice that fall alike each time."""
    dice = random.Random(seed)
    idle = [(dice.choice((1, 2, 4, 8, 16)) * GIB, 0.0) for _ in range(24)]
    writers = [(dice.choice((4, 8)) * GIB, dice.uniform(300, 700)) for _ in range(8)]
    mixed = [*idle[:12], *writers]
    dice.shuffle(mixed)
    small = [(256, 0.0)] * 60
    yield _case("24 idle instances", idle)
    yield _case("12 idle instances, 8 that write", mixed)
    yield _case("60 small instances", small)
    yield _case("40 Gbit/s source, 10 Gbit/s targets", mixed, source=4 * LINK)
    yield _case("source with links to a narrow rack", mixed, uplink=LINK / 2)


LINK = 1100.0


def _case(
    name: str,
    sizes: Sequence[tuple[int, float]],
    source: float = LINK,
    uplink: float | None = None,
) -> Case:
    targets = tuple(f"t{number}" for number in range(1, 9))
    hosts = [Host("h1", ROOM, rack="r1", bandwidth_mib_s=source)]
    racks = {each: "r1" if number % 2 else "r2" for number, each in enumerate(targets)}
    hosts += [Host(each, ROOM, rack=racks[each], bandwidth_mib_s=LINK) for each in targets]
    instances = [
        Instance(
            f"i{number:02}",
            Shape(f"{memory // GIB or 1}-{memory}", 1000, memory),
            host="h1",
            state=State.RUNNING,
            dirty_mib_s=dirty,
        )
        for number, (memory, dirty) in enumerate(sizes)
    ]
    uplinks = [Uplink("r2", uplink)] if uplink else []
    return Case(name, Pool.build(hosts, instances, uplinks=uplinks), targets)


def evacuated_s(case: Case, traffic: Callable[[], Traffic]) -> tuple[float, float]:
    """Return what emptying a host took, and what the plan foretold, seconds of the world."""
    return asyncio.run(_evacuated(case, traffic()))


async def _evacuated(case: Case, traffic: Traffic) -> tuple[float, float]:
    clock = VirtualClock()
    sim = SimWorld(case.pool, Setting(Timing(report_s=REPORT_S)))
    engine = SimEngine(sim, clock)
    sim.look(clock.now())
    journal, writer = MemoryJournal(), Writer(MemoryLeases(), clock, "benchmark")
    await writer.turn()
    collector = Collector(engine, Recorder())
    world = World(engine, collector, journal, MemoryWitness(), clock, writer, Limits(), traffic)
    moves = tuple(
        Migrate(instance=name, source="h1", target=case.targets[number % len(case.targets)])
        for number, name in enumerate(case.pool.instances.id)
    )
    plan = compose(case.pool, [Proposal("evacuate", moves)], Limits(), Stamp("p"))
    entries = {step.action.id: Entry(step.action.id) for step in plan.steps}
    run = Run("r", plan.id, "benchmark", writer.fence, clock.now(), entries=entries)
    await journal.begin(run, plan)
    began = clock.now()
    ended = await Execution(world, plan, run).carry_out()
    if ended.state is not RunState.DONE:
        raise Bug(f"not all instances were moved: {ended.text}")
    return clock.now() - began, plan.cost.seconds
