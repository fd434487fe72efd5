# SPDX-License-Identifier: Apache-2.0
"""The composition root: settings become one object that every face calls.

It is the only file that knows all parts. It pairs them and decides nothing.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

from billow import telemetry
from billow.act.clock import SystemClock
from billow.act.guard import World
from billow.act.lease import Writer
from billow.act.pairing import Pairing
from billow.act.scheduler import chosen_by
from billow.act.turns import guarded, keep
from billow.act.undo import way_back
from billow.capabilities.placement.plan import why_not
from billow.capabilities.placement.policy import PlacementPolicy
from billow.catalog import CAPABILITIES
from billow.doctor import Check, of_hosts
from billow.errors import BillowError, Conflict, Leased
from billow.ha.open import HighAvailability, Parts, open_high_availability
from billow.identity.keeper import Keeper
from billow.incidents import Incidents
from billow.loop import Loop, Wish, mending
from billow.migrations import Migrations, elsewhere, rooms
from billow.model.ask import Ask
from billow.model.counting import counted, extent
from billow.model.event import Event, EventKind
from billow.model.group import Group
from billow.model.ha.policy import HaPolicy
from billow.model.instance import Instance
from billow.model.names import check_name
from billow.model.plan import Plan, Proposal, Rejection
from billow.model.pool import Pool
from billow.model.report import Report
from billow.model.run import Run
from billow.plan.asked import requested
from billow.policies import Policies, limits_of
from billow.ports import Capability, Clock, Engine
from billow.sense.collect import Collector
from billow.sense.history_file import contents, load, write
from billow.sense.recorder import Recorder
from billow.settings import Settings
from billow.store.claim import claim
from billow.store.plans import PlanRow
from billow.store.store import Store

HISTORY = "history.npz"
"""Where the recent past is kept, in the state folder."""
SAVED_EVERY_S = 600.0
"""How often it is; a crash loses so much of it."""
ANSWERS_KEPT_S = 86_400.0
"""How long an Idempotency-Key is remembered."""

ENGINES: Mapping[str, str] = {
    "sim": "billow.engines.sim.open",
    "qemu": "billow.engines.qemu.open",
    "libvirt": "billow.engines.libvirt.open",
    "openstack": "billow.engines.openstack.open",
    "ipmi": "billow.engines.ipmi.open",
    "redfish": "billow.engines.redfish.open",
}
"""Modules with `open_engine(settings, clock)`, imported only when used."""
POWER_ONLY = frozenset({"ipmi", "redfish"})
"""Engines in which no pool lives: they may come and go beside the others."""


class Billow:
    """The whole product behind one face. Open it with `open_billow`."""

    def __init__(
        self, settings: Settings, store: Store, engine: Engine, keeper: Keeper, clock: Clock
    ) -> None:
        self.settings = settings
        self.store = store
        self.keeper = keeper
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._clock = clock
        self._engine = engine
        writer = Writer(store, clock, self.name, ttl_s=settings.lease_s)
        self._recorder = Recorder(settings.history_step_s)
        load(self._recorder, settings.state_dir / HISTORY)
        collector = Collector(engine, self._recorder)
        world = World(engine, collector, store, store, clock, writer, limits_of(settings))
        self.policies = Policies(CAPABILITIES, settings.policy)
        self.loop = Loop(world, store, self._new_id, self.policies.standing(settings))
        self._writer = writer
        self._collector = collector
        self.migrations = Migrations(store, engine, collector, clock, world.traffic)
        self.incidents = Incidents(store, collector, clock, self._new_id)
        self.ha: HighAvailability | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Take the lease if it is free, recover what was under way, and start to look around."""
        await guarded(self._lead)
        policy = HaPolicy.model_validate(self.policies.of("ha").model_dump())
        parts = Parts(self.loop.world, self.loop, self.store, rooms, elsewhere, policy)
        self.ha = await open_high_availability(self.settings, parts)
        self._tasks = [
            asyncio.create_task(keep(turn, every_s, self._clock))
            for turn, every_s in (
                (self._lead, self.settings.lease_s / 5),
                (self.loop.turn, self.settings.sense_every_s),
                (self._tidy, ANSWERS_KEPT_S / 24),
                (self._remember, SAVED_EVERY_S),
                *self.ha.turns,
            )
        ]

    @property
    def clock(self) -> Clock:
        """The only source of time."""
        return self._clock

    @property
    def leading(self) -> bool:
        """Whether this controller is the one that writes."""
        return self._writer.held

    async def pool(self) -> Pool:
        """Return the pool as last seen. Raises Unavailable."""
        return await self._collector.last()

    async def sense(self) -> Pool:
        """Look at the pool now. Raises Unavailable."""
        return await self._collector.fresh()

    def capabilities(self) -> Mapping[str, Capability[Any]]:
        """Return every capability by its name."""
        return self.policies.capabilities

    async def report(
        self, name: str, knobs: Mapping[str, object], plan_id: str = ""
    ) -> tuple[Report, Report | None]:
        """Return what a capability says of the pool, or of a plan's pool before and after it.

        Raises:
            NotFound: no such report or plan.
            Invalid: a knob that does not exist or cannot be so.
        """
        asked, rules = self.policies.reporting(name), self.policies.of(name, knobs)
        now = await self.pool()
        if not plan_id:
            return await asyncio.to_thread(asked.report, now, rules), None
        plan, base = await self.store.plan(plan_id), await self.store.base_of(plan_id)
        pools = [each.with_history(now.history) for each in (base, plan.predicted)]
        made = [await asyncio.to_thread(asked.report, each, rules) for each in pools]
        return made[0], made[1]

    async def propose(
        self,
        capability: str,
        policy: Mapping[str, object],
        *,
        requests: Sequence[Instance] = (),
        groups: Sequence[Group] = (),
        actor: str,
    ) -> Plan:
        """Make and keep the plan that a capability wants.

        `requests` are new instances for placement; `groups` are those that they name and the pool
        does not have yet.

        Raises:
            NotFound: no such capability.
            Invalid: the policy or a request makes no sense.
            Unavailable: the pool could not be seen.
        """
        for request in requests:
            check_name("instance name", request.id)
        chosen, rules = self.policies.capability(capability), self.policies.of(capability, policy)

        def want(pool: Pool) -> tuple[Pool, list[Proposal]]:
            grown = pool.with_groups(groups).with_requests(requests)
            return grown, [chosen.propose(grown, rules)]

        created = requests[0].id if len(requests) == 1 else counted(len(requests), "instance")
        wish = Wish(f"create {created}" if requests else capability, actor)
        return await self.loop.plan(want, wish, mending(chosen, rules))

    async def ask(self, asks: Sequence[Ask], *, actor: str) -> Plan:
        """Make and keep the plan for direct requests on things that exist.

        Raises:
            NotFound: a request on something that is not in the pool.
            Invalid: a request that makes no sense.
        """

        def want(pool: Pool) -> tuple[Pool, list[Proposal]]:
            return pool, [requested(pool, asks, elsewhere)]

        names = ", ".join(f"{each.verb} {each.subject}" for each in asks[:3])
        more = f" and {len(asks) - 3} more" if len(asks) > 3 else ""
        return await self.loop.plan(want, Wish(f"{names}{more}", actor))

    async def plan(self, plan_id: str) -> Plan:
        """Return a plan. Raises NotFound."""
        return await self.store.plan(plan_id)

    async def base_of(self, plan_id: str) -> Pool:
        """Return the pool that a plan was made for. Raises NotFound."""
        return await self.store.base_of(plan_id)

    async def plans(self, *, limit: int = 50, before: str = "") -> Sequence[PlanRow]:
        """Return plans, newest first."""
        return await self.store.plans(limit=limit, before=before)

    async def apply(self, plan_id: str, *, actor: str, if_match: str = "") -> Run:
        """Begin to carry a plan out; the run goes on in the background. See `Loop.start`."""
        return await self.loop.start(plan_id, actor=actor, if_match=if_match)

    async def stop(self, run_id: str, *, actor: str) -> Run:
        """Start no more steps of a run. Raises NotFound, Conflict."""
        run = await self.store.run(run_id)
        self.loop.stop(run_id, actor=actor)
        return run

    async def undo(self, run_id: str, *, actor: str) -> Plan:
        """Make the plan that takes a run back, to be read first. Raises NotFound, Conflict."""
        run = await self.store.run(run_id)
        if not run.state.final:
            raise Conflict(f"run {run_id} is still under way", fix="stop it first, or wait")
        plan = await self.store.plan(run.plan_id)
        wish = Wish(f"undo {run_id}", actor, plan.id)
        return await self.loop.plan(lambda pool: (pool, [way_back(plan, run, pool)]), wish)

    async def run(self, run_id: str) -> Run:
        """Return a run. Raises NotFound."""
        return await self.store.run(run_id)

    async def runs(self, *, limit: int = 50, before: str = "") -> Sequence[Run]:
        """Return runs, newest first."""
        return await self.store.runs(limit=limit, before=before)

    async def wait(self, run_id: str) -> Run:
        """Return a run when it has ended."""
        await self.loop.wait(run_id)
        return await self.store.run(run_id)

    async def events(
        self, *, after: int = 0, limit: int = 500, subject: str = "", newest: bool = False
    ) -> Sequence[Event]:
        """Return what happened, oldest first unless `newest`."""
        return await self.store.events(after=after, limit=limit, subject=subject, newest=newest)

    def follow(self, after: int) -> AsyncIterator[Event]:
        """Yield what happened after an event, then what happens."""
        return self.store.follow(after)

    async def choose(self, requests: Sequence[Instance]) -> Mapping[str, str]:
        """Return where the engine's own scheduler would place requests. See `chosen_by`."""
        return await chosen_by(self._engine, requests)

    async def why_not(self, request: Instance) -> Sequence[Rejection]:
        """Return what rules out which hosts for a request."""
        pool = await self.pool()
        return await asyncio.to_thread(why_not, pool, request, PlacementPolicy())

    async def doctor(self) -> Sequence[Check]:
        """Look at every part and say what is missing and how to get it."""
        checks = [Check("store", ok=True, text=self.settings.database_url.split("@")[-1])]
        role = "this controller is the writer" if self.leading else "another controller writes"
        checks.append(Check("lease", ok=True, text=role))
        try:
            pool = await self.sense()
        except BillowError as error:
            return [*checks, Check("pool", ok=False, text=error.brief, fix=error.fix)]
        age_s = self._clock.now() - pool.taken_at
        text = f"{extent(len(pool.hosts), len(pool.instances))}, seen {age_s:.0f} s ago"
        checks.append(Check("pool", ok=True, text=f"{self._engine.name}: {text}"))
        engines = (fact for fact in pool.facts if fact.subject.startswith("engine/"))
        facts = (Check(each.subject, ok=True, text=f"{each.key}: {each.value}") for each in engines)
        gaps = (Check(gap.subject, ok=False, text=gap.why) for gap in pool.gaps)
        return [*checks, *facts, *of_hosts(await self.incidents.status()), *gaps]

    async def audit(self, actor: str, text: str, subjects: tuple[str, ...] = ()) -> None:
        """Record that a person changed something or tried to."""
        event = Event(EventKind.AUDIT, self._clock.now(), text, subjects, actor)
        await self.store.tell(event)

    async def aclose(self) -> None:
        """Let go of everything; the pool runs on, and the journal knows where to go on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.ha is not None:
            await self.ha.aclose()
        await self.loop.aclose()
        await guarded(self._remember)
        await self._writer.release()
        await self._engine.aclose()
        await self.store.aclose()

    async def _lead(self) -> None:
        """Take or keep the lease; while it is held, see to it that no run is left lying."""
        await self._writer.turn()
        telemetry.WRITER.set(self.leading)
        if self.leading:
            await self.loop.recover()

    async def _tidy(self) -> None:
        """Forget answers to repeated requests that nobody will repeat any more."""
        await self.store.expire_answers(self._clock.now() - ANSWERS_KEPT_S)

    async def _remember(self) -> None:
        """Keep the recent past, so that the next process knows it."""
        if self._recorder.has_seen:
            kept, file = contents(self._recorder), self.settings.state_dir / HISTORY
            await asyncio.to_thread(write, kept, file)

    def _new_id(self, kind: str) -> str:
        """Return an id that is unique for ever and sorts by time."""
        return f"{kind}-{int(self._clock.now() * 1000):011x}{secrets.token_hex(2)}"


async def open_billow(settings: Settings, *, clock: Clock | None = None) -> Billow:
    """Open store, engine and identity, take the lease if it is free, and begin.

    Raises:
        Invalid: a setting that cannot work.
        Unavailable: the database or the engine does not answer.
    """
    claim(settings.state_dir, homes(settings.engine))
    time_source = clock or SystemClock()
    async with AsyncExitStack() as opened:
        store = await Store.open(settings.database_url)
        opened.push_async_callback(store.aclose)
        engines: list[Engine] = []
        for name in settings.engine.split("+"):
            module = import_module(ENGINES[name])
            engines.append(await module.open_engine(settings, time_source))
            opened.push_async_callback(engines[-1].aclose)
        engine = Pairing(engines) if len(engines) > 1 else engines[0]
        keeper = Keeper(store, time_source)
        await keeper.bootstrap(settings.state_dir / "token")
        billow = Billow(settings, store, engine, keeper, time_source)
        await billow.begin()
        opened.pop_all()
    return billow


async def remove_pool(settings: Settings) -> None:
    """Remove the pool of this machine and all that runs in it; the history stays. No way back.

    Raises:
        Leased: a controller still serves it.
    """
    if settings.state_dir.is_dir():
        claim(settings.state_dir, homes(settings.engine))
        store = await Store.open(settings.database_url)
        lease = await store.lease()
        await store.aclose()
        if lease is not None and lease.holder and lease.until > SystemClock().now():
            raise Leased(
                "a controller still serves this pool",
                (f"holder: {lease.holder}",),
                f"stop it first, or wait up to {settings.lease_s:.0f} s if it was killed",
            )
        for name in settings.engine.split("+"):
            await import_module(ENGINES[name]).remove_pool(settings)
        (settings.state_dir / "engine").unlink(missing_ok=True)


def homes(engine: str) -> str:
    """Return the engines in which a pool lives, of all that are paired; they own its folder."""
    living = [each for each in engine.split("+") if each not in POWER_ONLY]
    return "+".join(living) or engine
