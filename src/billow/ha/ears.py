# SPDX-License-Identifier: Apache-2.0
"""Whom this controller listens to: the agents of hosts, rings of Consul, or a simulated world.

Whatever it listens to is one voice among the controllers'.
"""

import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

import structlog

from billow.act.turns import Turn
from billow.errors import Invalid, Unavailable
from billow.ha.consul import EVERY_S as RINGS_EVERY_S
from billow.ha.consul import Rings
from billow.ha.ear import Ear, Hearing
from billow.ha.enrol import Enrolment
from billow.ha.joined import Joined
from billow.ha.leases import Leases
from billow.ha.renew import EVERY_S as RENEWED_EVERY_S
from billow.ha.renew import Renewing
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.view import View
from billow.ports import Clock, Commander, Engine, Observer
from billow.settings import Settings

log = structlog.get_logger()
ENROLLED_EVERY_S: Final = 1.0
"""How often it is seen who is enrolled by now, and whose papers are void."""
PAPERS: Final = "agents"
"""The folder in the state folder with the papers of agents and controllers."""


@dataclass(frozen=True, slots=True)
class Ears:
    """Who hears hosts, who commands them, and who is told of a published view.

    Attributes:
        turns: What must be done again and again for it, and every how many seconds.
        leases: Of the hosts' watchdogs; the leading controller sees to them.
    """

    observer: Observer
    commander: Commander
    published: Callable[[View], None]
    turns: tuple[tuple[Turn, float], ...] = ()
    leases: Leases | None = None


class _Agents:
    """What the agents say that are enrolled by now; one that was never heard is missed, too."""

    def __init__(self, enrolment: Enrolment, ear: Ear, leases: Leases) -> None:
        self._enrolment = enrolment
        self._leases = leases
        self._ear = ear
        self._read_at = 0.0

    def view(self, now: float) -> View:
        """Return when whom was heard last."""
        if now - self._read_at >= ENROLLED_EVERY_S:
            self._read_at = now
            self._ear.expect(sorted(self._enrolment.hosts()))
            self._ear.revoke(self._enrolment.revoked())
            for event in self._ear.events():
                log.info("host", what=event.kind, host=event.host, network=event.network)
        return self._leases.marked(self._ear.view(now))


class _Nobody:
    """Takes no orders: there are no agents."""

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Raise Unavailable."""
        raise Unavailable(f"{host} has no agent that could {body.get('do')} over {network}")


def open_ears(
    settings: Settings, engine: Engine, clock: Clock, opened: AsyncExitStack
) -> Ears | None:
    """Begin to listen; None when there is nobody to listen to.

    Args:
        settings: Where agents are heard, and rings of Consul are asked.
        engine: A simulated world is its own observer.
        clock: For people: when things happened.
        opened: Gets what is to be closed in the end.

    Raises:
        Invalid: a setting that makes no sense.
        Unavailable: an address on which agents were to be heard cannot be had.
    """
    if isinstance(engine, Observer) and isinstance(engine, Commander):
        return Ears(engine, engine, lambda _: None)
    agents = _agents(settings, clock, opened)
    rings = _rings(settings, opened)
    if rings is None:
        return agents
    turns = ((rings.turn, RINGS_EVERY_S),)
    if agents is None:
        return Ears(rings, _Nobody(), lambda _: None, turns)
    both = Joined(name_of(settings), (agents.observer, rings))
    return replace(agents, observer=both, turns=(*agents.turns, *turns))


def _agents(settings: Settings, clock: Clock, opened: AsyncExitStack) -> Ears | None:
    places = _places(settings)
    if not places:
        return None
    name = name_of(settings)
    enrolment = Enrolment(settings.state_dir / PAPERS, settings.pool, name, clock)
    limit_s = settings.ha_beat_s * settings.ha_beats_missed
    papers = enrolment.papers()
    ear = Ear(Hearing(controller=name, places=places, papers=papers, limit_s=limit_s))
    ear.start()
    opened.callback(ear.stop)
    renewing = (Renewing(enrolment, ear, ear.prove).turn, RENEWED_EVERY_S)
    leases = Leases(ear)
    return Ears(_Agents(enrolment, ear, leases), ear, ear.published, (renewing,), leases)


def _rings(settings: Settings, opened: AsyncExitStack) -> Rings | None:
    if not settings.ha_consul:
        return None
    addresses = {Network(network): url for network, url in settings.ha_consul.items()}
    rings = Rings(name_of(settings), addresses, token=settings.ha_consul_token)
    opened.push_async_callback(rings.aclose)
    return rings


def name_of(settings: Settings) -> str:
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
