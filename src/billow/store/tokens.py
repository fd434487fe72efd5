# SPDX-License-Identifier: Apache-2.0
"""Login tokens and session keys as rows. What they mean is identity's business."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import NotFound
from billow.model.access import Role, SessionKey, Token
from billow.store.database import Database
from billow.store.rows import AnyRow
from billow.store.tables import session_keys, tokens
from billow.store.text import storable


class Tokens:
    """The tokens and session keys of one database."""

    _database: Database

    async def add_token(self, token: Token) -> None:
        """Keep a new token."""

        async def add(connection: AsyncConnection) -> None:
            await connection.execute(insert(tokens).values(_row(token)))

        await self._database.write(add)

    async def add_first_admin(self, token: Token) -> bool:
        """Keep a new token if no admin's is good at its creation; return whether it was kept."""
        live = or_(tokens.c.expires_at == 0, tokens.c.expires_at > token.created_at)
        admins = select(tokens.c.id).where(
            tokens.c.role == Role.ADMIN.value, tokens.c.revoked_at == 0, live
        )

        async def add(connection: AsyncConnection) -> bool:
            if (await connection.execute(admins)).first() is not None:
                return False
            await connection.execute(insert(tokens).values(_row(token)))
            return True

        return await self._database.write(add)

    async def token_by_digest(self, digest: str) -> Token | None:
        """Return the token whose secret has this SHA-256; None for none."""
        return await self._token(tokens.c.digest == digest)

    async def token_by_id(self, token_id: str) -> Token | None:
        """Return a token by its public name; None for none."""
        return await self._token(tokens.c.id == storable(token_id))

    async def tokens(self) -> Sequence[Token]:
        """Return all tokens, also the expired and the revoked, oldest first."""
        query = select(tokens).order_by(tokens.c.created_at, tokens.c.id)
        async with self._database.read() as connection:
            return [_token(row) for row in await connection.execute(query)]

    async def revoke_token(self, token_id: str, at: float) -> Token:
        """Mark a token as revoked, once; return it. Raises NotFound."""

        async def mark(connection: AsyncConnection) -> Token:
            ours = tokens.c.id == storable(token_id)
            good = tokens.c.revoked_at == 0
            await connection.execute(update(tokens).where(ours, good).values(revoked_at=at))
            row = (await connection.execute(select(tokens).where(ours))).first()
            if row is None:
                raise NotFound(f"no token {token_id!a:.80}", fix="billow token list shows them")
            return _token(row)

        return await self._database.write(mark)

    async def touch_token(self, token_id: str, at: float) -> None:
        """Record when a token was last used."""

        async def mark(connection: AsyncConnection) -> None:
            ours = tokens.c.id == token_id
            await connection.execute(update(tokens).where(ours).values(last_used_at=at))

        await self._database.write(mark)

    async def session_key(self, number: int = 0) -> SessionKey | None:
        """Return a session key, or the newest for 0; None when it is gone."""
        query = select(session_keys).order_by(session_keys.c.number.desc())
        if number:
            query = query.where(session_keys.c.number == number)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else SessionKey(row.number, bytes(row.secret), row.created_at)

    async def add_session_key(self, secret: bytes, at: float, *, drop_before: float) -> None:
        """Add a session key and drop those made before a time: their sessions end."""

        async def add(connection: AsyncConnection) -> None:
            old = delete(session_keys).where(session_keys.c.created_at < drop_before)
            await connection.execute(old)
            await connection.execute(insert(session_keys).values(secret=secret, created_at=at))

        await self._database.write(add)

    async def _token(self, condition: Any) -> Token | None:  # noqa: ANN401 (an SQL expression)
        async with self._database.read() as connection:
            row = (await connection.execute(select(tokens).where(condition))).first()
        return None if row is None else _token(row)


def _row(token: Token) -> dict[str, Any]:
    return asdict(token) | {"name": storable(token.name), "role": token.role.value}


def _token(row: AnyRow) -> Token:
    values = dict(row._mapping)  # noqa: SLF001 (SQLAlchemy's public name)
    return Token(**(values | {"role": Role(values["role"])}))
