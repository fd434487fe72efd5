# SPDX-License-Identifier: Apache-2.0
"""Login tokens and session keys as rows. What they mean is identity's business."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from billow.errors import NotFound
from billow.model.access import Role, Token
from billow.store.database import Database
from billow.store.rows import AnyRow
from billow.store.tables import session_keys, tokens
from billow.store.text import storable


class Tokens:
    """The tokens and session keys of one database."""

    _database: Database

    async def add_token(self, token: Token, *, first: bool = False) -> bool:
        """Keep a new token; with `first`, only where there is none. Return whether it was kept."""

        async def add(connection: AsyncConnection) -> bool:
            count = select(func.count()).select_from(tokens)
            if first and await connection.scalar(count):
                return False
            row = asdict(token) | {"name": storable(token.name), "role": token.role.value}
            await connection.execute(insert(tokens).values(row))
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

    async def session_keys(self) -> dict[int, tuple[bytes, float]]:
        """Return each session key by its number, with the time it was made."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(session_keys))
            return {row.number: (bytes(row.secret), row.created_at) for row in rows}

    async def add_session_key(self, secret: bytes, at: float, *, drop_before: float) -> None:
        """Add a session key and drop those made before a time."""

        async def add(connection: AsyncConnection) -> None:
            old = delete(session_keys).where(session_keys.c.created_at < drop_before)
            await connection.execute(old)
            await connection.execute(insert(session_keys).values(secret=secret, created_at=at))

        await self._database.write(add)

    async def _token(self, condition: Any) -> Token | None:  # noqa: ANN401 (an SQL expression)
        async with self._database.read() as connection:
            row = (await connection.execute(select(tokens).where(condition))).first()
        return None if row is None else _token(row)


def _token(row: AnyRow) -> Token:
    values = dict(row._mapping)  # noqa: SLF001 (SQLAlchemy's public name)
    return Token(**(values | {"role": Role(values["role"])}))
