# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server that is frozen or out of reach holds nobody for ever, and nothing is lost."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Engine, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection
from tests.store.proxy import Proxy, proxied
from tests.store.test_board import a_view

from billow.errors import Invalid, Unavailable
from billow.store import Store
from billow.store.line import Line
from billow.store.migrate import migrate
from billow.store.open import READERS, parsed
from billow.store.patience import lost_after

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
ANSWER_S = 0.5


@pytest.fixture
async def far(
    postgres_store_url: str, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Store, Proxy]]:
    """A store with a proxy before its server, and that proxy; few waits are long."""
    monkeypatch.setattr("billow.store.patience.ANSWER_S", ANSWER_S)
    monkeypatch.setattr("billow.store.patience._LOST", {"connect_timeout": 2})
    async with proxied(postgres_store_url) as (proxy, url):
        store = await Store.open(url)
        yield store, proxy
        proxy.let_go()
        await store.aclose()


@asynccontextmanager
async def soon(limit_s: float = 5.0) -> AsyncIterator[None]:
    """Fail unless what is done raises Unavailable within a time."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        async with asyncio.timeout(60):
            yield
    assert time.monotonic() - began < limit_s
    assert caught.value.code == "store-unavailable"
    assert caught.value.fix


async def failures(*waiting: Awaitable[object]) -> list[object]:
    """Return what came of each, errors as they are."""
    return list(await asyncio.gather(*waiting, return_exceptions=True))


async def test_a_frozen_server_is_unavailable_to_readers(far: tuple[Store, Proxy]) -> None:
    store, proxy = far
    await store.publish(a_view())
    await asyncio.gather(*(store.views() for _ in range(READERS)))
    proxy.hold()
    async with soon():
        await store.views()
    errors = await failures(*(store.views() for _ in range(READERS + 2)))
    assert {type(each) for each in errors} == {Unavailable}
    proxy.let_go()
    assert len(await store.views()) == 1
    assert await asyncio.gather(*(store.generation() for _ in range(READERS))) == [0] * READERS


async def test_a_server_that_freezes_in_the_middle_of_a_read(far: tuple[Store, Proxy]) -> None:
    store, proxy = far
    async with soon(), store._database.read() as connection:
        await connection.execute(text("SELECT 1"))
        proxy.hold()
        await connection.execute(text("SELECT 1"))
    proxy.let_go()
    assert await store.generation() == 0


async def test_a_whole_read_is_limited(
    postgres_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billow.store.database.READ_S", 0.5)
    store = await Store.open(postgres_store_url)

    async def read_slowly() -> None:
        async with store._database.read() as connection:
            for _ in range(50):
                await connection.execute(text("SELECT pg_sleep(0.1)"))

    async with soon(3.0):
        await read_slowly()
    errors = await failures(*(read_slowly() for _ in range(READERS * 2)))  # half get no connection
    assert {type(each) for each in errors} == {Unavailable}
    assert {each.brief for each in errors if isinstance(each, Unavailable)} == {
        "the database did not answer in time"
    }
    assert await store.generation() == 0
    await store.aclose()


async def test_a_whole_commit_is_limited(
    postgres_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billow.store.database.COMMIT_S", 0.5)
    store = await Store.open(postgres_store_url)

    async def write_slowly(connection: AsyncConnection) -> None:
        for _ in range(50):
            await connection.execute(text("SELECT pg_sleep(0.1)"))

    began = time.monotonic()
    written = await failures(store.bump_generation(), store._database.write(write_slowly))
    assert time.monotonic() - began < 3.0
    assert [type(each) for each in written] == [Unavailable] * 2
    assert await store.bump_generation() == 1
    await store.aclose()


async def test_all_writers_are_told_at_once_and_nothing_is_written(
    far: tuple[Store, Proxy],
) -> None:
    store, proxy = far
    await store.bump_generation()
    proxy.hold()
    began = time.monotonic()
    errors = await failures(*(store.bump_generation() for _ in range(20)))
    assert {type(each) for each in errors} == {Unavailable}
    assert time.monotonic() - began < 8.0  # and not so long for each of them
    proxy.let_go()
    assert await store.bump_generation() == 2


async def test_what_a_commit_did_that_was_not_answered_is_done_once(
    far: tuple[Store, Proxy],
) -> None:
    store, proxy = far

    async def freeze(_: AsyncConnection) -> None:
        proxy.answers.clear()  # the commit goes through, its answer does not

    written = await failures(store.bump_generation(), store._database.write(freeze))
    assert [str(each).splitlines()[0] for each in written] == [
        "the database did not say whether it was written"
    ] * 2
    assert {type(each) for each in written} == {Unavailable}
    proxy.let_go()
    assert await store.generation() == 1


async def test_a_rollback_that_is_not_answered_blocks_nobody(far: tuple[Store, Proxy]) -> None:
    store, proxy = far

    async def refuse(_: AsyncConnection) -> None:
        proxy.hold()
        raise Invalid("no")

    async with soon():
        await store._database.write(refuse)
    proxy.let_go()
    async with asyncio.timeout(5):
        assert await store.bump_generation() == 1


async def test_who_gives_up_waiting_need_not_wait_for_that(
    far: tuple[Store, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, proxy = far
    await store.generation()
    monkeypatch.setattr("billow.store.patience.ANSWER_S", 60.0)
    proxy.hold()
    began = time.monotonic()
    for _ in range(READERS + 1):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.generation()
    assert time.monotonic() - began < 2.0
    proxy.let_go()
    assert await store.generation() == 0


async def test_a_line_of_which_nobody_awaits_the_answer_is_closed(postgres_store_url: str) -> None:
    line = await Line.connect(postgres_store_url)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await line.execute("SELECT pg_sleep(60)")
    assert line.closed
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(("query", "expected"), [("", 5000), ("?tcp_user_timeout=7000", 7000)])
async def test_kernels_are_told_to_find_a_lost_machine(
    postgres_store_url: str, query: str, expected: int
) -> None:
    async with proxied(postgres_store_url) as (_, url):
        store = await Store.open(url + query)
        async with store._database.read() as connection:
            line = (await connection.get_raw_connection()).driver_connection
            assert line is not None
            with socket.fromfd(line.fileno(), socket.AF_INET, socket.SOCK_STREAM) as end:
                kept = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                alive = end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                idle_s = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        await store.aclose()
    assert (kept, alive, idle_s) == (expected, 1, 3)


async def test_migrations_find_a_lost_machine_too(postgres_store_url: str) -> None:
    asked: list[dict[str, object]] = []

    def note(_: object, __: object, ___: object, options: dict[str, object]) -> None:
        asked.append(options)

    event.listen(Engine, "do_connect", note)
    try:
        await migrate(parsed(postgres_store_url + "&keepalives_idle=9"))
    finally:
        event.remove(Engine, "do_connect", note)
    (options,) = asked
    assert options["tcp_user_timeout"] == 5000
    assert options["keepalives_idle"] == "9"


def test_what_the_url_says_goes_first() -> None:
    told = lost_after(make_url("postgresql://h/d?connect_timeout=30&keepalives=0"))
    assert not {"connect_timeout", "keepalives"} & set(told)
    assert told["tcp_user_timeout"] == 5000
