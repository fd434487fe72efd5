# SPDX-License-Identifier: Apache-2.0
"""What controllers tell each other of hosts: small, quick, and never older than it was."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import BillowError, Invalid
from billow.model.ha.evidence import AgentReport, Hardware, Network, Symptom
from billow.model.ha.packing import pack_view, unpack_view
from billow.model.ha.view import View
from billow.ports import Board
from billow.store import Store
from billow.store.database import Database
from billow.store.open import LOCK, STUCK_S

pytestmark = pytest.mark.anyio
NOW = 1_790_000_000.0


def a_view(observer: str = "one", hosts: int = 3, *, at: float = NOW) -> View:
    """Return a view of hosts of which the first is missed on the tenant network."""
    heard_at = np.full((hosts, 3), at - 0.1)
    heard_at[:1, 1] = at - 5.0
    names = tuple(f"h{number:04}" for number in range(hosts))
    return View(observer, at, names, heard_at, np.ones(3))


async def test_what_one_tells_the_others_read(store: Store) -> None:
    board: Board = store
    assert await board.views() == []
    ill = Symptom("drive", "sda", Hardware.HURTING, "no answer", NOW, Network.STORAGE)
    report = AgentReport(
        host="h0001", at=NOW, symptoms=(ill,), acked={"one": {Network.TENANT: 0.3}}
    )
    limit_s, sound = np.array([1.0, 1.0, 2.0]), (True, False, True)
    told = replace(a_view(), limit_s=limit_s, reports={"h0001": report}, sound=sound)
    told = replace(told, woke_at=NOW - 7.0)
    await board.publish(told)
    await board.publish(a_view("two", 5))
    one, two = await board.views()
    assert (one.observer, one.at, one.hosts, one.sound) == ("one", NOW, told.hosts, told.sound)
    assert one.reports == {"h0001": report}
    assert (one.woke_at, two.woke_at) == (NOW - 7.0, 0.0)
    assert one.limit_s.tolist() == [1.0, 1.0, 2.0]
    assert np.abs(one.heard_at - told.heard_at).max() <= 0.0101
    assert one.missed(NOW).tolist() == [[False, True, False], *[[False] * 3] * 2]
    assert (two.observer, len(two.hosts)) == ("two", 5)


async def test_the_newest_counts_and_the_database_says_how_old_it_is(store: Store) -> None:
    await store.publish(a_view(at=NOW))
    await store.publish(a_view(at=NOW + 1))
    (view,) = await store.views()
    assert view.at == NOW + 1
    assert 0 <= view.age_s < 5
    await asyncio.sleep(0.3)
    (older,) = await store.views()
    assert 0.25 <= older.age_s - view.age_s < 5
    await store.forget_view("one")
    assert await store.views() == []


async def test_names_that_change_are_told_again(store_url: str) -> None:
    teller, reader = await Store.open(store_url), await Store.open(store_url)
    for hosts in (3, 4, 0, 3):
        await teller.publish(a_view(hosts=hosts))
        (view,) = await reader.views()
        assert view.hosts == a_view(hosts=hosts).hosts
        assert view.heard_at.shape == (hosts, 3)
    await teller.aclose()
    await reader.aclose()


async def test_a_thousand_hosts_are_cheap(store: Store) -> None:
    view = a_view(hosts=1000)
    assert len(pack_view(view)) < 10_000
    await store.publish(view)
    began = time.process_time()
    for _ in range(20):
        await store.publish(view)
        await store.views()
    assert (time.process_time() - began) / 20 < 0.02  # 10 a second take less than 1/5 of a core


async def test_a_writer_that_froze_keeps_nobody_from_telling(postgres_store_url: str) -> None:
    store = await Store.open(postgres_store_url)
    with psycopg.connect(postgres_store_url) as frozen:
        frozen.execute(f"SELECT pg_advisory_xact_lock({LOCK})".encode())
        async with asyncio.timeout(2):
            await store.publish(a_view())
            assert len(await store.views()) == 1
    await store.aclose()


@given(st.lists(st.floats(0, 1e6), min_size=3, max_size=30))
def test_nobody_takes_a_host_to_be_silent_for_longer_than_it_is(ages: list[float]) -> None:
    heard_at = NOW - np.resize(np.array(ages), (len(ages) // 3, 3))
    names = tuple(map(str, range(len(heard_at))))
    read = unpack_view(pack_view(View("one", NOW, names, heard_at, np.ones(3))), names)
    assert (read.heard_at >= heard_at - 1e-6).all()
    fresh = NOW - heard_at < 655
    assert (read.heard_at - heard_at)[fresh].max(initial=0.0) <= 0.0101


def test_a_view_of_others_is_refused() -> None:
    with pytest.raises(Invalid):
        unpack_view(pack_view(a_view(hosts=3)), ("a", "b"))


async def test_a_writer_that_froze_is_ended_soon(postgres_store_url: str) -> None:
    """Within a transaction it holds up all others: no longer than its lease would."""
    frozen, other = await Database.open(postgres_store_url), await Store.open(postgres_store_url)
    holds = asyncio.Event()

    async def freeze(connection: AsyncConnection) -> None:
        await connection.execute(text("SELECT 1"))
        holds.set()
        await asyncio.sleep(STUCK_S + 2)
        await connection.execute(text("SELECT 1"))

    freezing = asyncio.create_task(frozen.write(freeze))
    await holds.wait()
    began = time.monotonic()
    assert await other.acquire("other", 10.0, now=1.0) is not None
    assert STUCK_S - 1 < time.monotonic() - began < STUCK_S + 1.5
    with pytest.raises(BillowError):
        await freezing
    await frozen.aclose()
    await other.aclose()
