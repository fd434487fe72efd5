# SPDX-License-Identifier: Apache-2.0
"""High availability as a whole on a simulated world and in virtual time: minutes cost milliseconds.

The responder, its hearing, its deeds and the decisions are those of the product; books are kept in
memory, and hosts fail by `engines.sim`'s faults. What is true is asked of the world itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from billow.act.guard import World
from billow.act.lease import Writer
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.fault import Fault
from billow.engines.sim.script import Script
from billow.engines.sim.setting import Setting
from billow.engines.sim.watched import Ear
from billow.engines.sim.world import World as SimWorld
from billow.errors import Conflict
from billow.ha.deeds import Deeds, Hands
from billow.ha.hearing import Hearing
from billow.ha.power import PowerWatch
from billow.ha.responder import Crew, Responder
from billow.ha.rooms import Rooms
from billow.migrations import elsewhere, rooms
from billow.model.action import Migrate
from billow.model.ha.care import Maintenance
from billow.model.ha.incident import Incident
from billow.model.ha.policy import HaPolicy
from billow.model.ha.step import IncidentStep
from billow.model.ha.view import View
from billow.model.kinds import State
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.plan.ha.facts import Terms
from billow.ports import Lease
from billow.sense.collect import Collector
from billow.sense.recorder import Recorder
from billow.testing.clock import VirtualClock

EVERY_S = 0.4


@dataclass
class Books:
    """Incidents, views and the lease, in memory; one writer."""

    steps: dict[str, list[IncidentStep]] = field(default_factory=dict)
    maintenance: list[Maintenance] = field(default_factory=list)
    seen: dict[str, View] = field(default_factory=dict)
    lease: Lease = field(default_factory=lambda: Lease("", 0, 0.0))

    async def open_incident(self, step: IncidentStep) -> None:
        if any(each.host == step.incident.host for each in self.open()):
            raise Conflict("it has an open incident")
        self.steps[step.incident.id] = [step]

    async def advance_incident(self, step: IncidentStep) -> None:
        known = self.steps[step.incident.id]
        if known[-1].incident.version != step.incident.version - 1:
            raise Conflict("somebody was first")
        known.append(step)

    async def open_incidents(self) -> Sequence[Incident]:
        return self.open()

    async def closed_incidents(self, since: float) -> Sequence[Incident]:
        return [each for each in self.all() if not each.phase.open and each.closed_at >= since]

    async def maintenances(self, _now: float) -> Sequence[Maintenance]:
        return self.maintenance

    async def publish(self, view: View) -> None:
        self.seen[view.observer] = view

    async def views(self) -> Sequence[View]:
        return [replace(each, age_s=0.0) for each in self.seen.values()]

    async def acquire(self, holder: str, ttl_s: float, now: float) -> Lease | None:
        self.lease = Lease(holder, self.lease.fence + 1, now + ttl_s)
        return self.lease

    async def renew(self, lease: Lease, ttl_s: float, now: float) -> Lease:
        return replace(lease, until=now + ttl_s)

    def all(self) -> list[Incident]:
        """Return all incidents as they are now."""
        return [steps[-1].incident for steps in self.steps.values()]

    def open(self) -> list[Incident]:
        """Return those that are open."""
        return [each for each in self.all() if each.phase.open]


@dataclass
class Drama:
    """A simulated world with one controller that takes part in high availability."""

    clock: VirtualClock
    world: SimWorld
    engine: SimEngine
    books: Books
    responder: Responder
    collector: Collector

    def strike(self, *faults: Fault | str) -> None:
        """Let faults befall, one after the other."""
        for each in faults:
            self.engine.watched.strike(Fault.parse(each) if isinstance(each, str) else each)

    async def play(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, or until something is true; return whether it is."""
        end = self.clock.now() + seconds
        while self.clock.now() < end and not until():
            await self.collector.fresh()
            self.responder._due = 0.0  # how long it rests, it counts in real time
            await self.responder.turn()
            await self.clock.sleep(EVERY_S)
        return until()

    @property
    def pool(self) -> Pool:
        """What is true now."""
        return self.world.look(self.clock.now()).pool()

    def homes(self) -> dict[str, str]:
        """Return where each instance is."""
        return {each.id: each.host for each in self.pool.instance_views()}

    def states(self) -> dict[str, State]:
        """Return how each instance is."""
        return {each.id: each.state for each in self.pool.instance_views()}

    def incident(self, host: str) -> Incident | None:
        """Return the newest incident of a host."""
        found = [each for each in self.books.all() if each.host == host]
        return found[-1] if found else None

    async def empty(self, host: str, _at_once: bool) -> None:  # noqa: FBT001 - a deed's own field
        """Move what runs on a host away, live, one after the other."""
        fence = self.books.lease.fence
        for instance in sorted(self.world.ground.residents(host)):
            pool = await self.collector.fresh()
            target, nodes = elsewhere(pool, instance)
            name = f"away-{instance}-{self.clock.now()}"
            there = pool.instance(instance)
            move = Migrate(
                id=name,
                instance=instance,
                source=host,
                target=target,
                source_nodes=there.nodes,
                target_nodes=nodes,
            )
            async for _ in self.engine.perform(move, fence=fence):
                pass


@asynccontextmanager
async def drama(
    pool: Pool,
    monkeypatch: pytest.MonkeyPatch,
    policy: HaPolicy | None = None,
    script: str = "",
) -> AsyncIterator[Drama]:
    """Give a world in which one controller responds to what befalls its hosts."""
    clock, terms = VirtualClock(), policy or HaPolicy()
    monkeypatch.setattr(asyncio, "to_thread", _here)
    sim = SimWorld(pool, Setting(script=Script.parse(script)))
    engine, books = SimEngine(sim, clock, Ear("c1")), Books()
    collector = Collector(engine, Recorder())
    writer = Writer(cast("Any", books), clock, "c1", ttl_s=1e9)
    await writer.turn()
    nobody = cast("Any", None)
    world = World(engine, collector, nobody, nobody, clock, writer, Limits())
    held = Drama(clock, sim, engine, books, cast("Responder", None), collector)
    deeds = Deeds(Hands(world, engine, engine, held.empty, Terms.of(terms)))
    hearing = Hearing([engine], cast("Any", books), PowerWatch(engine, clock), lambda _: None, 1)
    crew = Crew(hearing, deeds, Rooms(collector, rooms))
    held.responder = Responder("c1", world, crew, cast("Any", books), terms, 1)
    try:
        yield held
    finally:
        await held.responder.aclose()


async def _here(work: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - passed through
    """Do at once what would be done in a thread, so that time stands still meanwhile."""
    return work(*arguments)
