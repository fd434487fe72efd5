# SPDX-License-Identifier: Apache-2.0
"""Turn what is heard of hosts into incidents, and incidents into deeds.

Each turn: look, publish what was seen, read what the others saw, agree, and let the pure `decide`
say the next steps. Only the writer takes them: each is kept by compare-and-set before its deeds are
begun. A controller that begins to write goes on with what it finds.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final, Protocol

import structlog

from billow.act.guard import World
from billow.errors import BillowError, Conflict
from billow.ha import measured
from billow.ha.deeds import Deeds, is_ours
from billow.ha.hearing import Heard, Hearing, Hung, Watched
from billow.ha.remains import Remains
from billow.ha.rooms import Rooms
from billow.model.ha.care import Maintenance
from billow.model.ha.evidence import Sight
from billow.model.ha.incident import Fate, Incident, Phase, Recovery
from billow.model.ha.policy import HaPolicy
from billow.model.ha.response import Clean, CloseOff, MoveAway
from billow.model.ha.step import IncidentStep
from billow.model.hosts import Hosts
from billow.model.pool import Pool
from billow.plan.ha.aftermath import start_of
from billow.plan.ha.decide import Decision, barred, decisions
from billow.plan.ha.explain import explain
from billow.plan.ha.facts import Terms
from billow.plan.ha.fleet import Evidence, Layout, Place
from billow.plan.ha.record import facts_document
from billow.plan.ha.recovery import Pace, rooms_now, victims_of
from billow.ports import Care, Incidents

EVERY_S: Final = 0.05
"""How often it looks: a verdict is late by so much at most."""
_REST: Final = 4.0
"""It rests so many times as long as a look takes, if that is longer than `EVERY_S`."""
_LONGEST_REST_S: Final = 0.5
_READ_EVERY_S: Final = 1.0
"""How often what people say, and what was closed, is read again."""
_NO_HOSTS: Final = Pool.build(()).hosts
log = structlog.get_logger()


class Books(Incidents, Care, Protocol):
    """Where incidents are kept, and what people said of hosts."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who does what for a responder."""

    hearing: Hearing
    deeds: Deeds
    rooms: Rooms


class Responder:
    """This controller's part in high availability."""

    def __init__(
        self, name: str, world: World, crew: Crew, books: Books, policy: HaPolicy, controllers: int
    ) -> None:
        self._name = name
        self._world = world
        self._crew = crew
        self._books = books
        self._policy = policy
        self._controllers = controllers
        self._open: dict[str, Incident] = {}
        self._fence = 0
        self._read_at = 0.0
        self._maintenance: Sequence[Maintenance] = ()
        self._history: Sequence[Incident] = ()
        self._layout = Layout({})
        self._seen: tuple[Hosts | None, Watched, Hung] = (None, (), {})
        self._remains = Remains(world.collector)
        self._first: asyncio.Task[None] | None = None
        self._due = 0.0

    async def turn(self) -> None:
        """Look once, and take every step that is due. Call it every `EVERY_S`.

        A fleet that takes long to look at is looked at more seldom: the controller has other work.
        """
        began = monotonic()
        if began >= self._due:
            await self._turn()
            ended = monotonic()
            self._due = ended + min(_REST * (ended - began) - EVERY_S, _LONGEST_REST_S)

    async def _turn(self) -> None:
        now = self._world.clock.now()
        pool = self._world.collector.seen
        heard = await self._crew.hearing.look(partial(self._lay_out, pool), self._open.keys(), now)
        if pool is None:
            self._look_first()
            return
        if not self._world.writer.held:
            if self._fence:
                self._fence = 0
                measured.show(())
            return
        await self._read(now)
        if not heard.sights and not self._open:
            return
        evidence = self._evidence(heard, pool)
        for decision in decisions(evidence, now):
            await self._take(decision, now)
        self._keep_moving(evidence, now)
        for sight in heard.sights.values():
            self._admit(sight, now)

    def _look_first(self) -> None:
        """Look at the pool; until that is done this controller has a voice, and decides nothing."""
        if self._first is None or self._first.done():
            self._first = asyncio.create_task(self._first_look(), name="first look")

    async def _first_look(self) -> None:
        try:
            await self._world.collector.fresh()
        except BillowError as error:
            log.warning("nothing is decided before the pool was seen", why=error.brief)
            await asyncio.sleep(_READ_EVERY_S)

    async def aclose(self) -> None:
        """Let go of everything; another controller goes on with what is open."""
        await self._crew.hearing.aclose()
        await self._crew.rooms.aclose()
        await self._remains.aclose()
        if self._first is not None:
            self._first.cancel()
            await asyncio.gather(self._first, return_exceptions=True)
        await self._crew.deeds.aclose()

    async def _read(self, now: float) -> None:
        """Read what is open when this controller begins to write, and what people say, often."""
        began = self._fence != self._world.writer.fence
        if not began and now - self._read_at < _READ_EVERY_S:
            return
        self._maintenance = await self._books.maintenances(now)
        past_s = self._policy.quarantine_s + self._policy.flap_s
        self._history = await self._books.closed_incidents(now - past_s)
        opened = await self._books.open_incidents()
        self._open = {each.host: each for each in opened}
        self._fence, self._read_at = self._world.writer.fence, now
        measured.show(opened)
        for incident in opened:
            self._resume(incident, began=began)
        for incident in self._history:
            self._let_open(incident)

    def _resume(self, incident: Incident, *, began: bool) -> None:
        """Begin again what was not ended, by the last controller or by a lease that lapsed.

        Each may be done twice; what is under way, or has an answer, is not begun anew.
        """
        if incident.cordoned and began:
            self._crew.deeds.begin(incident, CloseOff(incident.host, closed=True, why="ha"))
        answers = self._crew.deeds.answers(incident.id)
        for victim in incident.victims:
            if victim.fate is not Fate.STARTING or victim.fence != self._fence:
                continue
            start = start_of(victim, incident)
            if not any(each.deed == start and each.at >= victim.began_at for each in answers):
                self._crew.deeds.begin(incident, start)

    def _let_open(self, incident: Incident) -> None:
        """Open a host again that was closed off for an incident of the past, if it still is."""
        pool = self._world.collector.seen
        if not incident.cordoned or incident.host in self._open or pool is None:
            return
        if incident.host in pool.hosts.row and is_ours(pool.host(incident.host).cordon):
            self._crew.deeds.begin(incident, CloseOff(incident.host, closed=False))

    def _evidence(self, heard: Heard, pool: Pool) -> Evidence:
        incidents = list(self._open.values())
        remains = self._remains.of(incidents)
        victims = {host: victims_of(pool, host) for host in heard.sights}
        chosen = self._crew.rooms.chosen(incidents)
        return Evidence(
            fence=self._world.writer.fence,
            layout=self._layout,
            policy=self._policy,
            sights=heard.sights,
            faint=heard.faint,
            uneven=heard.uneven,
            incidents=dict(self._open),
            history=self._history,
            answers={each.id: self._crew.deeds.answers(each.id) for each in incidents},
            victims=victims | {host: found or () for host, found in remains.items()},
            unseen={host for host, found in remains.items() if found is None},
            rooms=rooms_now(incidents, chosen, Pace()),
            nowhere=self._crew.rooms.nowhere,
            maintenance=self._maintenance,
            controllers=self._controllers,
            present=heard.present,
        )

    async def _take(self, decision: Decision, now: float) -> None:
        """Keep a step, then begin its deeds. Somebody else's step before it makes it void."""
        turn, facts = decision.turn, decision.facts
        incident = turn.incident
        step = IncidentStep(
            at=now,
            actor=self._name,
            fence=facts.fence,
            why=turn.why,
            incident=incident,
            deeds=turn.deeds,
            facts=facts_document(facts, Terms.of(self._policy)),
            explanation=explain(facts, decision.rulings),
        )
        try:
            if incident.host not in self._open:
                await self._books.open_incident(step)
            else:
                await self._books.advance_incident(step)
        except Conflict as error:
            log.info("somebody was first", incident=incident.id, why=error.brief)
            self._read_at = 0.0
            return
        log.info("incident", id=incident.id, phase=incident.phase, why=turn.why)
        measured.count(self._open.get(incident.host), incident, now)
        self._note(incident)
        for deed in turn.deeds:
            self._crew.deeds.begin(incident, deed)

    def _note(self, incident: Incident) -> None:
        if incident.phase.open:
            self._open[incident.host] = incident
        else:
            del self._open[incident.host]
            self._crew.deeds.forget(incident.id)
        measured.show(self._open.values())

    def _keep_moving(self, evidence: Evidence, now: float) -> None:
        """Go on emptying living hosts: what came up meanwhile, or did not go the first time.

        Not where a gate was shut meanwhile; a move that is under way ends.
        """
        moving = [
            each
            for each in self._open.values()
            if each.phase is Phase.MOVING and evidence.victims.get(each.host)
        ]
        shut = barred(evidence, now) if moving else ()
        for incident in moving:
            away = MoveAway(incident.host, at_once=incident.recovery is Recovery.MOVE)
            ended = [each.at for each in self._crew.deeds.answers(incident.id) if each.deed == away]
            is_due = now - max(ended, default=0.0) >= self._policy.again_s
            if is_due and incident.host not in shut:
                self._crew.deeds.begin(incident, away)

    def _admit(self, sight: Sight, now: float) -> None:
        """Let a host count whose agent has come, and for which no incident asks for more."""
        well = not sight.lost and sight.clean_beats >= self._policy.clean_beats
        if not (sight.quarantined and well) or sight.host in self._open:
            return
        name = f"admit-{sight.host}"
        asked = [each.at for each in self._crew.deeds.answers(name)]
        if now - max(asked, default=0.0) >= self._policy.again_s:
            self._crew.deeds.forget(name)
            come = Incident(
                id=name, host=sight.host, opened_at=now, row=0, since=now, phase=Phase.CLOSED
            )
            clean = Clean(sight.host, sight.reachable[0], self._fence, sight.boot)
            self._crew.deeds.begin(come, clean)

    def _lay_out(self, pool: Pool | None, watched: Watched, hung: Hung) -> Layout:
        """Say where watched hosts stand, anew when the hosts or the watch are others."""
        hosts = _NO_HOSTS if pool is None else pool.hosts
        if self._seen[0] is not hosts or self._seen[1:] != (watched, hung):
            self._seen = (hosts, watched, hung)
            self._layout = layout_of(hosts, watched, hung)
        return self._layout


def layout_of(hosts: Hosts, watched: Watched, hung: Hung) -> Layout:
    """Return where hosts stand, as far as pool and agents tell. Linear in the hosts."""
    zones, racks, row = hosts.zone.values(), hosts.rack.values(), hosts.row
    places = {
        host: Place(
            zones[row[host]] if host in row else "",
            racks[row[host]] if host in row else "",
            pools=hung.get(host, ()),
        )
        for host in dict.fromkeys(host for hosts in watched for host in hosts)
    }
    return Layout(places)
