# SPDX-License-Identifier: Apache-2.0
"""A responder on a real store and a simulated pool; what it hears and commands is written here.

The fleet below is the truth of the tests: who is silent, whose power is off. Time is real, and the
policy is quick.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from billow.engines.sim.world import World
from billow.errors import NotFound, Unavailable
from billow.ha.deeds import Deeds, Hands
from billow.ha.empty import Emptying
from billow.ha.hearing import Hearing
from billow.ha.power import PowerWatch
from billow.ha.responder import Books, Crew, Responder
from billow.ha.rooms import Rooms
from billow.migrations import elsewhere, rooms
from billow.model.ha.evidence import NETWORKS, AgentReport, Network, Symptom
from billow.model.ha.incident import Incident, Phase
from billow.model.ha.policy import HaPolicy
from billow.model.ha.view import View
from billow.model.kinds import Power
from billow.model.pool import Pool
from billow.plan.ha.facts import Terms
from tests.act.control import Controller, Lab

POLICY = HaPolicy(
    settle_s=0.1,
    storage_grace_s=0.3,
    isolation_grace_s=0.3,
    agent_s=0.5,
    bmc_s=1.0,
    again_s=1.0,
    margin_s=0.5,
    clean_beats=2,
)
NAMES = tuple(f"h{number}" for number in range(1, 7))


@dataclass
class Fleet:
    """Agents and management controllers as they are in truth; an observer, a commander, a Bmc."""

    sim: World
    silent: dict[str, tuple[Network, ...]] = field(default_factory=dict)
    symptoms: dict[str, tuple[Symptom, ...]] = field(default_factory=dict)
    gasped: set[str] = field(default_factory=set)
    newcomers: set[str] = field(default_factory=set)
    dark: set[str] = field(default_factory=set)
    """Who has no power."""
    mute: set[str] = field(default_factory=set)
    """Whose management controllers do not answer."""
    orders: list[tuple[str, str]] = field(default_factory=list)
    cuts: list[str] = field(default_factory=list)
    boots: Counter[str] = field(default_factory=Counter)
    lease_s: float = 0.0

    def __post_init__(self) -> None:
        self._heard = np.full((len(NAMES), len(NETWORKS)), time.time())

    def view(self, now: float) -> View:
        """Return whom a controller hears."""
        for row, host in enumerate(NAMES):
            lost = self.silent.get(host, ())
            heard = [each not in lost for each in NETWORKS]
            self._heard[row, heard] = now
        reports = {host: self._report(host, now) for host in NAMES}
        limits = np.full(3, 0.2)
        return View("c", now, NAMES, self._heard.copy(), limits, reports)

    def _report(self, host: str, now: float) -> AgentReport:
        return AgentReport(
            host=host,
            at=now,
            boot=f"boot {self.boots[host]} of {host}",
            lease_s=self.lease_s,
            symptoms=self.symptoms.get(host, ()),
            gasped=host in self.gasped,
            quarantined=host in self.newcomers,
            clean_beats=0 if self.symptoms.get(host) else 100,
        )

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Obey, where the agent is reached."""
        if network in self.silent.get(host, ()):
            raise Unavailable(f"{host} does not answer")
        self.orders.append((host, str(body["do"])))
        self.newcomers -= {host} if body["do"] == "clean" else set()
        if body["do"] == "fence":
            self._strike(host, back=False)
            self._strike(host, back=True)
        return {"ok": True, "text": "all ended", "gone": []}

    async def power(self, host: str) -> Power:
        """Read."""
        self._reach(host)
        return Power.OFF if host in self.dark else Power.ON

    async def off(self, host: str) -> str:
        """Cut the power, and prove it."""
        self._reach(host)
        self.cuts.append(host)
        self.die(host)
        return "off"

    def reboot(self, host: str) -> None:
        """Let a host end all that it runs, and come back under another boot."""
        self.boots[host] += 1
        self._strike(host, back=False)
        self._strike(host, back=True)
        self.silent.pop(host, None)

    def die(self, host: str) -> None:
        """Let a host lose its power."""
        self.dark.add(host)
        self.silent[host] = NETWORKS
        self._strike(host, back=False)

    async def on(self, host: str) -> None:
        """Get power again."""
        self.dark.discard(host)
        self.boots[host] += 1
        self.silent.pop(host, None)
        self._strike(host, back=True)

    async def identity(self, host: str) -> str:
        """Return a made-up serial number."""
        return f"serial of {host}"

    def _strike(self, host: str, *, back: bool) -> None:
        """Let the simulated host die, or come back with what ran on it ended."""
        self.sim.look(time.time())
        (self.sim.field.come_back if back else self.sim.field.die)(host)
        self.sim._refresh()

    def _reach(self, host: str) -> None:
        if host not in NAMES:
            raise NotFound(f"no management controller of {host}")
        if host in self.mute:
            raise Unavailable(f"the management controller of {host} does not answer")


@dataclass
class Stand:
    """What a test holds in its hands."""

    fleet: Fleet
    lab: Lab
    controller: Controller
    responder: Responder

    async def until(self, true: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Take turns until something is true."""
        async with asyncio.timeout(timeout_s):
            while not true():
                await self.responder.turn()
                await asyncio.sleep(0.02)

    async def until_phase(self, host: str, phase: Phase, timeout_s: float = 20.0) -> Incident:
        """Take turns until the newest incident of a host is in a phase; return it."""
        async with asyncio.timeout(timeout_s):
            while True:
                await self.responder.turn()
                found = await self.lab.store.incidents(host=host, limit=1)
                if found and found[0].phase is phase:
                    return found[0]
                await asyncio.sleep(0.02)

    def homes(self) -> dict[str, str]:
        """Return where each instance is in truth."""
        return {each.id: each.host for each in self.lab.pool().instance_views()}


@asynccontextmanager
async def stand(pool: Pool, folder: Path, policy: HaPolicy = POLICY) -> AsyncIterator[Stand]:
    """Give a controller that takes part in high availability, over hosts h1 to h6."""
    async with Lab(pool, folder) as lab:
        fleet = Fleet(lab.sim)
        controller = await lab.controller()
        async with responding(fleet, lab, controller, policy) as responder:
            yield Stand(fleet, lab, controller, responder)
        await controller.loop.aclose()


@asynccontextmanager
async def responding(
    fleet: Fleet,
    lab: Lab,
    controller: Controller,
    policy: HaPolicy = POLICY,
    books: Books | None = None,
) -> AsyncIterator[Responder]:
    """Give the responder of a controller, with books of its own if there are such."""
    world = controller.world
    emptying = Emptying(controller.loop, elsewhere)
    deeds = Deeds(Hands(world, fleet, fleet, emptying.empty, Terms.of(policy)))
    power = PowerWatch(fleet, world.clock)
    hearing = Hearing([fleet], lab.store, power, lambda _: None, 1)
    crew = Crew(hearing, deeds, Rooms(world.collector, rooms))
    responder = Responder("c", world, crew, books or lab.store, policy, 1)
    try:
        yield responder
    finally:
        await responder.aclose()
