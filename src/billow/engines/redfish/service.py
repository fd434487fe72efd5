# SPDX-License-Identifier: Apache-2.0
"""One Redfish service over one path: requests, who asks, and what an answer means.

Basic authentication comes first: it holds no session, and sessions run out. A service that refuses
it gets a session. Nothing is kept between questions but the connection: an answer is always new.
"""

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
        if self._session:
            with contextlib.suppress(httpx2.HTTPError):  # it ends by itself
                await client.request("DELETE", self._session, headers=self._headers())
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
        answer = await self._sent(method, place, body, more or {})
        if answer.status_code == httpx2.codes.UNAUTHORIZED:
            await self._log_in()
            answer = await self._sent(method, place, body, more or {})
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
        self, method: str, place: str, body: Mapping[str, object] | None, more: Mapping[str, str]
    ) -> httpx2.Response:
        client = self._client()
        auth = None if self._token else (self._controller.user, self._controller.secret())
        try:
            return await client.request(
                method, place, json=body, headers={**self._headers(), **more}, auth=auth
            )
        except httpx2.TimeoutException as error:
            raise Unavailable(
                f"{self._name} did not answer within {self._controller.answer_s:g} s"
            ) from error
        except (httpx2.HTTPError, OSError) as error:
            raise Unavailable(f"{self._name} cannot be reached", (str(error),)) from error

    async def _log_in(self) -> None:
        """Open a session, for a service that knows no other way. Raises Refused, Unavailable."""
        body = {"UserName": self._controller.user, "Password": self._controller.secret()}
        self._token = ""
        answer = await self._sent("POST", _SESSIONS, body, {})
        self._token = answer.headers.get("x-auth-token", "")
        self._session = answer.headers.get("location", "")
        if answer.status_code in UNHEARD:
            raise Unavailable(f"{self._name} gives no session now", (_said(answer),))
        if not self._token:
            raise Refused(
                f"{self._name} does not let {self._controller.user or 'nobody'} in",
                (_said(answer),),
                "correct user and secret_file in bmc.toml",
                "bmc-denied",
            )

    def _headers(self) -> dict[str, str]:
        return {**_FRESH, "X-Auth-Token": self._token} if self._token else dict(_FRESH)

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
