# SPDX-License-Identifier: Apache-2.0
"""Failures of hosts, for every face: looked up, explained, released by a person, left alone.

It asks the store what is known and keeps what people say; it ends and starts nothing by itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from billow.act.turns import failing
from billow.errors import Conflict, Invalid, NotFound, Unavailable
from billow.ha.rehearsal import Rehearsal
from billow.ha.responder import Responder
from billow.model.ha.alarm import Alarm
from billow.model.ha.care import Drill, Maintenance, Reach, rack_name
from billow.model.ha.incident import Incident
from billow.model.ha.status import Status
from billow.model.ha.step import IncidentStep
from billow.model.pool import Pool
from billow.plan.ha.watch import status_of
from billow.plan.ha.word import worded
from billow.ports import Clock
from billow.sense.collect import Collector
from billow.store.store import Store

LONGEST_S: Final = 30 * 86_400.0
"""A maintenance that nobody ends must end by itself within a month."""
REHEARSED_S: Final = 1200.0
"""So long a host is left alone that was turned off and on: firmware and boot take minutes."""
TRIES: Final = 5
"""How often a word is spoken anew because a controller took a step at the same time."""


@dataclass(frozen=True, slots=True)
class Leave:
    """What a person asks to be left alone.

    Attributes:
        name: Of the host, rack (or `zone/rack`) or zone; empty for the pool.
        for_s: How long, in seconds.
    """

    reach: Reach
    name: str
    for_s: float
    why: str


class Incidents:
    """The failures of hosts, and what people say of them."""

    def __init__(
        self, store: Store, collector: Collector, clock: Clock, new_id: Callable[[str], str]
    ) -> None:
        self._store = store
        self._collector = collector
        self._clock = clock
        self._new_id = new_id

    async def page(
        self, *, limit: int = 50, before: str = "", host: str = "", is_open: bool = False
    ) -> Sequence[Incident]:
        """Return incidents, newest first. See `store.incidents`."""
        return await self._store.incidents(limit=limit, before=before, host=host, is_open=is_open)

    async def one(self, incident_id: str) -> Incident:
        """Return an incident as it is now. Raises NotFound."""
        return await self._store.incident(incident_id)

    async def steps(self, incident_id: str) -> Sequence[IncidentStep]:
        """Return what was done for an incident, oldest first. Raises NotFound."""
        return await self._store.steps(incident_id)

    async def alarms(self, incident_id: str) -> Sequence[Alarm]:
        """Return what people were told of an incident, newest first."""
        return await self._store.alarms(limit=1000, incident=incident_id)

    async def release(
        self, incident_id: str, *, actor: str, why: str, is_dead: bool = False
    ) -> Incident:
        """Let a held incident go on by a person's word. See `worded`.

        Raises:
            NotFound: no such incident.
            Conflict: it is not held.
            Invalid: no reason is given.
        """
        for _ in range(TRIES):
            known = await self._store.incident(incident_id)
            step = worded(known, actor=actor, why=why, at=self._clock.now(), is_dead=is_dead)
            try:
                await self._store.record_word(step)
            except Conflict:
                continue
            return step.incident
        raise Conflict(f"incident {incident_id} changes all the time", fix="try again")

    async def status(self) -> Status:
        """Return how high availability is: who watches, what is left alone, who is ready."""
        now = self._clock.now()
        status = status_of(
            await self._store.views(),
            await self._store.maintenances(now),
            await self._store.drills(),
            await self._store.open_incidents(),
            now,
        )
        return replace(status, failing=failing(Responder.turn.__qualname__))

    async def leave(self, asked: Leave, *, actor: str) -> Maintenance:
        """Leave hosts alone for a while: failures are noted, and nothing is ended or started.

        Raises:
            NotFound: no such host, rack or zone.
            Invalid: no time, or more than a month; no reason; a rack that more than one zone has.
            Conflict: an incident of the host is being carried out.
        """
        if not 0 < asked.for_s <= LONGEST_S:
            raise Invalid(
                f"{asked.for_s:g} s is no time to leave hosts alone for",
                fix=f"give up to {LONGEST_S / 86_400:g} days, as --for 2h",
            )
        if not asked.why.strip():
            raise Invalid("people who come by want to know why", fix="say it with --why")
        asked = _found(await self._collector.last(), asked)
        await self._check_idle(asked)
        now = self._clock.now()
        made = Maintenance(
            id=self._new_id("maintenance"),
            reach=asked.reach,
            name=asked.name,
            owner=actor,
            why=" ".join(asked.why.split())[:500],
            since=now,
            until=now + asked.for_s,
        )
        await self._store.begin_maintenance(made)
        return made

    async def rehearse(self, host: str, rehearsal: Rehearsal | None, *, actor: str) -> Drill:
        """Turn an empty, cordoned host off and on, and keep whether that would have proved a death.

        It is left alone for a while: that it is silent meanwhile, and boots, is no failure.

        Raises:
            NotFound: no such host, or no management controller of it is known.
            Conflict: it is not empty, not cordoned, or an incident of it is open.
            Unavailable: this controller watches no hosts.
        """
        if rehearsal is None:
            fix = "set BILLOW_HA_MANAGEMENT and the like, see docs/how-to/watch-hosts.md"
            raise Unavailable("this controller watches no hosts", fix=fix, code="not-watching")
        pool = await self._collector.fresh()
        row = pool.host_row(host)
        if not pool.host(host).cordon:
            fix = f"billow host cordon {host} --why rehearsal"
            raise Conflict(f"{host} is not cordoned: something may come to it", fix=fix)
        if any(each.host == host for each in await self._store.open_incidents()):
            raise Conflict(f"an incident of {host} is open", fix="billow incident list --open")
        there = [each.id for each in pool.views((pool.instances.host == row).nonzero()[0].tolist())]
        if not there:
            leave = Leave(Reach.HOST, host, REHEARSED_S, "its death is rehearsed")
            await self.leave(leave, actor=actor)
        return await rehearsal.drill(host, there)

    async def resume(self, reach: Reach, name: str, *, actor: str) -> Maintenance:
        """Look after hosts again before the time is over.

        Raises:
            NotFound: no such maintenance is in force.
            Invalid: racks of that name are left alone in more than one zone.
            Conflict: high availability is armed already.
        """
        at = self._clock.now()
        named = [each.name for each in await self._store.maintenances(at) if each.reach is reach]
        if reach is Reach.POOL and not named:
            raise Conflict("high availability is armed: nothing keeps it from acting", code="armed")
        if reach is Reach.RACK and name not in named:
            name = _only(name, [each for each in named if each.endswith(f"/{name}")]) or name
        return await self._store.end_maintenance(reach, name, by=actor, at=at)

    async def past_maintenances(self, limit: int = 50) -> Sequence[Maintenance]:
        """Return what was left alone, newest first."""
        return await self._store.past_maintenances(limit=limit)

    async def _check_idle(self, asked: Leave) -> None:
        """Raise Conflict while a host that shall be left alone is being recovered."""
        if asked.reach is not Reach.HOST:
            return
        for incident in await self._store.open_incidents():
            if incident.host == asked.name and incident.cut and incident.proof is None:
                raise Conflict(
                    f"proof of death is sought of host {asked.name}",
                    details=(f"incident {incident.id} is {incident.phase}",),
                    fix="wait until it is over",
                    code="incident-open",
                )


def _found(pool: Pool, asked: Leave) -> Leave:
    """Return what shall be left alone by its full name. Raises NotFound, Invalid."""
    if asked.reach is Reach.POOL:
        return asked
    if asked.reach is Reach.HOST:
        pool.host_row(asked.name)
        return asked
    if asked.reach is Reach.RACK and (rack := _full_name(pool, asked.name)):
        return replace(asked, name=rack)
    if asked.reach is Reach.ZONE and asked.name in pool.hosts.zone.categories:
        return asked
    raise NotFound(
        f"no {asked.reach} {asked.name!a:.80}", fix="billow host list --fields id,zone,rack"
    )


def _full_name(pool: Pool, name: str) -> str:
    """Return the full name of a rack that may be named without its zone; empty for none."""
    places = set(zip(pool.hosts.zone.values(), pool.hosts.rack.values(), strict=True))
    racks = {rack_name(zone, rack): rack for zone, rack in places if rack}
    return name if name in racks else _only(name, [each for each in racks if racks[each] == name])


def _only(name: str, racks: Sequence[str]) -> str:
    """Return the one rack that is meant, empty where there is none. Raises Invalid for several."""
    if len(racks) > 1:
        raise Invalid(
            f"there are {len(racks)} racks {name!a:.80}, each in another zone",
            details=tuple(sorted(racks)),
            fix=f"name one with its zone, as {min(racks)}",
        )
    return next(iter(racks), "")
