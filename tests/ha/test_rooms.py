# SPDX-License-Identifier: Apache-2.0
"""Who waits is told apart: for a choice, for its turn, or because no host has room."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from billow.errors import Unavailable
from billow.ha.rooms import Rooms
from billow.model.ha.incident import Fate, Incident, Phase, Victim
from billow.model.pool import Pool
from billow.model.text import parse
from billow.plan.ha.recovery import NO_ROOM
from tests.act.control import Lab

pytestmark = pytest.mark.anyio
POOL = parse("""\
billow-pool 1 taken=2026-11-22T08:00:00Z
host h[1-3] nodes=1x(16,64GiB) rack=r1 zone=a
""")


@dataclass
class Choice:
    """Placement, as a test wants it to answer."""

    found: dict[str, str] = field(default_factory=dict)
    failing: bool = False
    asked: list[Mapping[str, Collection[str]]] = field(default_factory=list)

    def __call__(
        self, pool: Pool, queue: Sequence[str], shut: Mapping[str, Collection[str]]
    ) -> Mapping[str, str]:
        """Choose what the test set."""
        self.asked.append({each: set(shut[each]) for each in queue})
        if self.failing:
            raise Unavailable("the cloud does not answer")
        free = {each: to for each, to in self.found.items() if to not in shut.get(each, ())}
        return {each: free[each] for each in queue if each in free}


@pytest.fixture
async def looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Rooms, Choice]]:
    monkeypatch.setattr("billow.ha.rooms.AGAIN_S", 0.2)
    async with Lab(POOL, tmp_path) as lab:
        controller = await lab.controller()
        choice = Choice()
        rooms = Rooms(controller.loop.world.collector, choice)
        yield rooms, choice
        await rooms.aclose()
        await controller.loop.aclose()


def incident(*victims: Victim) -> Incident:
    return Incident(
        id="i",
        host="h1",
        opened_at=0.0,
        row=170,
        since=0.0,
        phase=Phase.RECOVERING,
        victims=victims,
    )


async def answered(rooms: Rooms, choice: Choice, now: Incident) -> Mapping[str, str]:
    """Ask until placement was asked once more, and its answer is there."""
    times = len(choice.asked)
    async with asyncio.timeout(20):
        while len(choice.asked) == times or not rooms._is_idle():
            rooms.chosen([now])
            await asyncio.sleep(0.01)
    return rooms.chosen([now])


async def test_who_was_not_looked_for_yet_is_not_without_room(
    looked: tuple[Rooms, Choice],
) -> None:
    rooms, choice = looked
    choice.found = {"one": "h2"}
    both = incident(Victim("one"), Victim("two"))
    rooms.chosen([both])
    assert rooms.nowhere == {}
    assert await answered(rooms, choice, both) == {"one": "h2"}
    assert rooms.nowhere == {"two": NO_ROOM}


async def test_a_host_that_failed_once_is_asked_again_before_there_is_no_room(
    looked: tuple[Rooms, Choice],
) -> None:
    rooms, choice = looked
    choice.found = {"one": "h2"}
    rooms.chosen([incident(Victim("one", fate=Fate.STARTING, target="h2"))])
    failed = incident(Victim("one"))
    assert await answered(rooms, choice, failed) == {}
    assert rooms.nowhere == {}
    assert await answered(rooms, choice, failed) == {"one": "h2"}
    assert [each["one"] for each in choice.asked] == [{"h1", "h2"}, {"h1"}]


async def test_that_nobody_can_choose_is_said(looked: tuple[Rooms, Choice]) -> None:
    rooms, choice = looked
    choice.failing = True
    assert await answered(rooms, choice, incident(Victim("one"))) == {}
    assert rooms.nowhere == {"one": "nobody can say where they go: the cloud does not answer"}
