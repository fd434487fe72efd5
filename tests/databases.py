# SPDX-License-Identifier: Apache-2.0
"""Databases for tests: a file for SQLite, and a real PostgreSQL server of our own.

A test that asks for `database_url` runs on both. The server listens on a Unix socket in a folder of
its own only; as root it runs as another user, since it refuses to run as root. It does not wait for
its disk: tests kill its clients, never the machine.
"""

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from billow.store import Store

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name))
READY_S = 30.0
_numbers = itertools.count(1)


class PostgresServer:
    """A PostgreSQL server with its data in a temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="billow-postgres-"))
        self._as_user = self._unprivileged()
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "billow", "-A", "trust", "-E", "UTF8", "-N",
                  "--locale=C")  # fmt: skip
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off"]
        options = [word for setting in settings for word in ("-c", setting)]
        command = [*self._as_user, str(BINARIES[-1] / "postgres"), "-D", data, *options]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log, cwd=self.folder)
        self._wait_until_ready()

    def url(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return f"postgresql://billow@/{database}?host={self.folder}"

    def create_database(self, template: str = "template1") -> str:
        """Make a new database, as a copy of another, and return its URL."""
        name = f"billow_{next(_numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        self.execute(f"DROP DATABASE {name_in(url)} WITH (FORCE)")

    def stop(self) -> None:
        """Stop the server and remove what it kept."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=READY_S)
        shutil.rmtree(self.folder)

    def execute(self, statement: str) -> None:
        """Run a statement as the owner of all databases."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _unprivileged(self) -> list[str]:
        """Return the words before a command that make it end with us and, for root, be another."""
        words = ["setpriv", "--pdeathsig", "INT"]
        if os.geteuid() != 0:
            return words
        user = pwd.getpwnam("postgres")
        os.chown(self.folder, user.pw_uid, user.pw_gid)
        return [*words, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(BINARIES[-1] / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder)

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + READY_S
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return


def name_in(url: str) -> str:
    """Return the name of the database in a URL."""
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, one for all tests of this process."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path}/billow.db"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def anyio_backend() -> str:
    """The event loop of tests marked `anyio`: SQLAlchemy speaks asyncio only."""
    return "asyncio"


@pytest.fixture(scope="session")
def sqlite_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the store's tables, to be copied."""
    path = tmp_path_factory.mktemp("tables") / "billow.db"
    asyncio.run(_make_tables(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_tables(postgres_server: PostgresServer) -> str:
    """The name of a PostgreSQL database with the store's tables, to be copied."""
    url = postgres_server.create_database()
    asyncio.run(_make_tables(url))
    return name_in(url)


async def _make_tables(url: str) -> None:
    await (await Store.open(url)).aclose()


@pytest.fixture
def sqlite_store_url(sqlite_url: str, sqlite_tables: Path) -> str:
    """The URL of an SQLite database with the store's tables."""
    shutil.copy(sqlite_tables, sqlite_url.removeprefix("sqlite:///"))
    return sqlite_url


@pytest.fixture
def postgres_store_url(postgres_server: PostgresServer, postgres_tables: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with the store's tables."""
    url = postgres_server.create_database(postgres_tables)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with the store's tables, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_store_url")
    return url


@pytest.fixture
async def store(store_url: str, anyio_backend: str) -> AsyncIterator[Store]:
    """An open store with nothing in it, on each kind of database in turn."""
    opened = await Store.open(store_url)
    yield opened
    await opened.aclose()
