# SPDX-License-Identifier: Apache-2.0
"""How long requests take, by route and status; by path, each host's name would be a label."""

from time import perf_counter

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billow.telemetry import REGISTRY

REQUEST_SECONDS = Histogram(
    "billow_request_seconds",
    "Time to answer a request of the API.",
    ["method", "route", "status"],
    registry=REGISTRY,
)
_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})


class Metered:
    """Measure every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve and measure one request, up to the end of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def sender(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start = perf_counter()
        try:
            await self._app(scope, receive, sender)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            REQUEST_SECONDS.labels(method, route, status).observe(perf_counter() - start)
