# SPDX-License-Identifier: Apache-2.0
"""A cloud's APIs as one thing that can be asked: in parallel, within limits, by microversion.

Answers are decoded once, into plain values; every failure is one of `billow.errors` with the HTTP
status in its code. Only reads are tried again: what became of a change is seen by looking.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic_core import from_json

from billow.engines.openstack.pace import Pace
from billow.engines.openstack.transport import (
    Answer,
    Request,
    Transport,
    Versions,
    open_transport,
)
from billow.errors import (
    BillowError,
    Conflict,
    Denied,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)
from billow.settings import Settings

Body = dict[str, Any]
"""A decoded answer."""

WAITS_S: Final = (0.2, 1.0, 3.0)
"""Between two tries of a read."""
TRIED_WITHIN_S: Final = 20.0
"""A read that took longer to fail is not sent again."""
LONGEST_WAIT_S: Final = 30.0
"""A cloud that asks for more patience is taken for one that does not answer."""
PAGE: Final = 1000
"""Rows per page; a cloud may give fewer."""
_VERSIONED: Final = frozenset({"baremetal", "block-storage", "compute", "placement"})
"""Services that have microversions: one that tells of none did not answer."""
_ERRORS: Final[Mapping[int, type[BillowError]]] = {
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    409: Conflict,
    413: Unavailable,
    429: Unavailable,
}


class Cloud:
    """A cloud that can be asked. Open it with `Cloud.of`, close it with `aclose`."""

    def __init__(self, transport: Transport, *, calls_at_once: int, calls_per_s: float) -> None:
        self._transport = transport
        self._threads = ThreadPoolExecutor(calls_at_once, thread_name_prefix="openstack")
        self._pace = Pace(calls_per_s)
        self._versions: dict[str, Versions | None] = {}
        self.calls = 0
        """Requests that were sent."""

    @classmethod
    def of(cls, settings: Settings) -> "Cloud":
        """Open the cloud of the settings; nothing is asked of it yet. Raises Invalid."""
        return cls(
            open_transport(settings.cloud, settings.cloud_calls_at_once),
            calls_at_once=settings.cloud_calls_at_once,
            calls_per_s=settings.cloud_calls_per_s,
        )

    @property
    def name(self) -> str:
        """What people call it."""
        return self._transport.name

    async def call(
        self,
        method: str,
        service: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        microversion: str = "",
    ) -> Body:
        """Ask once (a read a few times) and return the decoded answer; `{}` when it is empty.

        Args:
            method: `GET`, `POST`, ...
            service: As in the service catalogue: `compute`, `placement`, `network`, `baremetal`.
            path: Below the service's versioned endpoint: `/servers/detail?limit=10`.
            body: What is sent, as JSON.
            microversion: `2.87`; empty for the service's oldest.

        Raises:
            NotFound, Conflict, Denied: the API answered 404, 409 or 403.
            Refused: it answered with another 4xx.
            Unavailable: 5xx, 429, or no answer: a change may have been carried out.
        """
        request = Request(
            method=method, service=service, path=path, body=body, microversion=microversion
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + TRIED_WITHIN_S
        for wait_s in WAITS_S:
            try:
                return self._judged(request, await self._sent(request))
            except Unavailable as error:
                if method != "GET" or error.code == "openstack-busy" or loop.time() > until:
                    raise
                await asyncio.sleep(wait_s)
        return self._judged(request, await self._sent(request))

    async def get(self, service: str, path: str, microversion: str = "") -> Body:
        """Read. Raises as `call`."""
        return await self.call("GET", service, path, None, microversion)

    async def pages(
        self, service: str, path: str, key: str, microversion: str = ""
    ) -> AsyncIterator[list[Body]]:
        """Yield the rows of a listing page by page, as its links lead. Raises as `call`.

        Args:
            service: As in `call`.
            path: Likewise.
            key: Under which the rows are: `servers`.
            microversion: As in `call`.
        """
        plain, _, _ = path.partition("?")
        while path:
            answer = await self.get(service, path, microversion)
            yield answer.get(key) or []
            query = _next_query(answer, key)
            following = f"{plain}?{query}" if query else ""
            path = following if following != path else ""

    async def rows(self, service: str, path: str, key: str, microversion: str = "") -> list[Body]:
        """Return all rows of a listing, page by page. Raises as `call`."""
        pages = [page async for page in self.pages(service, path, key, microversion)]
        return [row for page in pages for row in page]

    async def has(self, service: str) -> bool:
        """Return whether the cloud has a service. Raises Unavailable, Unauthenticated."""
        return await self._spoken(service) is not None

    async def microversion(self, service: str, wanted: str) -> str:
        """Return the newest microversion up to `wanted` that a service speaks; empty for none.

        Raises:
            Refused: the service is newer than all that we speak.
            Unavailable, Unauthenticated: it could not be asked.
        """
        spoken, most = await self._spoken(service), _parsed(wanted)
        if spoken is None or spoken.most == (0, 0):
            return ""
        if spoken.least > most:
            raise Refused(
                f"{service} of {self.name} speaks no microversion up to {wanted}",
                (f"its oldest is {_written(spoken.least)}",),
                "take a newer Billow",
                code="openstack-too-new",
            )
        return _written(min(most, spoken.most))

    async def aclose(self) -> None:
        """Let go of connections; requests under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._transport.close()

    async def _spoken(self, service: str) -> Versions | None:
        if service not in self._versions:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, self._transport.versions, service)
            if found == Versions() and service in _VERSIONED:
                return found  # it was down just now: it is asked again
            self._versions[service] = found
        return self._versions[service]

    async def _sent(self, request: Request) -> Answer:
        """Send when the pace allows; wait once as long as a busy cloud asks for.

        One that does not take the new token that replaced an expired one gets another: tokens may
        expire in numbers, and nothing was done.
        """
        answer = await self._carried(request)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            answer = await self._carried(request)
        if answer.status in {413, 429} and "Retry-After" in answer.headers:
            wait_s = _seconds(answer.headers["Retry-After"])
            if wait_s <= LONGEST_WAIT_S:
                self._pace.hold(wait_s)
                answer = await self._carried(request)
        return answer

    async def _carried(self, request: Request) -> Answer:
        await self._pace.turn()
        self.calls += 1
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._transport.send, request)

    def _judged(self, request: Request, answer: Answer) -> Body:
        """Decode an answer, or raise what it says."""
        if answer.status < 400:
            return _decoded(request, answer.body)
        what = f"{request.method} {request.path.partition('?')[0]}"
        kind = _ERRORS.get(answer.status, Refused if answer.status < 500 else Unavailable)
        busy = answer.status in {413, 429}
        raise kind(
            f"{request.service} of {self.name} answered {answer.status}",
            (what, _reason(answer.body)),
            "lower BILLOW_CLOUD_CALLS_PER_S" if busy else "",
            code="openstack-busy" if busy else f"openstack-{answer.status}",
        )


def _decoded(request: Request, body: bytes) -> Body:
    if not body.strip():
        return {}
    try:
        found = from_json(body)
    except ValueError as error:
        raise Refused(
            f"{request.service} sent what is no JSON", (str(error),), code="bad-answer"
        ) from error
    return found if isinstance(found, dict) else {"": found}


def _reason(body: bytes) -> str:
    """Return what an error body says, in whatever dress the service gave it."""
    try:
        found = from_json(body)
    except ValueError:
        return body.decode(errors="replace")[:500]
    layers = [found]
    if isinstance(found, dict):
        if isinstance(inner := found.get("error_message"), str):
            return _reason(inner.encode())  # Ironic packs one document into another
        layers = [*(found.get("errors") or ()), *found.values(), found]
    for layer in layers:
        if isinstance(layer, dict):
            for key in ("message", "cause", "detail", "faultstring"):
                if isinstance(layer.get(key), str):
                    return str(layer[key])[:1000]
    return body.decode(errors="replace")[:500]


def _next_query(answer: Body, key: str) -> str:
    """Return the query of the next page: only that, since the link may name another host."""
    for link in answer.get(f"{key}_links") or ():
        if link.get("rel") == "next":
            return urlsplit(str(link.get("href", ""))).query
    following = answer.get("next")
    return urlsplit(following).query if isinstance(following, str) else ""


def _parsed(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _written(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return LONGEST_WAIT_S + 1
