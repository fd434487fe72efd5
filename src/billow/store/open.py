# SPDX-License-Identifier: Apache-2.0
"""From a database's URL to engines that keep the store's promises, on SQLite and PostgreSQL alike.

A commit is on disk before it returns, and there is one write transaction at a time in the whole
database: SQLite's own write lock, an advisory lock on PostgreSQL. So numbers rise in the order of
commits and two controllers never see half of each other's work. A writer that froze is cut off
after `STUCK_S`.
"""

import os
from enum import Enum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from billow.errors import Invalid
from billow.store.patience import lost_after

WAIT_S: Final = 10
"""How long a write waits for another one."""
STUCK_S: Final = 4
"""How long a writer may stand still inside a transaction before PostgreSQL ends it: so long others
wait when a controller freezes there; a second longer than its lease (`settings.lease_s`)."""
READERS: Final = 4
LOCK: Final = 0x62696C6C6F77  # "billow"

_DRIVERS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}


class Use(Enum):
    """What a connection is for."""

    READ = "read"
    WRITE = "write"
    OWN = "own"
    """Writes rows that nobody else writes, so it need not wait for its turn."""


def parsed(url: str) -> URL:
    """Return the URL of a database, with the driver that Billow uses.

    Raises:
        Invalid: it is no URL, of another kind of database, or an SQLite database that is no file.
    """
    try:
        given = make_url(url)
    except ArgumentError:
        raise Invalid("the database is not given as a URL", fix=_FIX) from None
    driver = _DRIVERS.get(given.get_backend_name())
    if driver is None:
        raise Invalid(f"Billow keeps nothing in {given.get_backend_name()}", fix=_FIX)
    if not is_postgres(given) and given.database in (None, "", ":memory:"):
        raise Invalid("the SQLite database must be a file: the journal outlives us", fix=_FIX)
    return given.set(drivername=driver)


def is_postgres(url: URL) -> bool:
    """Return whether the database is PostgreSQL and not SQLite."""
    return url.get_backend_name() == "postgresql"


def create_file(url: URL) -> None:
    """Make an SQLite database's file and folder, for the owner only, where they are not there yet.

    Raises:
        Invalid: the place cannot be written.
    """
    path = Path(str(url.database))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except (OSError, ValueError) as error:
        raise Invalid(
            f"the database {path} cannot be written",
            details=(str(error),),
            fix="choose a place that you may write: BILLOW_DATABASE or BILLOW_STATE_DIR",
            code="store-unwritable",
        ) from error


def make_engine(url: URL, use: Use) -> AsyncEngine:
    """Return an engine: one connection that writes, or several that read and commit nothing."""
    options: dict[str, Any] = {"pool_size": READERS if use is Use.READ else 1, "max_overflow": 0}
    if use is Use.READ:
        options["isolation_level"] = "AUTOCOMMIT"
    if is_postgres(url):
        options |= {"pool_pre_ping": True, "connect_args": _connecting(url)}
    engine = create_async_engine(url, pool_timeout=WAIT_S * 6, **options)
    prepare(engine.sync_engine, use)
    return engine


def _connecting(url: URL) -> dict[str, Any]:
    from billow.store.line import Line  # who has SQLite need not wait for psycopg

    return {"async_creator_fn": Line.connect, **lost_after(url)}


def prepare(engine: Engine, use: Use) -> None:
    """Make each new connection and transaction of an engine keep the promises above."""
    postgres = engine.dialect.name == "postgresql"
    settings = _POSTGRES if postgres else _SQLITE[use]
    begin = f"SELECT pg_advisory_xact_lock({LOCK})" if postgres else "BEGIN IMMEDIATE"
    waits = use is Use.WRITE or (use is Use.OWN and not postgres)  # SQLite has one writer anyway

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _: object) -> None:
        _run_alone(connection, settings, postgres=postgres)

    if waits:

        @event.listens_for(engine, "begin")
        def _begun(connection: Any) -> None:  # noqa: ANN401 (SQLAlchemy's hook)
            connection.exec_driver_sql(begin)


def _run_alone(connection: Any, statements: tuple[str, ...], *, postgres: bool) -> None:  # noqa: ANN401
    """Run statements outside of any transaction; on SQLite, begin them ourselves from now on."""
    before = postgres and connection.autocommit
    if postgres:
        connection.autocommit = True
    else:
        connection.isolation_level = None
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    if postgres:
        connection.autocommit = before


_FIX: Final = "use sqlite:///PATH or postgresql://USER@HOST/DATABASE"

_POSTGRES: Final = (
    f"SET lock_timeout = '{WAIT_S}s'",
    f"SET idle_in_transaction_session_timeout = '{STUCK_S}s'",
    # a commit that is not on disk is no commit; stricter settings of the server stay
    """SELECT set_config('synchronous_commit', 'on', false)
       WHERE current_setting('synchronous_commit') = 'off'""",
)

_EVERY_SQLITE: Final = (
    f"PRAGMA busy_timeout = {WAIT_S * 1000}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",
)

_SQLITE: Final = {
    Use.WRITE: (*_EVERY_SQLITE, "PRAGMA journal_mode = WAL"),
    Use.OWN: (*_EVERY_SQLITE, "PRAGMA journal_mode = WAL"),
    Use.READ: (*_EVERY_SQLITE, "PRAGMA query_only = ON"),
}
