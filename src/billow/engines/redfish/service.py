# SPDX-License-Identifier: Apache-2.0
"""One Redfish service over one path: requests, who asks, and what an answer means.

Basic authentication comes first: it holds no session, and sessions run out. A service that refuses
it gets one session, however many questions it refuses at one time. Nothing else is kept between
questions but the connection: an answer is always new.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from typing import Any, Final

import httpx2

from billow.act.power.inventory import DIRECT, Controller
from billow.errors import Invalid, Refused, Unavailable

_SESSIONS: Final = "/redfish/v1/SessionService/Sessions"
_CONNECT_S: Final = 5.0
_IDLE_S: Final = 2.0
_FRESH: Final = {"Cache-Control": "no-cache", "OData-Version": "4.0"}
UNHEARD: Final = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a service that cannot answer now; asking again may help."""
STATUS: Final = "http-"
"""How the code of a refused request begins; its HTTP status follows."""


class Service:
    """A connection to one service."""

    def __init__(self, controller: Controller, path: str) -> None:
        """Name the service; nothing is sent yet."""
        self._controller = controller
        self._path = path
        self._open: httpx2.AsyncClient | None = None
        self._token: str = ""
        self._session: str = ""
        self._entering: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def get(self, place: str) -> dict[str, Any]:
        """Return a resource, with its ETag as `@odata.etag`. Raises Unavailable, Refused."""
        answer = await self._ask("GET", place)
        try:
            found = answer.json()
        except ValueError as error:
            raise Unavailable(f"{self._name} gave no JSON for {place}") from error
        if not isinstance(found, dict):
            raise Unavailable(f"{self._name} gave no resource for {place}")
        if "etag" in answer.headers:
            found["@odata.etag"] = answer.headers["etag"]
        return found

    async def post(self, place: str, body: Mapping[str, object]) -> None:
        """Start an action. Raises Unavailable, Refused."""
        await self._ask("POST", place, body)

    async def patch(self, place: str, body: Mapping[str, object], etag: str) -> None:
        """Change a resource as it was read. Raises Unavailable, Refused."""
        await self._ask("PATCH", place, body, {"If-Match": etag} if etag else {})

    async def aclose(self) -> None:
        """Give the session back and let go of the connection."""
        client, self._open = self._open, None
        if client is None:
            return
        under_way = [*self._leaving, *filter(None, (self._entering,))]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._session:
            await self._leave(client, self._session)
        self._token, self._session, self._entering = "", "", None
        await client.aclose()

    @property
    def _name(self) -> str:
        over = "" if self._path == DIRECT else f" over {self._path}"
        return f"the Redfish service of {self._controller.host}{over}"

    async def _ask(
        self,
        method: str,
        place: str,
        body: Mapping[str, object] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        token = self._token
        answer = await self._sent(method, place, token, body, more)
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            await self._log_in(token)
            answer = await self._sent(method, place, self._token, body, more)
        if answer.status_code in UNHEARD:
            raise Unavailable(f"{self._name} cannot answer now", (_said(answer),))
        if answer.status_code >= 300:
            raise Refused(
                f"{self._name} refuses {method} {place}",
                (_said(answer),),
                "see whether its user may control the system",
                f"{STATUS}{answer.status_code}",
            )
        return answer

    async def _sent(
        self,
        method: str,
        place: str,
        token: str,
        body: Mapping[str, object] | None,
        more: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        client = self._client()
        auth = None if token else (self._controller.user, self._controller.secret())
        headers = {**_headers(token), **(more or {})}
        try:
            return await client.request(method, place, json=body, headers=headers, auth=auth)
        except httpx2.TimeoutException as error:
            raise Unavailable(
                f"{self._name} did not answer within {self._controller.answer_s:g} s"
            ) from error
        except (httpx2.HTTPError, OSError) as error:
            raise Unavailable(f"{self._name} cannot be reached", (str(error),)) from error

    async def _log_in(self, refused: str) -> None:
        """Have another token than the refused one: one log-in for all who are refused meanwhile.

        It goes on when who waits for it gives up: a session that is had is kept, or given back.
        Raises Refused, Unavailable.
        """
        if self._token != refused:
            return
        if self._entering is None or self._entering.done():
            self._entering = asyncio.create_task(self._enter())
        await asyncio.shield(self._entering)

    async def _enter(self) -> None:
        """Open a session, for a service that knows no other way. Raises Refused, Unavailable."""
        body = {"UserName": self._controller.user, "Password": self._controller.secret()}
        answer = await self._sent("POST", _SESSIONS, "", body)
        token = answer.headers.get("x-auth-token", "")
        if answer.status_code in UNHEARD:
            raise Unavailable(f"{self._name} gives no session now", (_said(answer),))
        if answer.status_code >= 300 or not token:
            raise Refused(
                f"{self._name} does not let {self._controller.user or 'nobody'} in",
                (_said(answer),),
                "correct user and secret_file in bmc.toml",
                "bmc-denied",
            )
        before, self._session = self._session, answer.headers.get("location", "")
        self._token = token
        if before:
            leaving = asyncio.create_task(self._leave(self._client(), before))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _leave(self, client: httpx2.AsyncClient, session: str) -> None:
        """Give a session back; it ends by itself where that cannot be done."""
        with contextlib.suppress(httpx2.HTTPError, httpx2.InvalidURL):
            await client.request("DELETE", session, headers=_headers(self._token))

    def _client(self) -> httpx2.AsyncClient:
        if self._open is None:
            known = self._controller
            patience = httpx2.Timeout(known.answer_s, connect=min(known.answer_s, _CONNECT_S))
            self._open = httpx2.AsyncClient(
                base_url=known.address,
                verify=_trust(known),
                proxy=None if self._path == DIRECT else self._path,
                timeout=patience,
                limits=httpx2.Limits(max_connections=known.at_once, keepalive_expiry=_IDLE_S),
                trust_env=False,
            )
        return self._open


def _headers(token: str) -> dict[str, str]:
    return {**_FRESH, "X-Auth-Token": token} if token else dict(_FRESH)


def _trust(known: Controller) -> ssl.SSLContext | bool:
    """Return how a service proves who it is. Raises Invalid."""
    if not known.address.startswith("https://"):
        return True
    try:
        context = ssl.create_default_context(cafile=known.ca_file)
    except OSError as error:
        raise Invalid(f"ca_file of {known.host} cannot be used: {error}") from error
    context.check_hostname = known.check_name
    return context


def _said(answer: httpx2.Response) -> str:
    """Return a status and the service's own words, shortened."""
    try:
        words = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        words = answer.text
    return f"{answer.status_code} {words}".strip()[:300]
