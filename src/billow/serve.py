# SPDX-License-Identifier: Apache-2.0
"""One server for the API and the console: opened, served until a signal, and closed in order.

Whoever calls decides the settings. This module decides nothing but who gets which path.
"""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from threading import Thread

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from billow.api.application import application
from billow.api.gate import Gate
from billow.app import Billow, open_billow
from billow.errors import Invalid
from billow.settings import Settings
from billow.web.console import console

STREAMS_END_S = 2
"""How long open streams may take to end when the server stops."""
_API = ("/v1", "/healthz", "/metrics")


class Faces:
    """Send each request to the face that its path belongs to."""

    def __init__(self, api: ASGIApp, console: ASGIApp) -> None:
        self._api = api
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        path: str = scope.get("path", "")
        ours = path in _API or path.startswith("/v1/")
        await (self._api if ours else self._console)(scope, receive, send)


def site(billow: Billow) -> ASGIApp:
    """Return the API and the console over an open Billow, behind the gate."""
    names = {billow.settings.listen, *billow.settings.names}
    api = application(billow)
    # The first request would wait for it; the start need not.
    Thread(target=api.openapi, name="openapi", daemon=True).start()
    return Gate(Faces(api, console(billow)), names)


async def serve(
    settings: Settings,
    *,
    ready: Callable[[Billow, str], Awaitable[None]],
) -> None:
    """Open Billow and serve it until SIGINT or SIGTERM; instances run on afterwards.

    Args:
        settings: Where to listen, and everything else.
        ready: Awaited once with the URL when requests are answered.

    Raises:
        Invalid: the address is taken or not ours, or a setting cannot work.
        Unavailable: the database or the engine does not answer.
    """
    with _listening(settings) as listener:
        async with _opened(settings) as billow:
            gc.freeze()  # what a start loads stays: no collection need look at it again
            config = uvicorn.Config(
                site(billow),
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=STREAMS_END_S,
            )
            await _Server(config, lambda: ready(billow, _url(listener))).serve([listener])


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready and returns after a signal, so that all can be closed."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say so."""
        await super().startup(sockets)
        await self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT and SIGTERM, without raising them once more afterwards."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


@contextlib.asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Billow]:
    billow = await open_billow(settings)
    try:
        yield billow
    finally:
        await billow.aclose()


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """Bind the address. Raises Invalid."""
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    try:
        listener = socket.create_server((settings.listen, settings.port), family=family)
    except OSError as error:
        raise Invalid(
            f"cannot listen on {settings.listen} port {settings.port}",
            (error.strerror or str(error),),
            fix="choose another with --port, or stop what listens there",
            code="address-taken",
        ) from error
    # Connections inherit it. Without it an answer in two writes waits 40 ms for the client's
    # acknowledgement: asyncio sets it by itself only on sockets that it has made.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 (compared, not bound)
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
