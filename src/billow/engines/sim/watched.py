# SPDX-License-Identifier: Apache-2.0
"""The agents and the management controllers of simulated hosts, as a controller meets them.

What it hears is worked out when it asks, so a fleet that is well costs nothing. Fulfils
`billow.ports.Observer`, `Commander` and `Bmc`; what is done goes through the world's own record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol
from uuid import NAMESPACE_DNS, uuid5

import numpy as np

from billow.engines.sim.condition import BEAT_S, Bmc, Condition
from billow.engines.sim.fault import Blow, Fault, Whom
from billow.engines.sim.world import World
from billow.errors import NotFound, Refused, Unavailable
from billow.model.ha.evidence import NETWORKS, AgentReport, Hardware, Network, Symptom
from billow.model.ha.view import View
from billow.model.kinds import Power
from billow.plan.ha.watch import sound_on
from billow.ports import Clock

LIMIT_S: Final = 1.0
"""Silence on a network after which a host is missed there: five beats."""
ORDER_S: Final = 0.3
"""How long an agent takes to end its guests and see them gone."""
APART_S: Final = 1.0
"""How far apart the two readings are that prove a host to be off."""


class Place(Protocol):
    """Where a world is found."""

    def look(self, clock_now: float) -> World:
        """Return the world as it is at a moment of the clock. Raises Unavailable."""

    def happen(self, fault: Fault, clock_now: float) -> None:
        """Let a fault befall now. Raises Invalid, Unavailable."""


@dataclass(frozen=True, slots=True)
class Ear:
    """How a controller hears hosts.

    Attributes:
        observer: How it calls itself.
        limit_s: Silence after which a host is missed, seconds of the clock.
    """

    observer: str = "sim"
    limit_s: float = LIMIT_S


@dataclass(frozen=True, slots=True)
class Watched:
    """One controller's lines to all hosts of a world."""

    place: Place
    clock: Clock
    ear: Ear

    def view(self, now: float) -> View:
        """Return when it heard whom last, and what agents said. Raises Unavailable."""
        world = self._world()
        field = world.field
        hosts = field.watched()
        heard_at = np.full((len(hosts), len(NETWORKS)), now)
        row = _rows(hosts) if field.conditions else {}
        for host, there in field.conditions.items():
            if host in row:
                heard_at[row[host]] = [self._heard(world, there, each, now) for each in NETWORKS]
        deaf = field.deaf.get(self.ear.observer, {})
        for column, network in enumerate(NETWORKS):
            if network in deaf:
                heard_at[:, column] = np.minimum(heard_at[:, column], _at(world, deaf[network]))
        reports = dict(self._reports(world, row, now))
        return View(
            observer=self.ear.observer,
            at=now,
            hosts=hosts,
            heard_at=heard_at,
            limit_s=np.full(len(NETWORKS), self.ear.limit_s),
            reports=reports,
            sound=sound_on(now - heard_at <= self.ear.limit_s, hosts, reports),
            told_watchdogs=_armed(hosts),
        )

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Let an agent do something, if it is reached. Raises Unavailable."""
        self._reached(host, network)
        await self.clock.sleep(ORDER_S / self._world().speed)
        there = self._reached(host, network)
        fence = int(str(body.get("fence", 0)))
        if fence < there.obeyed:
            return {"ok": False, "text": f"older fence {fence}: {there.obeyed} was obeyed"}
        if (boot := body.get("boot")) and boot != str(there.boot):
            return {"ok": False, "text": f"it is of another boot: {boot}"}
        match body.get("do"):
            case "fence":
                gone = sorted(self._world().field.copies.on(host))
                self._happen(host, Blow.FENCED, fence)
                return {"ok": True, "text": f"{len(gone)} guests were ended", "gone": gone}
            case "clean":
                gone = self._world().field.copies.strays_on(host)
                self._happen(host, Blow.CLEANED, fence)
                return {"ok": True, "text": f"{len(gone)} copies were removed", "gone": gone}
            case _:
                return {"ok": True, "text": "", "gone": []}

    async def power(self, host: str) -> Power:
        """Return what a host's management controller reads. Raises as `billow.ports.Bmc` says."""
        there = await self._asked(host)
        lies = there.bmc is Bmc.LYING
        return Power.ON if there.powered and not lies else Power.OFF

    async def off(self, host: str) -> str:
        """Turn a host off and prove it. Raises as `billow.ports.Bmc` says."""
        there = await self._asked(host)
        if there.bmc is Bmc.HONEST and there.powered:
            self._happen(host, Blow.DARK)
        for _ in range(2):
            await self.clock.sleep(APART_S / self._world().speed)
            if await self.power(host) is not Power.OFF:
                raise Unavailable(f"the management controller of {host} does not read off")
        return "it was turned off, and its management controller reads off twice"

    async def on(self, host: str) -> None:
        """Let a host return. Raises as `billow.ports.Bmc` says."""
        await self._asked(host)
        self._happen(host, Blow.BMC_ON)

    async def identity(self, host: str) -> str:
        """Return the system UUID that a controller reads. Raises as `billow.ports.Bmc` says."""
        there = await self._asked(host, own=False)
        whose = f"{host}'s neighbour" if there.bmc is Bmc.SWAPPED else host
        return str(uuid5(NAMESPACE_DNS, whose))

    def strike(self, fault: Fault) -> None:
        """Let a fault befall now. Raises Invalid, Unavailable."""
        self.place.happen(fault, self.clock.now())

    def _world(self) -> World:
        return self.place.look(self.clock.now())

    def _happen(self, host: str, blow: Blow, number: float = 0.0) -> None:
        self.strike(Fault(Whom.HOST, host, blow, number=number))

    def _reached(self, host: str, network: Network) -> Condition:
        field = self._world().field
        there = field.condition(host)
        if network not in there.audible or network in field.deaf.get(self.ear.observer, {}):
            raise Unavailable(
                f"the agent of {host} is not reached over its {network} network", code="no-agent"
            )
        return there

    async def _asked(self, host: str, *, own: bool = True) -> Condition:
        """Wait for a management controller's answer. Raises NotFound, Unavailable, Refused."""
        world = self._world()
        if world.ground.host(host) is None:
            raise NotFound(f"no management controller of {host!a:.80} is known")
        await self.clock.sleep(world.field.condition(host).bmc_s / world.speed)
        there = self._world().field.condition(host)
        if there.bmc is Bmc.DEAD:
            raise Unavailable(f"the management controller of {host} does not answer")
        if own and there.bmc is Bmc.SWAPPED:
            raise Refused(f"that management controller is not {host}'s", code="wrong-host")
        return there

    def _heard(self, world: World, there: Condition, network: Network, now: float) -> float:
        silent_from = None if network in there.noticed else there.heard.get(network)
        return now if silent_from is None else min(now, _at(world, silent_from))

    def _reports(
        self, world: World, row: Mapping[str, int], now: float
    ) -> Iterator[tuple[str, AgentReport]]:
        for host, there in world.field.conditions.items():
            if host in row:
                yield host, _report(world, host, there, now)


@lru_cache(maxsize=4)
def _rows(hosts: tuple[str, ...]) -> Mapping[str, int]:
    return {name: number for number, name in enumerate(hosts)}


@lru_cache(maxsize=4)
def _armed(hosts: tuple[str, ...]) -> Mapping[str, bool]:
    """Return how watchdogs are unless an agent says otherwise."""
    return dict.fromkeys(hosts, True)


def _report(world: World, host: str, there: Condition, now: float) -> AgentReport:
    """Return what an agent said last."""
    said = there.says(world.now)
    clean_s = world.now - there.clean_since if there.clean else 0.0
    return AgentReport(
        host=host,
        at=min(now, _at(world, said.at)),
        boot=str(said.boot),
        lease_s=said.lease_s / world.speed,
        symptoms=_symptoms(world, said.hardware, said.ill_since),
        guests=tuple(sorted(set(world.field.copies.on(host)))) if said.quarantined else (),
        quarantined=said.quarantined,
        gasped=said.gasped,
        clean_beats=int(clean_s / BEAT_S),
        answers=bool(there.answering) and not there.agent,
    )


def _symptoms(world: World, grade: Hardware, since: float) -> tuple[Symptom, ...]:
    if grade is Hardware.SOUND:
        return ()
    text = f"the simulated hardware is {grade.name.lower()}"
    return (Symptom("sim", "", grade, text, _at(world, since)),)


def _at(world: World, moment: float) -> float:
    """Return what the clock said at a moment of the world."""
    return (world.began_at or 0.0) + moment / world.speed
