# SPDX-License-Identifier: Apache-2.0
"""Answers to requests that may come twice: the second one gets the first one's answer.

A key is claimed before the work and answered after it. Whoever asks adds himself to the key, so
that people cannot meet each other's answers, and makes the fingerprint of everything that matters
in the request.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import Conflict
from billow.store.database import Database
from billow.store.tables import answers
from billow.store.text import storable


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of a request that bore a key.

    Attributes:
        fingerprint: Of the request.
        response: What was answered, in the asker's own form; None while it is under way.
        at: When it was claimed, seconds since the epoch.
    """

    fingerprint: str
    response: str | None
    at: float


class Idempotency:
    """The answers of one database."""

    _database: Database

    async def claim(self, key: str, fingerprint: str, *, at: float) -> Answer | None:
        """Take a key for a request; None when it is the first with this key, else what is known.

        Raises:
            Conflict: the key was used for another request.
        """

        async def take(connection: AsyncConnection) -> Answer | None:
            known = await _answer(connection, key)
            if known is None:
                await _add(connection, key, Answer(fingerprint, None, at))
            return _checked(known, fingerprint)

        return await self._database.write(take)

    async def remember(
        self, key: str, fingerprint: str, response: str, *, at: float = 0.0
    ) -> Answer:
        """Keep the answer to a request, claimed or not; return the first, which counts.

        Raises:
            Conflict: the key was used for another request.
        """

        async def keep(connection: AsyncConnection) -> Answer:
            known = _checked(await _answer(connection, key), fingerprint)
            if known is None:
                given = Answer(fingerprint, response, at)
                await _add(connection, key, given)
                return given
            if known.response is not None:
                return known
            ours = answers.c.key == storable(key)
            await connection.execute(
                update(answers).where(ours).values(response=storable(response))
            )
            return Answer(fingerprint, response, known.at)

        return await self._database.write(keep)

    async def recall(self, key: str) -> Answer | None:
        """Return what is known of a key; None for nothing."""
        async with self._database.read() as connection:
            return await _answer(connection, key)

    async def forget(self, key: str) -> None:
        """Give a claimed key back, when its request changed nothing; an answer stays."""
        claim = (answers.c.key == storable(key)) & answers.c.response.is_(None)
        await self._drop(claim)

    async def expire_answers(self, before: float) -> None:
        """Drop answers and claims made before a time."""
        await self._drop(answers.c.at < before)

    async def _drop(self, which: ColumnElement[bool]) -> None:
        async def drop(connection: AsyncConnection) -> None:
            await connection.execute(delete(answers).where(which))

        await self._database.write(drop)


async def _answer(connection: AsyncConnection, key: str) -> Answer | None:
    query = select(answers.c.fingerprint, answers.c.response, answers.c.at)
    row = (await connection.execute(query.where(answers.c.key == storable(key)))).first()
    return None if row is None else Answer(*row)


async def _add(connection: AsyncConnection, key: str, answer: Answer) -> None:
    response = None if answer.response is None else storable(answer.response)
    row = {"key": storable(key), "fingerprint": storable(answer.fingerprint), "at": answer.at}
    await connection.execute(insert(answers).values(row | {"response": response}))


def _checked(known: Answer | None, fingerprint: str) -> Answer | None:
    """Return what is known, if it is of the same request. Raises Conflict."""
    if known is not None and known.fingerprint != storable(fingerprint):
        raise Conflict(
            "this Idempotency-Key was used for another request",
            fix="send a new key with a new request",
            code="idempotency-mismatch",
        )
    return known
