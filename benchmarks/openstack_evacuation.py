# SPDX-License-Identifier: Apache-2.0
"""A dead compute of a real OpenStack is evacuated: high availability beside Nova's own floor.

One run has both: the floor is as many evacuate calls at once as there are servers, on a host that
Nova knows to be dead. Ours is the product's own responder with its store, from the step that holds
the proof to the last order that Nova has taken; telling Nova of the death, looking who is there and
choosing homes is in it. Each is done `--runs` times, in turn.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from labs.openstack import Lab
from labs.openstack.seeding import Seed

from benchmarks.figure import Figure, Peer
from billow.act.clock import SystemClock
from billow.act.guard import World
from billow.act.lease import Writer
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.open import engine_of
from billow.engines.openstack.transport import Answer, Request, Transport, Versions, open_transport
from billow.errors import Unavailable
from billow.ha.deeds import Deeds, Hands
from billow.ha.hearing import Hearing
from billow.ha.power import PowerWatch
from billow.ha.responder import Crew, Responder
from billow.ha.rooms import Rooms
from billow.migrations import rooms
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.incident import Phase
from billow.model.ha.policy import HaPolicy
from billow.model.ha.view import View
from billow.model.kinds import Power
from billow.model.policy import Limits
from billow.plan.ha.facts import Terms
from billow.sense.collect import Collector
from billow.sense.recorder import Recorder
from billow.settings import Settings
from billow.store.store import Store

SERVERS: Final = 40
COMPUTES: Final = 6
MOST: Final = 1.5
PATIENCE_S: Final = 600.0
_VERSION: Final = "2.90"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how many servers die together, and how often."""
    parser.add_argument("--servers", type=int, default=SERVERS)
    parser.add_argument("--runs", type=int, default=3)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield the time to the last order taken; the goal is a multiple of Nova's own floor."""
    root = os.environ.get("BILLOW_OPENSTACK_LAB")
    with Lab.started(Path(root) if root else None, COMPUTES) as lab:
        os.environ.update(lab.environment)
        try:
            yield from measured(lab, arguments.servers, arguments.runs)
        finally:
            lab.restore()


def measured(lab: Lab, servers: int, runs: int) -> Iterator[Figure]:
    """Yield the figures, measured on a lab whose servers are all removed."""
    floors, ours = list[float](), list[float]()
    for _ in range(runs):
        floors.append(asyncio.run(_floor(_Try.prepared(lab, servers), servers)))
        ours.append(asyncio.run(_ours(_Try.prepared(lab, servers), servers)))
    floor, taken = median(floors), median(ours)
    what = f"O4 {servers} servers of a dead compute"
    peer = Peer(f"{servers} evacuate calls at once", floor)
    yield Figure(
        f"{what}: verdict to the last order taken", taken, "s", goal=MOST * floor, peer=peer
    )
    yield Figure(f"{what}: of the floor", taken / floor, "x", goal=MOST)
    yield Figure(f"{what}: load of the machine", os.getloadavg()[0], "processes")


@dataclass
class _Watched:
    """A transport that notes when Nova has taken an evacuation; fulfils `Transport`."""

    inner: Transport
    taken: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.inner.name

    def versions(self, service: str) -> Versions | None:
        return self.inner.versions(service)

    def close(self) -> None:
        self.inner.close()

    def send(self, request: Request) -> Answer:
        answer = self.inner.send(request)
        if "evacuate" in (request.body or {}) and answer.status < 400:
            self.taken.append(time.time())
        return answer


@dataclass
class _Try:
    """One host with its servers, about to die; an observer, a commander and a Bmc of it."""

    lab: Lab
    host: str
    transport: _Watched
    uuids: list[str]
    dead: bool = False

    @classmethod
    def prepared(cls, lab: Lab, servers: int) -> "_Try":
        """Put servers on the last host of a lab that is emptied for it."""
        lab.restore()
        host = lab.hosts[-1]
        seeds = [Seed(f"dying-{number}", "1c1g", host) for number in range(servers)]
        found = lab.seeding.plant(seeds)
        transport = _Watched(open_transport(lab.environment["OS_CLOUD"], 64))
        return cls(lab, host, transport, sorted(found.values()))

    def view(self, now: float) -> View:
        """Return whom a controller hears: all but the dead one."""
        hosts = tuple(self.lab.hosts)
        heard = np.full((len(hosts), len(NETWORKS)), now)
        if self.dead:
            heard[hosts.index(self.host)] = now - 60.0
        return View("bench", now, hosts, heard, np.full(len(NETWORKS), 1.0), {})

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Take no orders."""
        raise Unavailable(f"{host} does not answer over {network}: {body.get('do')}")

    async def power(self, host: str) -> Power:
        """Read."""
        return Power.OFF if self.dead and host == self.host else Power.ON

    async def off(self, host: str) -> str:
        """Prove that the dead one is off."""
        if not (self.dead and host == self.host):
            raise Unavailable(f"{host} lives")
        return "read off twice"

    async def on(self, host: str) -> None:
        """Leave it."""
        raise Unavailable(f"{host} is left as it is")

    async def identity(self, host: str) -> str:
        """Return a name."""
        return host

    def cut(self) -> None:
        """Let the host die."""
        self.lab.power_cut(self.host)
        self.dead = True


async def _floor(tried: _Try, servers: int) -> float:
    """Return how long as many calls take as there are servers, all at once, s."""
    tried.cut()
    cloud = Cloud(tried.transport, calls_at_once=servers, calls_per_s=100_000.0)
    asked = f"/os-services?binary=nova-compute&host={tried.host}"
    service = (await cloud.get("compute", asked, _VERSION))["services"][0]["id"]
    down: dict[str, Any] = {"forced_down": True}
    await cloud.call("PUT", "compute", f"/os-services/{service}", down, _VERSION)
    targets = [each for each in tried.lab.hosts if each != tried.host]

    async def leave(number: int, uuid: str) -> None:
        order = {"evacuate": {"host": targets[number % len(targets)]}}
        await cloud.call("POST", "compute", f"/servers/{uuid}/action", order, _VERSION)

    began = time.time()
    await asyncio.gather(*(leave(*each) for each in enumerate(tried.uuids)))
    taken = max(tried.transport.taken) - began
    await asyncio.to_thread(_await_elsewhere, tried)
    await cloud.aclose()
    return taken


async def _ours(tried: _Try, servers: int) -> float:
    """Return how long high availability takes from its verdict to the last order, s."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        settings = Settings(
            engine="openstack",
            state_dir=state,
            allow_changes=True,
            cloud_shared_disks=True,
            cloud_calls_per_s=10_000.0,
        )
        clock = SystemClock()
        cloud = Cloud(
            tried.transport,
            calls_at_once=settings.cloud_calls_at_once,
            calls_per_s=settings.cloud_calls_per_s,
        )
        engine = engine_of(cloud, settings, clock)
        store = await Store.open(f"sqlite:///{state / 'billow.db'}")
        writer = Writer(store, clock, "bench", ttl_s=3600.0)
        await writer.turn()
        collector = Collector(engine, Recorder())
        world = World(engine, collector, store, store, clock, writer, Limits())
        policy = HaPolicy(settle_s=0.1)
        deeds = Deeds(Hands(world, tried, tried, _stay, Terms.of(policy)))
        hearing = Hearing([tried], store, PowerWatch(tried, clock), lambda _: None, 1)
        crew = Crew(hearing, deeds, Rooms(collector, rooms))
        responder = Responder("bench", world, crew, store, policy, 1)
        await collector.fresh()
        try:
            return await _recovered(tried, responder, store, servers)
        finally:
            await responder.aclose()
            await engine.aclose()
            await store.aclose()


async def _recovered(tried: _Try, responder: Responder, store: Store, servers: int) -> float:
    """Let a host die and wait for its recovery; return the seconds to the last order."""
    await responder.turn()
    await asyncio.to_thread(tried.cut)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await responder.turn()
            await asyncio.sleep(0.05)
            found = await store.incidents(host=tried.host, limit=1)
            if found and found[0].phase is Phase.QUARANTINE:
                break
    steps = await store.steps(found[0].id)
    verdict = min(step.at for step in steps if step.incident.phase is Phase.RECOVERING)
    assert len(tried.transport.taken) == servers, "each is ordered once"
    assert all(not each.why for each in found[0].victims), found[0].victims
    return max(tried.transport.taken) - verdict


async def _stay(_host: str, _at_once: bool) -> None:  # noqa: FBT001 - a deed's own field
    """Move nobody: nothing here asks for that."""


def _await_elsewhere(tried: _Try) -> None:
    until = time.monotonic() + PATIENCE_S
    host = f"/servers/detail?all_tenants=1&host={tried.host}"
    while left := len(tried.lab.client.get("compute", host)["servers"]):
        assert time.monotonic() < until, f"{left} are still there"
        time.sleep(1.0)
