# SPDX-License-Identifier: Apache-2.0
"""What every request passes first, whichever face it wants: host, size, trace id, headers.

Why the host check: a page in a browser can point its own name at 127.0.0.1 (DNS rebinding) and then
talk to a control plane that trusts the loopback. A literal address in `Host` cannot be rebound; a
name must be known.
"""

import ipaddress
import re
import secrets
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billow.api import problem
from billow.errors import Invalid

MOST_BODY_BYTES = 8 * 1024 * 1024
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


class TooLarge(Invalid):
    """The body is larger than any request needs."""

    code = "too-large"
    status = 413


class WrongHost(Invalid):
    """The request was meant for another name."""

    code = "wrong-host"
    status = 421


class Gate:
    """Let a request through to the application, or answer it here."""

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in names if name)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope.setdefault("state", {})["trace_id"] = _trace_id(headers.get("traceparent", ""))
        sender = _with_headers(send, problem.trace_of(scope))
        try:
            self._check(headers)
            body = await _body(headers, receive)
        except ClientDisconnect:
            return
        except Invalid as error:
            await problem.answer(scope, error)(scope, receive, sender)
            return
        await self._app(scope, replayed(body, receive), sender)

    def _check(self, headers: Headers) -> None:
        name = host_name(headers.get("host", ""))
        if name in self._names or _is_address(name):
            return
        raise WrongHost(
            f"this control plane is not called {ascii(name)[:80]}",
            fix="use its address, localhost, or a name that the setting `names` lists",
        )


def host_name(host: str) -> str:
    """Return the name or address in a Host header, without port and brackets."""
    match = re.fullmatch(r"\[([^\[\]]*)\](?::\d+)?|([^:]*)(?::\d+)?", host)
    return ((match[1] or match[2]) if match else host).lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _trace_id(traceparent: str) -> str:
    match = _TRACEPARENT.fullmatch(traceparent)
    return match[1] if match else secrets.token_hex(16)


async def _body(headers: Headers, receive: Receive) -> bytes:
    """Read the whole body, which no honest request makes large.

    Raises:
        TooLarge: it is longer than `MOST_BODY_BYTES`, or says so, or does not say how long it is.
        ClientDisconnect: it ended before its end.
    """
    stated = headers.get("content-length", "0")
    if not stated.isdecimal() or len(stated) > 12 or int(stated) > MOST_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > MOST_BODY_BYTES:
            raise _too_large()
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _too_large() -> TooLarge:
    return TooLarge(
        f"the request's body is larger than {MOST_BODY_BYTES // 2**20} MiB", fix="send less at once"
    )


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once and then what the connection says."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send, trace_id: str) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in {**_HEADERS, "Trace-Id": trace_id}.items():
                headers.setdefault(name, value)
        await send(message)

    return sender
