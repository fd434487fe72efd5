# SPDX-License-Identifier: Apache-2.0
"""The timeline's parts: newest first, nothing lost and nothing twice, on both databases."""

import pytest

from billow.model.event import Event, EventKind
from billow.store import Store
from billow.web.history import part

pytestmark = pytest.mark.anyio


async def tell(store: Store, count: int) -> None:
    """Tell so many events; each third is quiet, each fifth by ada."""
    for number in range(count):
        kind = EventKind.STEP_PROGRESS if number % 3 == 0 else EventKind.AUDIT
        actor = "ada" if number % 5 == 0 else "bob"
        await store.tell(Event(kind, 1.0 + number, str(number), (f"host/h{number % 2}",), actor))


async def texts(store: Store, **asked: object) -> list[str]:
    """Read the whole stream part by part."""
    found: list[str] = []
    before = 0
    while True:
        got = await part(store, before=before, limit=7, **asked)  # type: ignore[arg-type]
        found += [event.text for event in got.events]
        before = got.older
        if not before:
            return found


async def test_parts_together_are_the_stream_without_the_quiet(store: Store) -> None:
    await tell(store, 60)
    assert await texts(store) == [str(n) for n in range(59, -1, -1) if n % 3]


async def test_a_subject_and_a_wish_are_kept_over_all_parts(store: Store) -> None:
    await tell(store, 60)
    mine = await texts(store, subject="host/h1", wanted=lambda event: event.actor == "ada")
    assert mine == [str(n) for n in range(59, -1, -1) if n % 5 == 0 and n % 2]


async def test_an_empty_stream_is_one_empty_part(store: Store) -> None:
    got = await part(store)
    assert (list(got.events), got.older) == ([], 0)


async def test_a_part_that_ends_with_the_stream_has_nothing_older(store: Store) -> None:
    await tell(store, 2)
    got = await part(store, limit=1)
    assert [event.text for event in got.events] == ["1"]
    rest = await part(store, limit=1, before=got.older)
    assert (list(rest.events), rest.older) == ([], 0)
