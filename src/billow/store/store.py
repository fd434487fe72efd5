# SPDX-License-Identifier: Apache-2.0
"""The store: all that Billow remembers, in one SQL database. Each part has a file of its own."""

from typing import Self

from billow.store.board import Board
from billow.store.care import Care
from billow.store.database import Database
from billow.store.events import Events
from billow.store.generation import Generation
from billow.store.idempotency import Idempotency
from billow.store.incidents import Incidents
from billow.store.journal import Journal
from billow.store.latest import Latest
from billow.store.lease import Leases
from billow.store.moves import Moves
from billow.store.outbox import Outbox
from billow.store.plans import Plans
from billow.store.runs import Runs
from billow.store.shelf import Shelf
from billow.store.tail import Tail
from billow.store.tokens import Tokens


class _Failures(Incidents, Board, Care, Outbox):
    """What high availability keeps."""


class Store(
    Journal, Runs, Moves, Plans, Events, Leases, Idempotency, Generation, Tokens, _Failures
):
    """One database, for one event loop. It is `billow.ports.Journal` and `billow.ports.Witness`.

    All methods do I/O and raise Unavailable when the database does not answer. A method that
    writes returns when what it wrote is on disk.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._latest = Latest(database)
        self._shelf = Shelf()
        self._fences = {}
        self._names = {}
        self._as_read = {}
        self._tail = Tail(lambda last: self.events(after=last), self._newest_event)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Return the store at a database's URL; tables are made or brought up to date first.

        Args:
            url: `sqlite:///PATH` or `postgresql://USER@HOST/DATABASE`.

        Raises:
            Invalid: the URL is none of ours, or its place cannot be written.
            Blocked: a newer Billow made the tables.
            Unavailable: the database does not answer.
        """
        return cls(await Database.open(url))

    async def aclose(self) -> None:
        """Write what is under way; let go of the database and of those who follow events."""
        await self._tail.aclose()
        await self._latest.aclose()
        await self._database.aclose()

    async def _newest_event(self) -> int:
        newest = await self.events(limit=1, newest=True)
        return newest[0].id if newest else 0
