# SPDX-License-Identifier: Apache-2.0
"""The event stream: whole, in order, live, none lost and none twice, on both databases."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from billow.errors import Invalid
from billow.model.event import Event, EventKind
from billow.store import Store
from billow.store.tail import KEPT, Tail

pytestmark = pytest.mark.anyio


Data = dict[str, str | int | float | bool | None]


def an_event(number: int, *subjects: str) -> Event:
    """Return an event with a number in its text."""
    return Event(EventKind.STEP_PROGRESS, float(number), str(number), subjects)


async def tell(store: Store, count: int, first: int = 0) -> None:
    """Tell events, all at once."""
    await asyncio.gather(*(store.tell(an_event(first + number)) for number in range(count)))


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    """Return the next events."""
    async with asyncio.timeout(10):
        return [await anext(events) for _ in range(count)]


async def test_an_event_comes_back_whole(store: Store) -> None:
    data: Data = {"a": 1, "b": 0.5, "c": "d", "e": None, "f": True}
    told = Event(EventKind.RUN_ENDED, 5.5, "all\nwell \U0001f30a", ("run/r", "host/ü"), "ada", data)
    await store.tell(told)
    (kept,) = await store.events()
    assert kept.id > 0
    assert kept == Event(told.kind, told.at, told.text, told.subjects, "ada", data, kept.id)


async def test_strange_text_is_kept(store: Store) -> None:
    strange = "a\0b\ud800c"
    told = Event(EventKind.AUDIT, 1.0, strange, (strange, "run/r"), strange, {"why": strange})
    await store.tell(told)
    (kept,) = await store.events(subject=strange)
    assert kept == (await store.events(subject="run/r"))[0]
    assert kept.text == strange


async def test_no_number_is_kept(store: Store) -> None:
    await store.tell(Event(EventKind.AUDIT, 1.0, "?", data={"left_s": math.nan}))
    (kept,) = await store.events()
    left_s = kept.data["left_s"]
    assert left_s is None or (isinstance(left_s, float) and math.isnan(left_s))


async def test_pages_in_both_directions(store: Store) -> None:
    await tell(store, 25)
    ids = [event.id for event in await store.events()]
    assert ids == sorted(set(ids))
    up: list[int] = []
    while page := await store.events(after=up[-1] if up else 0, limit=10):
        up += [event.id for event in page]
    down: list[int] = []
    while page := await store.events(after=down[-1] if down else 0, limit=10, newest=True):
        down += [event.id for event in page]
    assert up == ids == down[::-1]


async def test_by_subject(store: Store) -> None:
    for number in range(20):
        await store.tell(an_event(number, f"host/h{number % 2}", "host/all", "host/all"))
    odd = await store.events(subject="host/h1", limit=5)
    assert [event.text for event in odd] == ["1", "3", "5", "7", "9"]
    more = await store.events(subject="host/h1", after=odd[-1].id)
    assert [event.text for event in more] == ["11", "13", "15", "17", "19"]
    newest = await store.events(subject="host/h1", newest=True, limit=2)
    assert [event.text for event in newest] == ["19", "17"]
    assert len(await store.events(subject="host/all")) == 20
    assert await store.events(subject="host/h") == []


async def test_a_place_in_the_stream_is_a_number(store: Store) -> None:
    for after in [-1, 2**63, 2**70, True]:
        with pytest.raises(Invalid):
            await store.events(after=after)
        with pytest.raises(Invalid):
            await anext(store.follow(after))


async def test_history_then_live(store: Store) -> None:
    await tell(store, 30)
    ids = [event.id for event in await store.events()]
    async with aclosing(store.follow(ids[9])) as events:
        assert [event.id for event in await take(events, 20)] == ids[10:]
        await tell(store, 5, first=100)
        assert {event.text for event in await take(events, 5)} == {str(100 + n) for n in range(5)}


async def test_many_follow_at_their_own_pace(store: Store) -> None:
    async def read(pause_s: float) -> list[int]:
        ids = []
        async for event in store.follow(0):
            ids.append(event.id)
            await asyncio.sleep(pause_s)
            if len(ids) == 300:
                break
        return ids

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        readers = [group.create_task(read(pause_s)) for pause_s in (0.0, 0.0, 0.002)]
        for part in range(30):
            await tell(store, 10, first=part * 10)
    ids = [event.id for event in await store.events()]
    assert [reader.result() for reader in readers] == [ids] * 3


async def test_the_end_of_the_store_ends_followers(database_url: str) -> None:
    store = await Store.open(database_url)
    await tell(store, 1)

    async def read() -> list[str]:
        return [event.text async for event in store.follow(0)]

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    assert not reader.done()
    await store.aclose()
    assert await asyncio.wait_for(reader, 5) == ["0"]


async def test_memory_is_bounded_and_who_is_behind_reads_pages() -> None:
    stream: list[Event] = []
    reads: list[int] = []

    async def page(after: int) -> list[Event]:
        reads.append(after)
        return stream[after : after + 500]

    async def newest() -> int:
        return len(stream)

    def add(count: int) -> None:
        for _ in range(count):
            number = len(stream) + 1
            stream.append(Event(EventKind.AUDIT, 1.0, str(number), id=number))

    tail = Tail(page, newest)
    add(10)
    assert await tail.after(0) == stream
    add(KEPT * 2)
    tail.wake()
    fresh = await tail.after(10)
    assert fresh is not None
    assert fresh[0].id == 11
    async with asyncio.timeout(5):
        await tail.after(len(stream) - 1)
    assert len(tail._events) == KEPT
    assert await tail.after(0) == stream[:500]
    count = len(reads)
    recent = await tail.after(len(stream) - 3)
    assert recent == stream[-3:]
    assert len(reads) == count
    await tail.aclose()
    assert await tail.after(0) is None
