# SPDX-License-Identifier: Apache-2.0
"""What identity needs kept. The store is one; identity does not know it."""

from collections.abc import Sequence
from typing import Protocol

from billow.model.access import SessionKey, Token
from billow.ports import Witness


class Vault(Witness, Protocol):
    """Where tokens, session keys and the audit trail are kept."""

    async def add_token(self, token: Token) -> None:
        """Keep a new token."""

    async def add_first_admin(self, token: Token) -> bool:
        """Keep a new token if no admin's is good at its creation; return whether it was kept."""

    async def token_by_digest(self, digest: str) -> Token | None:
        """Return the token whose secret has this SHA-256; None for none."""

    async def token_by_id(self, token_id: str) -> Token | None:
        """Return a token by its public name; None for none."""

    async def tokens(self) -> Sequence[Token]:
        """Return all tokens, also the expired and the revoked, oldest first."""

    async def revoke_token(self, token_id: str, at: float) -> Token:
        """Mark a token as revoked, once; return it. Raises NotFound."""

    async def touch_token(self, token_id: str, at: float) -> None:
        """Record when a token was last used."""

    async def session_key(self, number: int = 0) -> SessionKey | None:
        """Return a session key, or the newest for 0; None when it is gone."""

    async def add_session_key(self, secret: bytes, at: float, *, drop_before: float) -> None:
        """Add a session key and drop those made before a time: their sessions end."""
