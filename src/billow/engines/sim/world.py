# SPDX-License-Identifier: Apache-2.0
"""The simulated world: a deterministic function of its pool and of what was submitted when.

Time passes only when somebody looks, and looking never changes what happens: whatever falls due is
in a queue, so the same submissions give the same world whoever watches, and a world that is
replayed from its log is the same world. It must not read a clock or roll dice.
"""

from collections import deque
from dataclasses import replace
from functools import partial
from typing import Self

from billow.engines.sim.agenda import Agenda
from billow.engines.sim.contention import seen_with
from billow.engines.sim.course import Course
from billow.engines.sim.fault import Fault, Whom
from billow.engines.sim.field import Field
from billow.engines.sim.ground import Ground
from billow.engines.sim.network import Network
from billow.engines.sim.operation import Operation, Strike
from billow.engines.sim.rules import blockers
from billow.engines.sim.script import Mishap, Moment
from billow.engines.sim.setting import Setting
from billow.errors import Invalid, Leased, NotFound, Refused
from billow.model.action import Action, Evacuate, PowerOff
from billow.model.evacuate import overtaken
from billow.model.instance import Instance
from billow.model.pool import Pool
from billow.ports import Blocker, Trace


class World:
    """Hosts, instances, links and what is under way, at one moment of its own time.

    Attributes:
        ground: What is true now.
        field: What is true of hosts, their networks, agents and management controllers.
        operations: Every action that was ever accepted, by id.
        fence: The highest fence seen.
        began_at: What the clock said when the world began; None before the first look.
        speed: How many of the world's seconds pass in one of the clock's.
        met: How often each rule of the script has met an action.
    """

    def __init__(self, pool: Pool, setting: Setting | None = None, *, now: float = 0.0) -> None:
        """Let a pool come to life at a moment of its own time. Linear in instances.

        Raises:
            Invalid: the script names a host that is not in the pool.
        """
        self.setting = setting or Setting()
        self.ground = Ground(pool)
        self.operations: dict[str, Operation] = {}
        self.fence = 0
        self.began_at: float | None = None
        self.speed = self.setting.speed
        self.met = [0] * len(self.setting.script.rules)
        self._agenda = Agenda(now)
        network = Network(pool, self.setting.timing.stream_mib_s)
        self._course = Course(self.ground, network, self.setting.timing, self._agenda)
        self.field = Field(self.ground, self._agenda, self._course.interrupt)
        self._course.follow = self.field.follow
        self._stale: tuple[Pool, float] | None = None
        self._measured: tuple[Pool, float, Pool] | None = None
        self._foresee(pool)

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Let a pool come to life where nothing goes wrong."""
        return cls(pool)

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self._agenda.now

    @property
    def history(self) -> deque[tuple[float, str]]:
        """The last things that happened: `(seconds, what)`."""
        return self._agenda.history

    @property
    def rests(self) -> bool:
        """Whether nothing is under way, so that its pool and its past say all about it."""
        return not self._course.running and self._stale is None and self.field.rests

    @property
    def away(self) -> bool:
        """Whether the script wants the engine to answer nobody now."""
        return self.setting.script.away(self.now)

    def look(self, clock_now: float) -> Self:
        """Let the world come to where a clock is; the first look is its beginning."""
        if self.began_at is None:
            self.began_at = clock_now - self.now / self.speed
        self.advance((clock_now - self.began_at) * self.speed)
        return self

    def advance(self, to: float) -> None:
        """Let everything happen that falls due until then; an earlier moment changes nothing."""
        self._agenda.advance(to)

    def pace(self, speed: float, clock_now: float) -> None:
        """Go on at another speed from this moment of the clock."""
        self.speed = speed
        self.began_at = clock_now - self.now / speed

    def pool(self) -> Pool:
        """Return the pool as it is now; the same object when nothing changed."""
        return self.ground.fold()

    def seen(self) -> tuple[Pool, float]:
        """Return what sensing shows, and of which moment of the clock it is."""
        if self._stale is not None:
            return self._stale
        return self._with_usage(self.pool()), self._clock(self.now)

    def blockers(self, action: Action) -> list[Blocker]:
        """Return why an action would be refused now."""
        busy = self._course.busy.get(action.subject)
        found = blockers(self.ground, action)
        if busy is not None and busy != action.id:
            found.append(Blocker(f"{action.subject} is busy with action {busy}", "wait for it"))
        if isinstance(action, Evacuate) and (late := overtaken(action, self._tries(action))):
            found.append(Blocker(late, "ask what became of the newer one"))
        return [*found, *self._collisions(action)]

    def submit(self, action: Action, fence: int) -> Operation:
        """Accept an action now, or return the operation that it already is.

        Raises:
            Leased: the fence is older than one already seen.
            Refused: it must not be done now; nothing changed.
        """
        self._check_fence(fence)
        known = self.operations.get(action.id)
        if known is None:
            return self._accept(action)
        if replace(known.action, reason="") != replace(action, reason=""):
            raise Refused(f"the id {action.id!a} belongs to another action", code="id-reused")
        return known

    def cancel(self, action_id: str) -> None:
        """Take back an action that is under way.

        Raises:
            NotFound: it is not under way.
            Conflict: it cannot be taken back.
        """
        operation = self.operations.get(action_id)
        if operation is None or operation.trace is not Trace.RUNNING:
            raise NotFound(f"no action {action_id!a:.80} is under way")
        self._course.cancel(operation)

    def happen(self, fault: Fault) -> None:
        """Let a fault befall now. Raises Invalid when it befalls nobody."""
        self.field.strike(fault)

    def _check_fence(self, fence: int) -> None:
        if fence < self.fence:
            raise Leased(
                f"fence {fence} is older than {self.fence}",
                fix="another controller has taken over; stop this one",
            )
        self.fence = fence

    def _tries(self, action: Evacuate) -> list[tuple[str, int]]:
        """Return every try to evacuate an instance, oldest first. Linear in operations."""
        known = (each.action for each in self.operations.values())
        evacuations = (each for each in known if isinstance(each, Evacuate))
        return [
            (each.incident, each.epoch) for each in evacuations if each.instance == action.instance
        ]

    def _collisions(self, action: Action) -> list[Blocker]:
        """Return what else under way on its hosts an action collides with."""
        busy = self._course.busy
        found = [
            Blocker(f"host {host} does not answer", "see its incident")
            for host in action.hosts
            if f"host/{host}" != action.subject and self.field.is_silent(host)
        ]
        found += [
            Blocker(f"{subject} is busy with action {busy[subject]}", "wait for it")
            for subject in (f"host/{host}" for host in action.hosts)
            if subject != action.subject and subject in busy
        ]
        if isinstance(action, PowerOff):
            found += [
                Blocker(f"action {operation.action.id} is under way on {action.host}")
                for operation in self._course.running.values()
                if action.host in operation.action.hosts and operation.action.id != action.id
            ]
        return found

    def _accept(self, action: Action) -> Operation:
        found = self.blockers(action)
        if not action.id:
            found.append(Blocker("an action needs an id"))
        if found:
            raise Refused(
                f"{action.name} of {action.subject!a} is not possible: {found[0].reason}",
                tuple(blocker.reason for blocker in found),
                found[0].fix,
            )
        strike = self._strike(action)
        operation = Operation(action, self.now, strike, self.now + strike.hang_s)
        self.operations[action.id] = operation
        self._course.begin(operation)
        return operation

    def _strike(self, action: Action) -> Strike:
        """Return what the script does to an action, the first rule whose turn it is."""
        struck = None
        for number, rule in enumerate(self.setting.script.rules):
            if rule.concerns(action):
                self.met[number] += 1
                if struck is None and rule.nth in (0, self.met[number]):
                    struck = rule.strike
        return struck or Strike()

    def _foresee(self, pool: Pool) -> None:
        """Put on the agenda what happens by itself from now on."""
        for moment in self.setting.script.moments:
            if moment.host and moment.host not in pool.hosts.row:
                raise Invalid(f"the script names host {moment.host!a}, which is not in the pool")
            if moment.fault is not None and moment.fault.whom is not Whom.OBSERVER:
                self.field.hosts_of(moment.fault)
            if moment.at >= self.now and moment.mishap is not Mishap.AWAY:
                self._agenda.schedule(moment.at, partial(self._strike_at, moment))
        for arrival in self.setting.arrivals:
            leaves_at = arrival.at + arrival.lifetime_s
            if arrival.at >= self.now:
                self._agenda.schedule(arrival.at, partial(self._arrive, arrival.request))
            if self.now <= leaves_at < float("inf"):
                self._agenda.schedule(leaves_at, partial(self._leave, arrival.request.id))

    def _strike_at(self, moment: Moment) -> None:
        match moment.mishap:
            case Mishap.DIES:
                self._course.interrupt(moment.host, f"host {moment.host} died")
                self.field.die(moment.host)
            case Mishap.RETURNS:
                self.field.come_back(moment.host)
            case Mishap.BEFALLS:
                if moment.fault is not None:
                    self.field.strike(moment.fault)
                return
            case Mishap.STALE:
                self._stale = self.seen()
                self._agenda.schedule(moment.at + moment.lasts_s, self._refresh)
            case Mishap.AWAY:
                return
        self._agenda.tell(f"{moment.mishap} {moment.host}".rstrip())

    def _refresh(self) -> None:
        self._stale = None

    def _arrive(self, request: Instance) -> None:
        if self.ground.instance(request.id) is None:
            self.ground.put(request)
            self._agenda.tell(f"{request.id} arrives")

    def _leave(self, name: str) -> None:
        """Let an instance end by itself; one that is being changed stays and is deleted later."""
        if f"instance/{name}" in self._course.busy:
            self._agenda.schedule(self.now + 1.0, partial(self._leave, name))
        elif self.ground.instance(name) is not None:
            self.ground.remove(name)
            self._agenda.tell(f"{name} leaves")

    def _clock(self, now: float) -> float:
        return (self.began_at or 0.0) + now / self.speed

    def _with_usage(self, pool: Pool) -> Pool:
        """Return the pool with what is used now; measured anew at steps of the usage's own."""
        usage = self.setting.usage
        if usage is None:
            return pool
        step = self.now // usage.every_s * usage.every_s
        if self._measured is None or self._measured[:2] != (pool, step):
            seen = seen_with(pool, *usage.measure(pool, step))
            self._measured = pool, step, seen
        return self._measured[2]
