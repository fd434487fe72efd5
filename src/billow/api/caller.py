# SPDX-License-Identifier: Apache-2.0
"""Who calls, and may they: dependencies of every route, and the audit of every changing call.

A bearer token counts before a session cookie. A cookie is believed for a changing call only when
the browser says that the call comes from our own pages, since browsers send cookies with anybody's
forms.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Header
from starlette.requests import Request

from billow.api.requests import NewAsk
from billow.app import Billow
from billow.errors import BillowError, Denied, Stale, Unauthenticated
from billow.identity.keeper import SESSION_COOKIE
from billow.identity.person import Person
from billow.model.access import Role
from billow.model.pool import Pool

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOG_IN = "send Authorization: Bearer TOKEN; `billow token create` makes one"


async def billow_of(request: Request) -> Billow:
    """Return the Billow that this server serves."""
    billow: Billow = request.app.state.billow
    return billow


Source = Annotated[Billow, Depends(billow_of)]


async def person_of(request: Request, billow: Billow) -> Person:
    """Return who calls. Raises Unauthenticated; Denied for a cookie from another site's page."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer":
            raise Unauthenticated("only bearer tokens are understood here", fix=_LOG_IN)
        source = request.client.host if request.client else ""
        return await billow.keeper.who(token.strip(), source=source)
    cookie = request.cookies.get(SESSION_COOKIE, "")
    if not cookie:
        raise Unauthenticated("nobody knows who asks", fix=_LOG_IN)
    if request.method not in SAFE_METHODS and not _from_own_page(request):
        raise Denied("a session cookie changes things from our own pages only", fix=_LOG_IN)
    return await billow.keeper.session(cookie)


def _from_own_page(request: Request) -> bool:
    """Return whether the browser says so; browsers do not let a page lie about these headers."""
    site = request.headers.get("sec-fetch-site", "")
    if site:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc == request.headers.get("host", "")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls for a change, and the Billow that is to make it."""

    billow: Billow
    person: Person


def _reading(role: Role) -> Callable[[Request, Billow], Awaitable[Billow]]:
    async def reader(request: Request, billow: Source) -> Billow:
        (await person_of(request, billow)).require(role)
        return billow

    return reader


def _changing(role: Role) -> Callable[[Request, Billow], AsyncIterator[Caller]]:
    async def changer(request: Request, billow: Source) -> AsyncIterator[Caller]:
        person = await person_of(request, billow)
        try:
            person.require(role)
            yield Caller(billow, person)
        except BillowError as error:
            await _audit(request, billow, person, f"refused: {error.brief}")
            raise
        except Exception as error:
            await _audit(request, billow, person, f"failed: {type(error).__name__}")
            raise
        await _audit(request, billow, person, "done")

    return changer


def concern(request: Request, asks: Sequence[NewAsk]) -> None:
    """Let the audit say what a call is about where its path does not."""
    verbs = ", ".join(dict.fromkeys(each.verb for each in asks))
    subjects = dict.fromkeys(f"{each.verb.noun}/{each.subject}" for each in asks)
    request.state.concern = (f" ({verbs})", tuple(subjects))


async def _audit(request: Request, billow: Billow, person: Person, outcome: str) -> None:
    what = f"{request.method} {request.url.path}".encode("ascii", "backslashreplace").decode()
    verbs, subjects = getattr(request.state, "concern", ("", ()))
    in_path = tuple(f"{noun}/{name}" for noun, name in request.path_params.items())
    await billow.audit(person.name, f"{what}{verbs}: {outcome}", (*in_path, *subjects))


FOR_VIEWERS = Depends(_reading(Role.VIEWER))
Viewed = Annotated[Billow, FOR_VIEWERS]
AdminViewed = Annotated[Billow, Depends(_reading(Role.ADMIN))]
Operator = Annotated[Caller, Depends(_changing(Role.OPERATOR), scope="function")]
Admin = Annotated[Caller, Depends(_changing(Role.ADMIN), scope="function")]
IfMatch = Annotated[
    str,
    Header(
        alias="If-Match",
        description="The pool's digest: 412 when the pool has moved on since.",
        max_length=200,
    ),
]


def wanted_digest(if_match: str) -> str:
    """Return the digest in an If-Match header, empty when any state will do."""
    digest = if_match.strip().removeprefix("W/").strip('"')
    return "" if digest == "*" else digest


def check_match(pool: Pool, if_match: str) -> None:
    """Check that the pool is as the caller saw it. Raises Stale."""
    wanted = wanted_digest(if_match)
    if wanted and wanted != pool.digest:
        raise Stale(
            "the pool has changed since you looked",
            (f"you saw {ascii(wanted)[:80]}, it is {pool.digest}",),
            fix="look again: GET /v1/pool has the digest",
        )
