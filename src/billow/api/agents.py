# SPDX-License-Identifier: Apache-2.0
"""Routes by which hosts get their papers: a token by a person, once, and a certificate for it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse

from billow.api.answers import Answer, Seconds
from billow.api.caller import Admin, Source
from billow.api.requests import Sent, Text
from billow.app import Billow
from billow.errors import NotFound, Unauthenticated
from billow.ha.ears import PAPERS, name_of
from billow.ha.enrol import TOKEN_S, Enrolment
from billow.settings import Settings

router = APIRouter(prefix="/v1", tags=["high availability"])
_ANYWHERE = ("0.0.0.0:", "[::]:", ":")
"""How places begin that no agent can connect to."""


class NewAgent(Sent):
    """A host whose agent is to be enrolled."""

    host: Text = Field(description="Its name in the pool.")


class NewPapers(Sent):
    """What an agent shows besides its token."""

    host: Text = Field("", description="Its name in the pool; empty for the token's.")
    csr: str = Field(max_length=16_384, description="Certificate signing request, PEM.")


class EnrolmentToken(Answer):
    """A token that enrols one host, once."""

    host: str
    token: str
    expires_at: Seconds


class Papers(Answer):
    """What an agent proves itself with, PEM."""

    certificate: str
    ca: str = Field(description="Whom it is to believe; may be two certificates.")
    expires_at: Seconds
    controllers: list[str] = Field(
        description="`NAME=ADDRESS:PORT,...` in the order management, tenant, storage."
    )


def office(billow: Billow) -> Enrolment:
    """Return where papers are signed."""
    settings = billow.settings
    folder, name = settings.state_dir / PAPERS, name_of(settings)
    return Enrolment(folder, settings.pool, name, billow.clock)


async def _enrolling(request: Request, billow: Source) -> str:
    """Return the token that a host shows. Raises Unauthenticated, Denied."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        fix = "send Authorization: Bearer TOKEN; `billow host enrol HOST` makes one"
        raise Unauthenticated("nobody knows who asks", fix=fix)
    await asyncio.to_thread(office(billow).meant, token.strip())
    return token.strip()


@router.post(
    "/agents/tokens",
    summary="Make a token that enrols a host",
    status_code=201,
    response_model=EnrolmentToken,
)
async def create_token(caller: Admin, body: NewAgent) -> JSONResponse:
    """Return a token with which the agent of one host gets its papers, once, within an hour."""
    token = await asyncio.to_thread(office(caller.billow).token, body.host)
    expires_at = caller.billow.clock.now() + TOKEN_S
    return JSONResponse({"host": body.host, "token": token, "expires_at": expires_at}, 201)


@router.post("/agents/enrol", summary="Enrol a host", status_code=201, response_model=Papers)
async def enrol(
    billow: Source, token: Annotated[str, Depends(_enrolling)], body: NewPapers
) -> JSONResponse:
    """Return the papers of a host for its token, the bearer here, which is used up by it.

    The key never leaves the host; only what it signed with it comes here.
    """
    signed = await asyncio.to_thread(office(billow).enrol, token, body.host, body.csr)
    await billow.audit("agent", "enrolled", (f"host/{body.host}",) if body.host else ())
    papers = {"certificate": signed.certificate, "ca": signed.ca, "expires_at": signed.ends_at}
    return JSONResponse({**papers, "controllers": _controllers(billow.settings)}, 201)


@router.delete("/agents/papers/{host}", summary="Expel a host's agent", status_code=204)
async def expel(caller: Admin, host: str) -> None:
    """Believe nothing more that the agent of a host shows; its lines end within seconds.

    The host is watched no more until it is enrolled again. Raises NotFound for a host whose agent
    is not enrolled: a name that was mistyped must not look like a host that was expelled.
    """
    papers = office(caller.billow)
    if host not in await asyncio.to_thread(papers.hosts):
        raise NotFound(
            f"no agent of host {host!a:.80} is enrolled",
            fix="`billow ha readiness` lists the hosts that are watched",
        )
    await asyncio.to_thread(papers.revoke, host)


def _controllers(settings: Settings) -> list[str]:
    """Return where this controller hears agents, where that can be told."""
    places = (settings.ha_management, settings.ha_tenant, settings.ha_storage)
    if not all(places) or any(place.startswith(_ANYWHERE) for place in places):
        return []
    return [f"{name_of(settings)}={','.join(places)}"]
