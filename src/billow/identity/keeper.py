# SPDX-License-Identifier: Apache-2.0
"""Who asks: tokens become people, sessions stand for tokens, and the audit trail hears of it.

There are no passwords. A token is shown once, when it is made; whoever has it is the one it was
made for. It must not decide what a person may do: roles do, and the faces ask for them.
"""

import math
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from billow.errors import Invalid, Unauthenticated, Unavailable
from billow.identity.attempts import Attempts
from billow.identity.person import Person
from billow.identity.secret import digest_of, is_secret, new_id, new_secret
from billow.identity.session import KEY_S, SESSION_S, Session, cookie_of
from billow.identity.tokenfile import alone, read_token, remove_token, write_token
from billow.identity.vault import Vault
from billow.model.access import Role, SessionKey, Token
from billow.model.event import Event, EventKind
from billow.model.names import check_id
from billow.ports import Clock

SESSION_COOKIE: Final = "billow_session"
TOUCH_S: Final = 60.0
"""How exact a token's last use is."""
FIRST_ADMIN: Final = "admin"


class Keeper:
    """The one who knows people by their tokens."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self._vault = vault
        self._clock = clock
        self._attempts = Attempts()
        self._welcome: set[str] = set()  # digests that were good in this process

    async def who(self, token: str, *, source: str = "") -> Person:
        """Return who shows a token.

        Args:
            token: As it was handed out.
            source: Where it comes from, such as an address: wrong ones are limited per source.

        Raises:
            Unauthenticated: the token is none of ours, expired or revoked, or the source has shown
                too
                many wrong ones.
        """
        return _person(await self._token(token, source))

    async def log_in(self, token: str, *, source: str = "") -> str:
        """Return the cookie of a new session for a token. Raises Unauthenticated as `who` does."""
        good = await self._token(token, source)
        now = self._clock.now()
        end = now + SESSION_S
        if good.expires_at:
            end = min(end, good.expires_at)
        key = await self._signing_key(now)
        await self._audit(good.name, f"{good.name} logged in", good)
        return cookie_of(key, good.id, math.ceil(end))

    async def session(self, cookie: str) -> Person:
        """Return whose session a cookie stands for.

        Raises:
            Unauthenticated: it is forged or over, or its token is expired or revoked.
        """
        session = Session.parsed(cookie)
        now = self._clock.now()
        if session is None or session.end <= now:
            raise _over()
        key = await self._vault.session_key(session.key)
        if key is None or not session.signed_by(key):
            raise _over()
        token = await self._vault.token_by_id(session.token_id)
        if token is None or not token.good(now):
            raise _over()
        await self._touch(token, now)
        return _person(token)

    async def end_sessions(self, *, actor: str = "billow") -> None:
        """End every session by forgetting every key that signed one."""
        await self._add_key(self._clock.now(), drop_before=math.inf)
        await self._audit(actor, f"{actor} ended all sessions")

    async def create(
        self, name: str, role: Role, ttl_s: float | None = None, *, actor: str = "billow"
    ) -> tuple[Token, str]:
        """Return a new token and its secret, which is known to nobody but the caller from now on.

        Args:
            name: Whom it is for.
            role: What they may.
            ttl_s: How long it is good; None for ever.
            actor: Who makes it.

        Raises:
            Invalid: a name that cannot be one, or a time that is not above 0.
        """
        token, secret = self._made(check_id("token name", name), role, ttl_s)
        await self._vault.add_token(token)
        await self._audit(actor, f"{actor} made a token for {name}, {role}", token)
        return token, secret

    async def revoke(self, token_id: str, *, actor: str = "billow") -> Token:
        """Make a token, and the sessions opened with it, worth nothing at once. Raises NotFound."""
        token = await self._vault.revoke_token(token_id, self._clock.now())
        await self._audit(actor, f"{actor} revoked a token of {token.name}", token)
        return token

    async def tokens(self) -> Sequence[Token]:
        """Return the tokens that are good now, oldest first."""
        now = self._clock.now()
        return [token for token in await self._vault.tokens() if token.good(now)]

    async def bootstrap(self, path: Path) -> str:
        """Return the admin's token from a file; make both where no admin could come in.

        Empty when an admin has a token but the file is not there, or holds another.

        Raises:
            Invalid: somebody else may have read the file.
        """
        async with alone(path.parent):
            return await self._bootstrap(path)

    async def _bootstrap(self, path: Path) -> str:
        kept = read_token(path)
        known = await self._vault.token_by_digest(digest_of(kept)) if kept else None
        if known is not None and known.good(self._clock.now()):
            return kept
        if any(token.role is Role.ADMIN for token in await self.tokens()):
            return ""
        token, secret = self._made(FIRST_ADMIN, Role.ADMIN, None)
        write_token(path, secret)
        if not await self._vault.add_first_admin(token):
            remove_token(path)
            return ""
        await self._audit("billow", f"billow made the first token for {FIRST_ADMIN}", token)
        return secret

    def _made(self, name: str, role: Role, ttl_s: float | None) -> tuple[Token, str]:
        if ttl_s is not None and not 0 < ttl_s < math.inf:
            raise Invalid("a token's time must be a number of seconds above 0", fix="leave it out")
        now, secret = self._clock.now(), new_secret()
        expires_at = 0.0 if ttl_s is None else now + ttl_s
        return Token(new_id(), name, role, digest_of(secret), now, expires_at), secret

    async def _token(self, secret: str, source: str) -> Token:
        """Return a good token by its secret. Raises Unauthenticated."""
        now = self._clock.now()
        digest = digest_of(secret) if is_secret(secret) else ""
        if digest not in self._welcome:
            _check_wait(self._attempts.wait_s(source, now))
        token = await self._vault.token_by_digest(digest) if digest else None
        if token is None or not token.good(now):
            self._welcome.discard(digest)
            await self._refuse(token, source)
            raise Unauthenticated(
                "this token opens nothing here", fix="ask an admin for a new one", code="bad-token"
            )
        self._welcome.add(digest)
        await self._touch(token, now)
        return token

    async def _refuse(self, token: Token | None, source: str) -> None:
        self._attempts.fail(source, self._clock.now())
        what = "an unknown token" if token is None else "a token that is over"
        await self._audit("nobody", f"{what} was shown", token)

    async def _touch(self, token: Token, now: float) -> None:
        if now - token.last_used_at >= TOUCH_S:
            with suppress(Unavailable):  # a full disk keeps nobody from looking
                await self._vault.touch_token(token.id, now)

    async def _signing_key(self, now: float) -> SessionKey:
        key = await self._vault.session_key()
        if key is None or now - key.created_at > KEY_S:
            await self._add_key(now, drop_before=now - KEY_S - SESSION_S)
            key = await self._vault.session_key()
        if key is None:
            raise Unavailable(
                "the session keys are gone", fix="log in again", code="no-session-key"
            )
        return key

    async def _add_key(self, now: float, *, drop_before: float) -> None:
        await self._vault.add_session_key(secrets.token_bytes(32), now, drop_before=drop_before)

    async def _audit(self, actor: str, text: str, token: Token | None = None) -> None:
        subjects = (f"token/{token.id}",) if token else ()
        event = Event(EventKind.AUDIT, self._clock.now(), text, subjects, actor)
        await self._vault.tell(event)


def _person(token: Token) -> Person:
    return Person(token.name, token.role, token.id)


def _over() -> Unauthenticated:
    return Unauthenticated("this session is over", fix="log in with your token", code="no-session")


def _check_wait(wait_s: float) -> None:
    if wait_s > 0:
        raise Unauthenticated(
            "too many wrong tokens were shown",
            fix=f"wait {math.ceil(wait_s)} s, then show a good one",
            code="too-many-attempts",
        )
