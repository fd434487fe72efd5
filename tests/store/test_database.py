# SPDX-License-Identifier: Apache-2.0
"""Opening: URLs, files, migrations, a database that is away; and what a commit promises."""

import asyncio
import sqlite3
import stat
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import NullPool
from tests.databases import PostgresServer
from tests.store.examples import begun

from billow.errors import BillowError, Blocked, Invalid, Unavailable
from billow.model.event import Event, EventKind
from billow.model.run import Entry, Phase
from billow.store import Store
from billow.store.migrate import HEAD, MIGRATIONS
from billow.store.tables import metadata
from billow.store.writer import Work

pytestmark = pytest.mark.anyio


def differences(url: str) -> list[object]:
    """Return how a database's tables differ from those that the code knows."""
    plain = url.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(plain, poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, metadata))


async def test_migrations_make_the_tables_that_the_code_knows(database_url: str) -> None:
    await (await Store.open(database_url)).aclose()
    assert differences(database_url) == []


async def test_a_difference_would_be_seen(sqlite_url: str) -> None:
    await (await Store.open(sqlite_url)).aclose()
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    connection.execute("ALTER TABLE tokens DROP COLUMN last_used_at")
    connection.close()
    assert len(differences(sqlite_url)) == 1


async def test_the_newest_migration_is_known() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


async def test_what_was_kept_is_there_at_the_next_opening(database_url: str) -> None:
    for count in range(3):
        store = await Store.open(database_url)
        assert len(await store.events()) == count
        await store.tell(Event(EventKind.CONTROLLER, 1.0, "up"))
        await store.aclose()


async def test_many_open_an_empty_database_at_once(database_url: str) -> None:
    stores = await asyncio.gather(*(Store.open(database_url) for _ in range(6)))
    await asyncio.gather(*(s.tell(Event(EventKind.CONTROLLER, 1.0, "up")) for s in stores))
    assert len(await stores[0].events()) == 6
    await asyncio.gather(*(store.aclose() for store in stores))


async def test_a_newer_database_is_refused(database_url: str) -> None:
    store = await Store.open(database_url)

    async def pretend(connection: AsyncConnection) -> None:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    await store._database.write(pretend)
    await store.aclose()
    with pytest.raises(Blocked) as caught:
        await Store.open(database_url)
    assert caught.value.code == "store-newer"


@pytest.mark.parametrize(
    "url",
    [
        "", "nonsense", "://", "a" * 99, "mysql://a/b",
        "sqlite://", "sqlite:///:memory:", "sqlite:///x\0y",
    ],
)  # fmt: skip
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Invalid):
        await Store.open(url)


async def test_a_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "100% state" / "billow.db"
    store = await Store.open(f"sqlite:///{path}")
    await store.bump_generation()
    modes = {name: stat.S_IMODE((path.parent / name).stat().st_mode) for name in listed(path)}
    await store.aclose()
    assert modes == {"billow.db": 0o600, "billow.db-wal": 0o600, "billow.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert listed(path) == ["billow.db"]


def listed(path: Path) -> list[str]:
    """Return what lies beside a file, itself included."""
    return sorted(each.name for each in path.parent.iterdir())


async def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "billow.db", tmp_path):
        with pytest.raises(Invalid) as caught:
            await Store.open(f"sqlite:///{place}")
        assert caught.value.code == "store-unwritable"


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "billow.db"
    path.write_bytes(b"this is a letter, not a database, and it stays as it is" * 100)
    before = path.read_bytes()
    with pytest.raises(Unavailable):
        await Store.open(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("pragma", "value"), [("synchronous", 2), ("foreign_keys", 1), ("journal_mode", "wal")]
)
async def test_sqlite_keeps_its_promises(sqlite_url: str, pragma: str, value: object) -> None:
    store = await Store.open(sqlite_url)

    async def look(connection: AsyncConnection) -> object:
        return await connection.scalar(text(f"PRAGMA {pragma}"))

    assert await store._database.write(look) == value
    await store.aclose()


@pytest.mark.postgres
async def test_postgres_keeps_its_promises(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    postgres_server.execute("ALTER ROLE billow SET synchronous_commit = off")
    try:
        store = await Store.open(postgres_url)
        kept = await store._database.write(show("synchronous_commit"))
        waits = await store._database.write(show("lock_timeout"))
        await store.aclose()
    finally:
        postgres_server.execute("ALTER ROLE billow RESET synchronous_commit")
    assert (kept, waits) == ("on", "10s")


def show(setting: str) -> Work[object]:
    """Return work that reads a setting of PostgreSQL."""

    async def read(connection: AsyncConnection) -> object:
        return await connection.scalar(text(f"SHOW {setting}"))

    return read


@pytest.mark.postgres
async def test_a_lost_connection_is_made_again(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    store = await Store.open(postgres_url)
    await store.bump_generation()
    assert await store.generation() == 1
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'billow%'"
    )
    assert await store.bump_generation() == 2
    assert await store.generation() == 2
    await store.aclose()


@pytest.mark.postgres
async def test_a_connection_lost_in_the_middle_writes_nothing(postgres_url: str) -> None:
    store = await Store.open(postgres_url)

    async def die(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO counters VALUES ('half', 1)"))
        await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(Unavailable) as caught:
        await store._database.write(die)
    assert caught.value.retryable
    assert await store._database.write(halves) == 0
    await store.aclose()


async def halves(connection: AsyncConnection) -> object:
    """Return how often a half-done piece of work is seen."""
    return await connection.scalar(text("SELECT count(*) FROM counters WHERE name = 'half'"))


@pytest.mark.postgres
async def test_a_writer_that_froze_is_cut_off(
    postgres_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = "SET lock_timeout = '60s'", "SET idle_in_transaction_session_timeout = '1s'"
    monkeypatch.setattr("billow.store.open._POSTGRES", limits)
    frozen, other = await Store.open(postgres_store_url), await Store.open(postgres_store_url)
    locked, thawed = asyncio.Event(), asyncio.Event()

    async def freeze(connection: AsyncConnection) -> None:
        locked.set()
        await thawed.wait()
        await connection.execute(text("INSERT INTO counters VALUES ('half', 1)"))

    freezing = asyncio.create_task(frozen._database.write(freeze))
    await locked.wait()
    assert await other.bump_generation() == 1
    thawed.set()
    with pytest.raises(Unavailable):
        await freezing
    assert await frozen.bump_generation() == 2
    await asyncio.gather(frozen.aclose(), other.aclose())


@pytest.mark.postgres
async def test_no_server_is_an_error_with_a_way_out(postgres_url: str, tmp_path: Path) -> None:
    gone = f"{postgres_url.partition('?')[0]}?host={tmp_path}"
    with pytest.raises(Unavailable) as caught:
        await Store.open(gone)
    assert caught.value.fix
    assert caught.value.code == "store-unavailable"


async def test_work_that_fails_writes_nothing_and_hurts_nobody(store: Store) -> None:
    async def half(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO counters VALUES ('half', 1)"))
        raise Invalid("no")

    async def wrong(connection: AsyncConnection) -> None:
        await connection.execute(text("INSERT INTO nowhere VALUES (1)"))

    write = store._database.write
    results = await asyncio.gather(
        store.bump_generation(), write(half), write(wrong), store.bump_generation(),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(result) for result in results] == [int, Invalid, type(results[2]), int]
    assert isinstance(results[2], BillowError)
    assert (results[0], results[3]) == (1, 2)
    assert await write(halves) == 0


async def test_who_gave_up_is_not_written(store: Store) -> None:
    async with asyncio.timeout(5):
        waiting = [asyncio.ensure_future(store.bump_generation()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [int, asyncio.CancelledError, int]
    assert await store.generation() == 2


async def test_a_closed_store_says_so(database_url: str) -> None:
    store = await Store.open(database_url)
    pending = [asyncio.ensure_future(store.bump_generation()) for _ in range(5)]
    await asyncio.sleep(0)
    await store.aclose()
    assert await asyncio.gather(*pending) == [1, 2, 3, 4, 5]
    with pytest.raises(Unavailable) as caught:
        await store.bump_generation()
    assert caught.value.code == "store-closed"
    await store.aclose()


async def test_a_thousand_actions_take_seconds(store: Store) -> None:
    run, lease = await begun(store, hosts=1000)
    slots = asyncio.Semaphore(32)

    async def act(name: str) -> None:
        async with slots:
            await store.intend(run.id, name, fence=lease.fence, at=3.0)
            await store.conclude(run.id, Entry(name, Phase.DONE, 3.0, 4.0), fence=lease.fence)

    began = time.monotonic()
    await asyncio.gather(*(act(f"p-{number}") for number in range(1000)))
    took_s = time.monotonic() - began
    known = await store.run(run.id)
    assert {entry.phase for entry in known.entries.values()} == {Phase.DONE}
    assert took_s < 20
