# SPDX-License-Identifier: Apache-2.0
"""The product on one page: sense -> propose -> compose -> approve -> act.

A person's request takes the same road as a standing capability; only who approves differs.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from billow import telemetry
from billow.act.execute import Execution
from billow.act.guard import World, blocked
from billow.act.premise import unmet
from billow.act.recover import unfinished
from billow.errors import BillowError, Blocked, Conflict, Leased, Stale
from billow.model.action import Action
from billow.model.counting import counted, extent
from billow.model.event import Event, EventKind
from billow.model.plan import Plan, Proposal, Rejection
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.run import Entry, Run
from billow.plan.check import violations
from billow.plan.compose import Stamp, compose, without
from billow.plan.explain import counts
from billow.policies import Standing

log = structlog.get_logger()

Want = Callable[[Pool], tuple[Pool, Sequence[Proposal]]]
"""What is wanted of a pool: the pool with the requests that are new to it, and the proposals."""


Mend = Callable[[Pool, Sequence[Proposal]], Sequence[Proposal]]
"""What is left of proposals in a pool that has changed since they were made."""


class Plans(Protocol):
    """Where plans are kept."""

    async def save_plan(self, plan: Plan, base: Pool, *, actor: str) -> None:
        """Keep a plan and the pool that it was made for."""

    async def plan(self, plan_id: str) -> Plan:
        """Return a kept plan. Raises NotFound."""

    async def run_of(self, plan_id: str) -> str:
        """Return the run that used a plan up; empty for none."""


@dataclass(slots=True)
class _Seen:
    """What a standing capability saw and wanted last."""

    at: float = -math.inf
    digest: str = ""
    wanted: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What a plan is wanted for, and by whom."""

    title: str
    actor: str
    parent: str = ""


class Loop:
    """Makes plans and carries them out, one writer at a time."""

    def __init__(
        self, world: World, plans: Plans, name: Callable[[str], str], standing: Sequence[Standing]
    ) -> None:
        self.world = world
        self._plans = plans
        self._name = name
        self._standing = standing
        self._running: dict[str, tuple[Execution, asyncio.Task[None]]] = {}
        self._beginning: set[str] = set()
        self._digest = ""
        self._seen: dict[str, _Seen] = defaultdict(_Seen)

    async def turn(self) -> None:
        """Look at the pool once, and let the standing capabilities have their say."""
        with telemetry.SENSE_SECONDS.time():
            pool = await self.world.collector.fresh()
        _count(pool)
        if not self.world.writer.held:
            return
        if pool.digest != self._digest:
            self._digest = pool.digest
            text = extent(len(pool.hosts), len(pool.instances))
            await self._tell(EventKind.POOL_SENSED, text, (), "billow", {"digest": pool.digest})
        for each in self._standing:
            if not self._running and self._is_due(each, pool):
                await self._let_propose(each, pool)

    async def plan(self, want: Want, wish: Wish, mend: Mend | None = None) -> Plan:
        """Look, let `want` propose for what is there, and keep the one plan that comes of it.

        With `mend`, look again when it has been thought; if the pool is another one by then, the
        plan is what `mend` makes of the proposals.

        Raises:
            Invalid, NotFound: what is wanted makes no sense in this pool.
            Unavailable: the pool could not be seen.
        """
        pool = await self.world.collector.fresh()
        stamp = Stamp(self._name("p"), self.world.clock.now(), parent=wish.parent, title=wish.title)
        with telemetry.PLAN_SECONDS.time():
            grown, proposals = await asyncio.to_thread(want, pool)
            if mend and (now := await self.world.collector.fresh()).digest != pool.digest:
                pool = grown = now
                proposals = await asyncio.to_thread(mend, now, proposals)
            plan = await asyncio.to_thread(
                compose, pool, proposals, self.world.limits, stamp, grown
            )
            if refused := await self._refused(plan):
                left = without(proposals, refused)
                plan = await asyncio.to_thread(compose, pool, left, self.world.limits, stamp)
        await self._plans.save_plan(plan, pool, actor=wish.actor)
        for capability in plan.capabilities:
            telemetry.PLANS.labels(capability).inc()
        text = f"plan {plan.id} made: {counts(plan)}"
        await self._tell(EventKind.PLAN_MADE, text, (f"plan/{plan.id}",), wish.actor)
        return plan

    async def start(self, plan_id: str, *, actor: str, if_match: str = "") -> Run:
        """Begin to carry a plan out and return its run; the work goes on in the background.

        Raises:
            Stale: the pool is no longer the one that the plan, or the caller, knew.
            Conflict: the plan was carried out before.
            Blocked: changes are frozen, or the plan has no steps.
            Leased: another controller is the writer.
        """
        plan = await self._plans.plan(plan_id)
        if used := await self._plans.run_of(plan_id):
            raise Conflict(
                f"plan {plan_id} was carried out by run {used}",
                fix="make a new plan: each is carried out once",
            )
        fence = self.world.writer.fence
        if self.world.limits.frozen:
            raise Blocked("changes are frozen", fix="lift the freeze in the settings")
        if not plan.steps:
            raise Blocked("the plan has no steps", fix="there is nothing to carry out")
        _check_fresh(await self.world.collector.fresh(), plan, if_match)
        entries = {step.action.id: Entry(step.action.id) for step in plan.steps}
        now = self.world.clock.now()
        run = Run(self._name("r"), plan.id, actor, fence, now, entries=entries)
        self._beginning.add(run.id)
        try:
            await self.world.journal.begin(run, plan)
            self._launch(run.id, Execution(self.world, plan, run))
        finally:
            self._beginning.discard(run.id)
        subjects = (f"run/{run.id}", f"plan/{plan.id}")
        await self._tell(EventKind.RUN_STARTED, f"run {run.id} of {plan.id} began", subjects, actor)
        return run

    def stop(self, run_id: str, *, actor: str) -> None:
        """Start no more steps of a run. Raises Conflict when it is not under way here."""
        if run_id not in self._running:
            raise Conflict(f"run {run_id} is not under way in this controller")
        self._running[run_id][0].stop(f"stopped by {actor}")

    async def recover(self) -> None:
        """Take over every run that was left unfinished, by an earlier controller or by a fault."""
        async for execution in unfinished(self.world, self._is_here):
            self._launch(execution.run_id, execution)

    def _is_here(self, run_id: str) -> bool:
        """Return whether a run is this controller's; it is written down before it starts."""
        return run_id in self._running or run_id in self._beginning

    async def wait(self, run_id: str) -> None:
        """Return when a run is no longer under way in this controller."""
        if run_id in self._running:
            await asyncio.wait([self._running[run_id][1]])

    async def aclose(self) -> None:
        """Let go of the runs under way; the journal knows where to go on."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _launch(self, run_id: str, execution: Execution) -> None:
        task = asyncio.create_task(self._carry_out(run_id, execution), name=f"run {run_id}")
        self._running[run_id] = (execution, task)

    async def _carry_out(self, run_id: str, execution: Execution) -> None:
        try:
            run = await execution.carry_out()
            telemetry.RUNS.labels(str(run.state)).inc()
        except Leased as lost:
            log.warning("run handed over", run=run_id, why=lost.brief)
        except BillowError as error:
            log.warning("run interrupted until the next start", run=run_id, why=str(error))
        finally:
            del self._running[run_id]

    async def _refused(self, plan: Plan) -> dict[str, Rejection]:
        """Ask the engine about every step that waits for no other; return its noes by subject."""
        refused: dict[str, Rejection] = {}
        for step in plan.steps:
            action = step.action
            if step.after or action.subject in refused:
                continue
            if blockers := await self.world.engine.blockers(action):
                no = blocked(action, blockers)
                refused[action.subject] = Rejection(action.subject, no.brief, no.details, no.fix)
        return refused

    def _is_due(self, each: Standing, pool: Pool) -> bool:
        seen = self._seen[each.capability.name]
        if not each.every_s:
            return pool.digest != seen.digest
        return self.world.clock.now() >= seen.at + each.every_s

    async def _let_propose(self, each: Standing, pool: Pool) -> None:
        name, now = each.capability.name, self.world.clock.now()
        proposal = await asyncio.to_thread(each.capability.propose, pool, each.policy)
        before = self._seen[name]
        self._seen[name] = _Seen(now, pool.digest, proposal.actions)
        again = (before.digest, before.wanted) == (pool.digest, proposal.actions)
        if not proposal.actions or again:
            return  # nothing to do, or nobody has taken up the same plan yet
        wish = Wish(f"{name}: {counted(len(proposal.actions), 'step')}", "billow")
        want = _wanting(each, proposal, pool.digest)
        plan = await self.plan(want, wish, mending(each.capability, each.policy))
        if each.approved and plan.steps:
            await self.start(plan.id, actor="billow")

    async def _tell(
        self,
        kind: EventKind,
        text: str,
        subjects: tuple[str, ...],
        actor: str,
        data: Mapping[str, str] | None = None,
    ) -> None:
        now = self.world.clock.now()
        await self.world.witness.tell(Event(kind, now, text, subjects, actor, dict(data or {})))


def _count(pool: Pool) -> None:
    telemetry.HOSTS.set(len(pool.hosts))
    telemetry.INSTANCES.set(len(pool.instances))
    telemetry.GAPS.set(len(pool.gaps))


def mending(capability: object, policy: Policy) -> Mend | None:
    """Return how a capability's proposals are mended; None where it thinks in no time."""
    mended = getattr(capability, "mended", None)
    if mended is None:
        return None
    return lambda pool, proposals: [mended(pool, each, policy) for each in proposals]


def _wanting(standing: Standing, proposal: Proposal, digest: str) -> Want:
    """Want what was proposed already; think again only when the pool is another one by now."""

    def want(pool: Pool) -> tuple[Pool, Sequence[Proposal]]:
        if pool.digest == digest:
            return pool, [proposal]
        return pool, [standing.capability.propose(pool, standing.policy)]

    return want


def _check_fresh(pool: Pool, plan: Plan, if_match: str) -> None:
    """Refuse a plan whose world is gone: what it touches stands as it did, and still has room."""
    if if_match and if_match not in (pool.digest, plan.based_on):
        raise Stale(
            "the pool is not the one you have seen",
            (f"yours: {if_match}", f"now: {pool.digest}"),
            "look again and make a new plan",
        )
    if plan.based_on == pool.digest:
        return
    broken = _broken_premises(pool, plan) or violations(pool, plan)
    if broken:
        raise Stale(f"plan {plan.id} is stale", tuple(broken), "make a new plan")


def _broken_premises(pool: Pool, plan: Plan) -> list[str]:
    """Check what each step expects of subjects that no earlier step changes."""
    broken: dict[str, None] = {}
    changed: set[str] = set()
    for step in plan.steps:
        untouched = [each for each in step.action.expects if each.subject not in changed]
        broken |= dict.fromkeys(unmet(pool, untouched))
        changed.add(step.action.subject)
    return list(broken)
