# SPDX-License-Identifier: Apache-2.0
"""`Idempotency-Key`: a POST that comes twice is done once, and answered twice alike.

The key is claimed in the store before the work, so that a second try finds it even from another
controller. An error is not kept: nothing was done, and the same key may try again. A claim that
outlives its process stays in flight until the store drops it; nobody knows what became of its work.
"""

import hashlib
import json
import re
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billow.api import problem
from billow.api.caller import person_of
from billow.api.gate import replayed
from billow.api.unkept import SECRETS
from billow.app import Billow
from billow.errors import BillowError, Conflict, Invalid

_KEY = re.compile(r"[!-~]{1,255}")
_KEPT_HEADERS = ("content-type", "location", "etag")


@dataclass(slots=True)
class Heard:
    """An answer on its way out."""

    status: int = 500
    headers: dict[str, str] | None = None
    body: bytes = b""

    def hear(self, message: Message) -> None:
        """Take in one message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = Headers(raw=message["headers"])
            self.headers = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
        else:
            self.body += message.get("body", b"")

    def text(self) -> str:
        """Return it for the store."""
        return json.dumps([self.status, self.headers, self.body.decode()])


class Once:
    """Do a POST with a known key no second time."""

    def __init__(self, app: ASGIApp, billow: Billow) -> None:
        self._app = app
        self._billow = billow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        key = Headers(scope=scope).get("idempotency-key") if scope["type"] == "http" else None
        if key is None or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            await self._once(key, scope, receive, send)
        except BillowError as error:
            status = 422 if error.code == "idempotency-mismatch" else None
            await problem.answer(scope, error, status=status)(scope, receive, send)

    async def _once(self, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        _check(key, scope["path"])
        request = Request(scope, receive)
        person = await person_of(request, self._billow)
        body = await request.body()
        name, fingerprint = f"{person.name}\n{key}", _fingerprint(scope, body)
        known = await self._billow.store.claim(name, fingerprint, at=self._billow.clock.now())
        if known is None:
            heard = await self._heard(name, scope, replayed(body, receive), send)
            if heard.status < 300:
                await self._billow.store.remember(name, fingerprint, heard.text())
            return
        if known.response is None:
            raise Conflict(
                "a request with this Idempotency-Key is under way",
                fix="wait, then ask again with the same key",
                code="idempotency-in-flight",
            )
        status, headers, text = json.loads(known.response)
        replay = Response(text, status, headers={**headers, "Idempotency-Replayed": "true"})
        await replay(scope, receive, send)

    async def _heard(self, name: str, scope: Scope, receive: Receive, send: Send) -> Heard:
        """Let the request be done and listen; give the key back when it failed."""
        heard = Heard()

        async def sender(message: Message) -> None:
            heard.hear(message)
            await send(message)

        try:
            await self._app(scope, receive, sender)
        finally:
            if heard.status >= 300:
                await self._billow.store.forget(name)
        return heard


def _check(key: str, path: str) -> None:
    if not _KEY.fullmatch(key):
        raise Invalid("the Idempotency-Key is not 1 to 255 visible ASCII characters")
    if path in SECRETS:
        raise Invalid(
            "an answer with a secret is not kept, so it takes no Idempotency-Key",
            fix="send it without; revoke a token that got lost on the way",
        )


def _fingerprint(scope: Scope, body: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in (scope["method"].encode(), scope["raw_path"], scope["query_string"], body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
