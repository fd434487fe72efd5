# SPDX-License-Identifier: Apache-2.0
"""Put high availability together from the settings, or say that there is none.

A simulated world is its own ear and takes orders itself; elsewhere agents are heard where the
settings say. Without either nobody is watched.
"""

import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, Protocol

from billow.act.guard import World
from billow.act.turns import Turn
from billow.errors import Invalid, NotFound
from billow.ha.alarms import Alarms
from billow.ha.channels import open_channels
from billow.ha.deeds import Deeds, Hands
from billow.ha.empty import Emptying
from billow.ha.enrol import Enrolment
from billow.ha.hearing import Hearing
from billow.ha.lines import proving
from billow.ha.matrix import Matrix
from billow.ha.power import PowerWatch
from billow.ha.receiver import Listening, Receiver
from billow.ha.responder import EVERY_S, Crew, Responder
from billow.ha.rooms import Choose, Rooms
from billow.loop import Loop
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.policy import HaPolicy
from billow.model.ha.view import View
from billow.model.kinds import Power
from billow.plan.asked import Choose as Elsewhere
from billow.plan.ha.facts import Terms
from billow.ports import Bmc, Board, Care, Commander, Incidents, Observer, Outbox
from billow.settings import Settings

ALARMS_EVERY_S: Final = 0.25
"""How often it is seen whether somebody must be told."""
ENROLLED_EVERY_S: Final = 1.0
"""How often it is seen who is enrolled by now, and whose papers are void."""
PAPERS: Final = "agents"
"""The folder in the state folder with the papers of agents and controllers."""


class Books(Incidents, Board, Care, Outbox, Protocol):
    """Where everything of high availability is kept."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What high availability stands on.

    Attributes:
        store: Where incidents, views, what people say and alarms are kept.
        rooms: Chooses hosts for the instances of dead ones.
        elsewhere: Chooses a host for an instance that is moved.
    """

    world: World
    loop: Loop
    store: Books
    rooms: Choose
    elsewhere: Elsewhere
    policy: HaPolicy


class HighAvailability:
    """This controller's part: what hears and responds, if hosts are watched, and what tells people.

    Attributes:
        responder: None when no host is watched.
    """

    def __init__(
        self, responder: Responder | None, alarms: Alarms, closing: AsyncExitStack
    ) -> None:
        self.responder = responder
        self._alarms = alarms
        self._closing = closing

    @property
    def turns(self) -> list[tuple[Turn, float]]:
        """What must be done again and again, and every how many seconds."""
        mine: list[tuple[Turn, float]] = [(self._alarms.turn, ALARMS_EVERY_S)]
        return mine if self.responder is None else [(self.responder.turn, EVERY_S), *mine]

    async def aclose(self) -> None:
        """Let go of everything; another controller goes on with what is open."""
        await self._closing.aclose()


@dataclass(frozen=True, slots=True)
class _Ear:
    """Who hears hosts, who commands them, and who is told of a published view."""

    observer: Observer
    commander: Commander
    published: Callable[[View], None]


class _Agents:
    """What the agents say that are enrolled by now; one that was never heard is missed, too."""

    def __init__(self, enrolment: Enrolment, receiver: Receiver, matrix: Matrix) -> None:
        self._enrolment = enrolment
        self._receiver = receiver
        self._matrix = matrix
        self._read_at = 0.0

    def view(self, now: float) -> View:
        """Return when whom was heard last."""
        if now - self._read_at >= ENROLLED_EVERY_S:
            self._read_at = now
            self._receiver.expect(self._enrolment.hosts())
            self._receiver.revoke(self._enrolment.revoked())
        return self._matrix.view(now)


class NoBmc:
    """No management controller is known of any host."""

    async def power(self, host: str) -> Power:
        """Raise NotFound."""
        raise _unknown(host)

    async def off(self, host: str) -> str:
        """Raise NotFound."""
        raise _unknown(host)

    async def on(self, host: str) -> None:
        """Raise NotFound."""
        raise _unknown(host)

    async def identity(self, host: str) -> str:
        """Raise NotFound."""
        raise _unknown(host)


async def open_high_availability(settings: Settings, parts: Parts) -> HighAvailability:
    """Begin to hear hosts, where the settings say so, and to tell people.

    Raises:
        Invalid: a setting that makes no sense.
        Unavailable: an address on which agents were to be heard cannot be had.
    """
    async with AsyncExitStack() as opened:
        writer = parts.world.writer
        alarms = Alarms(
            parts.store, open_channels(settings), parts.world.clock, lambda: writer.held
        )
        opened.push_async_callback(alarms.aclose)
        responder = _responder(settings, parts, opened)
        return HighAvailability(responder, alarms, opened.pop_all())


def _responder(settings: Settings, parts: Parts, opened: AsyncExitStack) -> Responder | None:
    ear = _ear(settings, parts, opened)
    if ear is None:
        return None
    engine, terms = parts.world.engine, Terms.of(parts.policy)
    bmc = engine if isinstance(engine, Bmc) else NoBmc()
    emptying = Emptying(parts.loop, parts.elsewhere)
    deeds = Deeds(Hands(parts.world, ear.commander, bmc, emptying.empty, terms))
    power = PowerWatch(bmc, parts.world.clock)
    hearing = Hearing([ear.observer], parts.store, power, ear.published, settings.ha_controllers)
    crew = Crew(hearing, deeds, Rooms(parts.world.collector, parts.rooms))
    responder = Responder(
        _name(settings), parts.world, crew, parts.store, parts.policy, settings.ha_controllers
    )
    opened.push_async_callback(responder.aclose)
    return responder


def _ear(settings: Settings, parts: Parts, opened: AsyncExitStack) -> _Ear | None:
    engine = parts.world.engine
    if isinstance(engine, Observer) and isinstance(engine, Commander):
        return _Ear(engine, engine, lambda _: None)
    places = _places(settings)
    if not places:
        return None
    clock = parts.world.clock
    enrolment = Enrolment(settings.state_dir / PAPERS, settings.pool, _name(settings), clock)
    limit_s = settings.ha_beat_s * settings.ha_beats_missed
    matrix = Matrix(_name(settings), clock, limit_s)
    receiver = Receiver(Listening(places, proving(enrolment.papers())), matrix)
    receiver.start()
    opened.callback(receiver.stop)
    return _Ear(_Agents(enrolment, receiver, matrix), receiver, receiver.published)


def _name(settings: Settings) -> str:
    """Return how agents and other controllers know this one."""
    return settings.ha_name or socket.gethostname()


def _places(settings: Settings) -> Mapping[Network, tuple[str, int]]:
    """Return where agents are heard. Raises Invalid."""
    said = (settings.ha_management, settings.ha_tenant, settings.ha_storage)
    places = {}
    for network, place in zip(NETWORKS, said, strict=True):
        if place:
            address, _, port = place.rpartition(":")
            if not address or not port.isdecimal():
                raise Invalid(
                    f"ha_{network} is {place!a}, which is no ADDRESS:PORT",
                    fix=f"say it like BILLOW_HA_{network.upper()}=10.0.0.1:8521",
                )
            places[network] = address.strip("[]"), int(port)
    return places


def _unknown(host: str) -> NotFound:
    return NotFound(
        f"no management controller of {host} is known",
        fix="name it in bmc.toml, and add its engine to BILLOW_ENGINE",
    )
