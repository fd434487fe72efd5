# SPDX-License-Identifier: Apache-2.0
"""The command line's side of the API: ask, and turn problem documents back into Billow's errors."""

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from billow import errors
from billow.api.unkept import SECRETS
from billow.cli.output import Document
from billow.cli.patience import patience
from billow.errors import BillowError, Bug, Invalid, Unavailable

CONNECT_S = 5.0
ANSWER_S = 120.0
PAGE = 1000
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Client:
    """A running control plane.

    Args:
        url: Where it answers.
        token: Who asks; empty for nobody.
        say: How the person is told of a long wait.
    """

    def __init__(self, url: str, token: str, say: Callable[[str], None]) -> None:
        self.url = checked_url(url)
        self._say = say
        self._http = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S),
            trust_env=self._host() not in LOOPBACK,  # no proxy leads to this machine's loopback
        )

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Document:
        """Return what is at a path. Raises what the server answers."""
        return document_of(self._send("GET", path, params=_texts(params)))

    def text(self, path: str) -> str:
        """Return the text at a path."""
        return self._send("GET", path).text

    def post(
        self,
        path: str,
        body: object = None,
        params: Mapping[str, object] | None = None,
        *,
        if_match: str = "",
    ) -> Document:
        """Ask for a change; a broken connection is tried once more under the same key."""
        headers = {"If-Match": f'"{if_match}"'} if if_match else {}
        if path not in SECRETS:
            headers["Idempotency-Key"] = secrets.token_hex(16)
        content = {} if body is None else {"json": body}
        answer = self._send("POST", path, params=_texts(params), headers=headers, **content)
        return document_of(answer)

    def delete(self, path: str, params: Mapping[str, object] | None = None) -> Document:
        """Ask for the end of something."""
        answer = self._send("DELETE", path, params=_texts(params))
        return document_of(answer) if answer.content else None

    def pages(self, path: str, params: Mapping[str, object], limit: int) -> Document:
        """Return a list's document with up to `limit` items, over as many pages as it takes.

        A `limit` of 0 is all.
        """
        whole: Document = None
        while True:
            held = len(whole["items"]) if whole else 0
            size = min(PAGE if path in PAGED_BY_TABLE else 500, (limit - held) if limit else PAGE)
            cursor = whole["cursor"] if whole else ""
            page = self.get(path, {**params, "limit": size, "cursor": cursor})
            if whole:
                page["items"] = whole["items"] + page["items"]
            whole = page
            if not whole["cursor"] or (limit and len(whole["items"]) >= limit):
                return whole

    @contextmanager
    def stream(self, path: str, last_id: str = "") -> Iterator[Iterator[httpx2.ServerSentEvent]]:
        """Listen to server-sent events; an idle stream is kept alive by the server."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = httpx2.Timeout(60.0, connect=CONNECT_S)
        with self._explained():
            request = self._http.stream("GET", path, headers=headers, timeout=timeout)
            with request as response:
                if response.is_error:
                    response.read()
                    raise error_of(response)
                yield iter(httpx2.EventSource(response))

    def _send(self, method: str, path: str, **rest: Any) -> httpx2.Response:  # noqa: ANN401
        waited_for = f"{self.url} to answer {method} {path}"
        with self._explained(), patience(waited_for, self._say, most_s=ANSWER_S):
            try:
                response = self._http.request(method, path, **rest)
            except (httpx2.ReadError, httpx2.RemoteProtocolError):
                if "Idempotency-Key" not in rest.get("headers", {}):
                    raise
                response = self._http.request(method, path, **rest)
        if response.is_error:
            raise error_of(response)
        return response

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what a failed connection means."""
        try:
            yield
        except httpx2.ConnectError as error:
            raise Unavailable(
                f"no control plane answers at {self.url}",
                (str(error),),
                fix="start one with `billow up`, or name another with --url or BILLOW_URL",
                code="no-control-plane",
            ) from error
        except httpx2.TransportError as error:
            raise Unavailable(
                f"the connection to {self.url} broke",
                (f"{type(error).__name__}: {error}",),
                fix="ask again; what was under way goes on there",
            ) from error

    def _host(self) -> str:
        return httpx2.URL(self.url).host


PAGED_BY_TABLE = frozenset({"/v1/hosts", "/v1/instances"})
"""Lists with pages of up to 1000 rows; others have 500."""


def checked_url(url: str) -> str:
    """Return an address without a slash at its end. Raises Invalid."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError):
        parsed = httpx2.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise Invalid(
            f"{ascii(url)[:80]} is no address of a control plane",
            fix="use one like http://127.0.0.1:8520",
        )
    return url.rstrip("/")


def error_of(response: httpx2.Response) -> BillowError:
    """Return the error that an answer stands for, of the same class as on the server."""
    try:
        problem = json.loads(response.text)
        kind = KINDS.get(problem["type"].partition("#")[2], BillowError)
        return kind(problem["title"], problem["details"], problem["fix"], problem["code"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _not_ours(response)


def document_of(response: httpx2.Response) -> Document:
    """Return the document in an answer. Raises Bug when there is none."""
    try:
        return json.loads(response.text)
    except (ValueError, RecursionError) as error:
        raise _not_ours(response) from error


def _not_ours(response: httpx2.Response) -> Bug:
    return Bug(
        f"the server answered {response.status_code}, and not as a control plane does",
        (response.text[:200],),
        fix="see that the address is a control plane's",
    )


def _kinds(kind: type[BillowError]) -> Iterator[type[BillowError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


KINDS = {kind.code: kind for kind in _kinds(errors.BillowError)}
"""Every class of error by its code."""


def _texts(params: Mapping[str, object] | None) -> dict[str, str]:
    """Return query parameters as text, without those that were not given."""
    given = (params or {}).items()
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in given
        if value not in (None, "")
    }
