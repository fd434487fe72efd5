# SPDX-License-Identifier: Apache-2.0
"""A story of faults drawn by a seed, played on the product's own responder in virtual time.

A seed gives the same story each time. First only safety counts: whatever befalls hosts, management
controllers and the controllers themselves, nothing may run twice. Then all is mended, and every
incident must come to its end, with every instance running.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from billow.act.guard import World
from billow.act.lease import Writer
from billow.errors import Conflict
from billow.ha.deeds import Deeds, Hands
from billow.ha.hearing import Hearing
from billow.ha.power import PowerWatch
from billow.ha.responder import Crew, Responder
from billow.ha.rooms import Rooms
from billow.migrations import rooms
from billow.model.ha.incident import Phase
from billow.model.ha.policy import HaPolicy
from billow.model.ha.step import IncidentStep
from billow.model.kinds import State
from billow.model.policy import Limits
from billow.plan.ha.facts import Terms
from billow.testing.pools import pool
from tests.ha.simulated import EVERY_S, Books, Drama, drama

Write = Callable[[IncidentStep], Awaitable[None]]
POOL = "9 hosts x 64GiB 16c; a: 2 vms x 4GiB 2c on=h1; b: 2 vms x 4GiB 2c on=h2"
HOSTS = ("h1", "h2")
"""Those that fail; the others may take in what ran there."""
BLOWS = (
    *("goes dark", "crashes", "freezes", "thaws", "gasps", "agent hangs", "agent dies"),
    *("loses storage", "loses management tenant", "loses everything", "regains everything"),
    *("bmc dies", "comes up", "agent starts"),
    "heals",
)
POLICY = HaPolicy(storage_grace_s=2.0, isolation_grace_s=3.0, hung_grace_s=2.0)
TROUBLE_S = 40.0
STILL_S = 8.0
"""After so long without a step nothing will come of the faults any more: leases are shorter."""
CALM_S = 240.0
LOOKS_S = 2.0
"""A fault of the same instant as the mending is seen by then, if ever."""


@dataclass
class Told:
    """What became of a story.

    Attributes:
        twice: What ran twice; must be empty.
        waiting: Incidents that did not come to an end after all was mended.
        dead: Instances that did not run in the end.
        steps: Each step of each incident, with its time: the same seed gives the same.
    """

    faults: list[str]
    twice: list[str]
    waiting: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    steps: list[tuple[float, str, str]] = field(default_factory=list)


def told(seed: int, *, heals: bool) -> Told:
    """Play the story of a seed, in a loop of its own."""
    with pytest.MonkeyPatch.context() as patch:
        return asyncio.run(_told(seed, patch, heals=heals))


async def _told(seed: int, monkeypatch: pytest.MonkeyPatch, *, heals: bool) -> Told:
    dice = random.Random(seed)
    async with drama(pool(POOL), monkeypatch, POLICY) as held:
        _check_fences(held.books, monkeypatch)
        held.strike(*(f"host h{number} lease 4" for number in range(1, 10) if seed % 2))
        faults = await _trouble(held, dice)
        story = Told(faults, [str(each) for each in held.world.field.copies.double_runs])
        if heals:
            await _mended(held, story)
        for steps in held.books.steps.values():
            story.steps += [(each.at, each.incident.id, each.why) for each in steps]
        story.twice = [str(each) for each in held.world.field.copies.double_runs]
        return story


async def _trouble(held: Drama, dice: random.Random) -> list[str]:
    """Let faults befall at odd times, and other controllers lead while the old ones go on."""
    old: list[Responder] = []
    faults = []
    await held.play(1.0)
    began = held.clock.now()
    for _ in range(dice.randint(2, 6)):
        if dice.random() < 0.25:
            old.append(held.responder)
            held.responder = await _next(held, len(old))
            fault = "another controller leads"
        else:
            fault = f"host {dice.choice(HOSTS)} {dice.choice(BLOWS)}"
            held.strike(fault)
        faults.append(f"{held.clock.now() - began:.1f} s: {fault}")
        for _ in range(dice.randint(1, 20)):
            await held.play(EVERY_S)
            await _old_turn(old, dice)
    await held.play(TROUBLE_S - (held.clock.now() - began), _stillness(held))
    for each in old:
        await each.aclose()
    return faults


def _stillness(held: Drama) -> Callable[[], bool]:
    """Return whether nothing has happened for a while, counted from now at the earliest."""
    began = held.clock.now()

    def still() -> bool:
        last = max((steps[-1].at for steps in held.books.steps.values()), default=began)
        return held.clock.now() - max(began, last) >= STILL_S

    return still


async def _old_turn(old: list[Responder], dice: random.Random) -> None:
    """Let one that does not lead any more, and does not know it, have a turn."""
    if old and dice.random() < 0.3:
        each = dice.choice(old)
        each._due = 0.0
        await each.turn()


async def _next(held: Drama, number: int) -> Responder:
    """Return a controller that leads from now on."""
    name, nobody = f"c{number + 1}", cast("Any", None)
    writer = Writer(cast("Any", held.books), held.clock, name, ttl_s=1e9)
    await writer.turn()
    world = World(held.engine, held.collector, nobody, nobody, held.clock, writer, Limits())
    deeds = Deeds(Hands(world, held.engine, held.engine, held.empty, Terms.of(POLICY)))
    power = PowerWatch(held.engine, held.clock)
    hearing = Hearing([held.engine], cast("Any", held.books), power, lambda _: None, 1)
    crew = Crew(hearing, deeds, Rooms(held.collector, rooms))
    return Responder(name, world, crew, cast("Any", held.books), POLICY, 1)


def _check_fences(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let books refuse who does not lead any more, as the store does."""
    for name in ("open_incident", "advance_incident"):
        write = getattr(books, name)

        async def checked(step: IncidentStep, write: Write = write) -> None:
            if step.fence != books.lease.fence:
                raise Conflict("another controller leads")
            await write(step)

        monkeypatch.setattr(books, name, checked, raising=False)


async def _mended(held: Drama, story: Told) -> None:
    """Mend all, and wait for the end."""
    for host in HOSTS:
        held.strike(f"host {host} heals", f"host {host} bmc answers")

    def ended() -> bool:
        return all(each.phase is Phase.QUARANTINE for each in held.books.open())

    await held.play(CALM_S / 2, ended)
    held.strike(*(f"host {host} comes up" for host in HOSTS if not _is_up(held, host)))
    await held.play(LOOKS_S)
    await held.play(CALM_S, lambda: not held.books.open())
    story.waiting = [f"{each.host}: {each.phase}, {each.held}" for each in held.books.open()]
    story.dead = [name for name, state in held.states().items() if state is not State.RUNNING]


def _is_up(held: Drama, host: str) -> bool:
    return held.world.field.condition(host).works
