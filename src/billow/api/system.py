# SPDX-License-Identifier: Apache-2.0
"""Routes about Billow itself: capabilities, the doctor, tokens, errors."""

from collections.abc import Iterator

from fastapi import APIRouter
from starlette.responses import JSONResponse

from billow.api import system_answers
from billow.api.caller import Admin, AdminViewed, Viewed
from billow.api.render import capability_document
from billow.api.requests import NewToken
from billow.errors import BillowError
from billow.model.access import Token
from billow.model.document import Document, written

router = APIRouter(prefix="/v1", tags=["system"])
open_router = APIRouter(prefix="/v1", tags=["system"])
"""What anybody may ask."""


@router.get(
    "/capabilities", summary="Why a pool may change", response_model=system_answers.Capabilities
)
async def list_capabilities(billow: Viewed) -> JSONResponse:
    """Return every capability with the JSON schema of its policy, and its knobs as they are set."""
    items = [capability_document(billow.policies, name) for name in billow.capabilities()]
    return JSONResponse({"items": items})


@router.get("/doctor", summary="Is all well?", response_model=system_answers.Checks)
async def examine(billow: Viewed) -> JSONResponse:
    """Return what works, what does not, and what to do about it."""
    checks = await billow.doctor()
    items = [written(check) for check in checks]
    return JSONResponse({"ok": all(check.ok for check in checks), "items": items})


@open_router.get(
    "/errors", summary="Every kind of error", response_model=list[system_answers.ErrorKind]
)
async def list_errors() -> JSONResponse:
    """Return what a problem's `type` points at: what each kind means, its status and exit code."""
    return JSONResponse([_kind(error) for error in _kinds(BillowError)])


@router.get("/tokens", summary="Tokens that work", response_model=system_answers.Tokens)
async def list_tokens(billow: AdminViewed) -> JSONResponse:
    """Return every token without its secret."""
    tokens = await billow.keeper.tokens()
    return JSONResponse({"items": [_token_document(token) for token in tokens]})


@router.post(
    "/tokens", summary="Make a token", status_code=201, response_model=system_answers.FreshToken
)
async def create_token(caller: Admin, body: NewToken) -> JSONResponse:
    """Return a new token with its secret, which nobody can read again."""
    token, secret = await caller.billow.keeper.create(
        body.name, body.role, body.ttl_s, actor=caller.person.name
    )
    return JSONResponse({**_token_document(token), "token": secret}, 201)


@router.delete("/tokens/{token}", summary="Revoke a token", status_code=204)
async def revoke_token(caller: Admin, token: str) -> None:
    """Make a token open nothing any more."""
    await caller.billow.keeper.revoke(token, actor=caller.person.name)


def _token_document(token: Token) -> Document:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role.value,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
    }


def _kinds(kind: type[BillowError]) -> Iterator[type[BillowError]]:
    yield kind
    for each in kind.__subclasses__():
        if each.__module__ == BillowError.__module__:
            yield from _kinds(each)


def _kind(error: type[BillowError]) -> Document:
    return {
        "code": error.code,
        "text": (error.__doc__ or "").strip().splitlines()[0],
        "status": error.status,
        "exit_code": error.exit_code,
        "retryable": error.retryable,
    }
