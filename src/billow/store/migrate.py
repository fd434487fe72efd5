# SPDX-License-Identifier: Apache-2.0
"""Bring a database to the tables of this version, once, whoever comes first.

All of it is one write transaction, so a crash half-way leaves the old tables and a second
controller waits. Migrations only go up; a database of a newer Billow is refused.
"""

import asyncio
import threading
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from billow.errors import Blocked
from billow.store.failure import explained
from billow.store.open import WAIT_S, Use, is_postgres, prepare
from billow.store.patience import lost_after

HEAD: Final = "0003"
"""The newest migration, so that most starts need no Alembic. A test compares it with the folder."""

MIGRATIONS: Final = Path(__file__).with_name("migrations")
_ALONE = threading.Lock()  # Alembic keeps what it works on in one place per process


async def migrate(url: URL) -> None:
    """Create or upgrade the tables.

    Raises:
        Blocked: a newer Billow made them.
        Unavailable: the database does not answer.
    """
    await asyncio.to_thread(_migrate, url)


def _migrate(url: URL) -> None:
    sync_driver = "postgresql+psycopg" if is_postgres(url) else "sqlite+pysqlite"
    options = lost_after(url) if is_postgres(url) else {"timeout": WAIT_S}
    engine = create_engine(
        url.set(drivername=sync_driver), poolclass=NullPool, connect_args=dict(options)
    )
    prepare(engine, Use.WRITE)
    try:
        with engine.begin() as connection:
            if _version(connection) != HEAD:
                _upgrade(connection)
    except SQLAlchemyError as error:
        raise explained(error) from error


def _version(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        with _ALONE:
            command.upgrade(config, "head")
    except CommandError as error:
        raise Blocked(
            "the database was made by a newer Billow",
            details=(str(error),),
            fix="use that version or a newer one, or another database",
            code="store-newer",
        ) from error
