# SPDX-License-Identifier: Apache-2.0
"""Put high availability together from the settings, or say that there is none.

A simulated world is its own ear and takes orders itself; elsewhere agents are heard where the
settings say. Without either nobody is watched.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final, Protocol

from billow.act.clock import SteadyClock, SystemClock
from billow.act.guard import World
from billow.act.lease import Writer
from billow.act.turns import Turn
from billow.ha.alarms import Alarms
from billow.ha.channels import open_channels
from billow.ha.deeds import Deeds, Hands
from billow.ha.ears import name_of, open_ears
from billow.ha.empty import Emptying
from billow.ha.hearing import Hearing
from billow.ha.leases import EVERY_S as LEASES_EVERY_S
from billow.ha.leases import Leases
from billow.ha.machines import EVERY_S as MACHINES_EVERY_S
from billow.ha.machines import Machines
from billow.ha.notices import EVERY_S as NOTICES_EVERY_S
from billow.ha.notices import Notices
from billow.ha.power import NoBmc, PowerWatch
from billow.ha.rehearsal import TURN_S as REHEARSED_EVERY_S
from billow.ha.rehearsal import Rehearsal
from billow.ha.responder import EVERY_S, Crew, Responder
from billow.ha.rooms import Choose, Rooms
from billow.loop import Loop
from billow.model.ha.policy import HaPolicy
from billow.plan.asked import Choose as Elsewhere
from billow.plan.ha.facts import Terms
from billow.ports import Bmc, Board, Care, Clock, Incidents, Observer, Outbox
from billow.settings import Settings

ALARMS_EVERY_S: Final = 0.25
"""How often it is seen whether somebody must be told."""
Turns = tuple[tuple[Turn, float], ...]


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


@dataclass(frozen=True, slots=True)
class HighAvailability:
    """This controller's part: what hears and responds, if hosts are watched, and what tells people.

    Attributes:
        responder: None when no host is watched.
        rehearsal: Exercises proof by power; None when no host is watched.
        turns: What must be done again and again, and every how many seconds.
    """

    responder: Responder | None
    rehearsal: Rehearsal | None
    turns: Turns
    closing: AsyncExitStack

    async def aclose(self) -> None:
        """Let go of everything; another controller goes on with what is open."""
        await self.closing.aclose()


async def open_high_availability(settings: Settings, parts: Parts) -> HighAvailability:
    """Begin to hear hosts, where the settings say so, and to tell people.

    Raises:
        Invalid: a setting that makes no sense.
        Unavailable: an address on which agents were to be heard cannot be had.
    """
    if isinstance(parts.world.clock, SystemClock):
        parts = replace(parts, world=replace(parts.world, clock=SteadyClock()))
    async with AsyncExitStack() as opened:
        writer = parts.world.writer
        alarms = Alarms(
            parts.store, open_channels(settings), parts.world.clock, lambda: writer.held
        )
        opened.push_async_callback(alarms.aclose)
        responder, rehearsal, turns = _responder(settings, parts, opened)
        turns = (*turns, (alarms.turn, ALARMS_EVERY_S))
        return HighAvailability(responder, rehearsal, turns, opened.pop_all())


def _responder(
    settings: Settings, parts: Parts, opened: AsyncExitStack
) -> tuple[Responder | None, Rehearsal | None, Turns]:
    engine, terms = parts.world.engine, Terms.of(parts.policy)
    ears = open_ears(settings, engine, parts.world.clock, opened)
    if ears is None:
        return None, None, ()
    bmc = engine if isinstance(engine, Bmc) else NoBmc()
    emptying = Emptying(parts.loop, parts.elsewhere)
    deeds = Deeds(Hands(parts.world, ears.commander, bmc, emptying.empty, terms))
    power = PowerWatch(bmc, parts.world.clock)
    hearing = Hearing([ears.observer], parts.store, power, ears.published, settings.ha_controllers)
    crew = Crew(hearing, deeds, Rooms(parts.world.collector, parts.rooms))
    responder = Responder(
        name_of(settings), parts.world, crew, parts.store, parts.policy, settings.ha_controllers
    )
    opened.push_async_callback(responder.aclose)
    turns = ((responder.turn, EVERY_S), *ears.turns)
    if ears.leases is not None:
        turns = (*turns, (_leading(parts.world.writer, ears.leases), LEASES_EVERY_S))
    rehearsal = Rehearsal(
        bmc,
        parts.store,
        parts.world.clock,
        _hosts(parts.world),
        lambda: parts.world.writer.held,
        lambda: _heard(ears.observer, parts.world.clock),
    )
    notices = Notices(
        ears.observer, parts.store, parts.world.clock, lambda: parts.world.writer.held
    )
    machines = Machines(
        ears.observer, bmc, parts.store, parts.world.clock, lambda: parts.world.writer.held
    )
    turns = (*turns, (notices.turn, NOTICES_EVERY_S), (machines.turn, MACHINES_EVERY_S))
    return responder, rehearsal, (*turns, (rehearsal.turn, REHEARSED_EVERY_S))


def _heard(observer: Observer, clock: Clock) -> Collection[str]:
    """Return the hosts that are heard on every network now."""
    view = observer.view(clock.now())
    missed = view.missed(view.at)
    return {host for row, host in enumerate(view.hosts) if not missed[row].any()}


def _hosts(world: World) -> Callable[[], Awaitable[Iterable[str]]]:
    """Return how the pool's hosts are learnt."""

    async def hosts() -> Iterable[str]:
        return (await world.collector.last()).hosts.id

    return hosts


def _leading(writer: Writer, leases: Leases) -> Turn:
    """Return how leases are seen to, by the controller that leads."""

    async def turn() -> None:
        if writer.held:
            await leases.turn(writer.fence)

    return turn
