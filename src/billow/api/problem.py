# SPDX-License-Identifier: Apache-2.0
"""Every error as an RFC 9457 problem document, whatever went wrong and wherever.

The input itself is never repeated in an answer, but for escaped and shortened pieces of it.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Scope

from billow.api.known import methods_at
from billow.errors import BillowError, Blocked, Bug, Invalid

MEDIA_TYPE = "application/problem+json"
MOST_TEXT = 1000
"""Characters of one text in an answer."""
_LOG = structlog.get_logger(__name__)
_CODES = {
    400: "invalid",
    404: "no-such-resource",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    421: "wrong-host",
}
_FIXES = {
    404: "GET /v1/openapi.json lists every resource",
    405: "the header Allow lists the methods of this resource",
    413: "send less at once",
}


def document(
    error: BillowError, *, instance: str, trace_id: str, status: int | None = None
) -> dict[str, object]:
    """Return an error as a problem document."""
    return {
        "type": f"/v1/errors#{type(error).code}",
        "title": error.brief[:MOST_TEXT],
        "status": status or error.status,
        "detail": ("; ".join(error.details) or error.brief)[:MOST_TEXT],
        "instance": instance[:MOST_TEXT],
        "code": error.code,
        "details": list(error.details),
        "fix": error.fix,
        "blockers": list(error.details) if isinstance(error, Blocked) else [],
        "retryable": error.retryable,
        "trace_id": trace_id,
    }


def answer(
    scope: Scope,
    error: BillowError,
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the HTTP answer for an error."""
    body = document(
        error,
        instance=scope["path"].encode("ascii", "backslashreplace").decode(),
        trace_id=trace_of(scope),
        status=status,
    )
    more = {"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else {}
    return JSONResponse(
        body,
        status_code=status or error.status,
        headers={**more, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def trace_of(scope: Scope) -> str:
    """Return the request's trace id, which `gate` gives to each."""
    state: Mapping[str, str] = scope.get("state", {})
    return state.get("trace_id", "")


async def on_billow_error(request: Request, error: Exception) -> JSONResponse:
    """Answer with what the error says of itself."""
    assert isinstance(error, BillowError)  # noqa: S101 (registered for this class only)
    if isinstance(error, Bug):
        _LOG.error("bug", trace_id=trace_of(request.scope), exc_info=error)
    return answer(request.scope, error)


async def on_invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Answer 422 and say which field is wrong, without repeating its value."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 (see above)
    details = tuple(_field_error(each) for each in error.errors()[:20])
    problem = Invalid(
        "the request does not fit its schema",
        details,
        fix="GET /v1/openapi.json has the schema of this request",
        code="invalid-request",
    )
    return answer(request.scope, problem, status=HTTPStatus.UNPROCESSABLE_ENTITY)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    """Answer what the framework refuses: no such route, a wrong method, a body it cannot parse."""
    assert isinstance(error, HTTPException)  # noqa: S101 (see above)
    status = error.status_code
    problem = Invalid(
        HTTPStatus(status).phrase.lower(),
        (str(error.detail),),
        fix=_FIXES.get(status, ""),
        code=_CODES.get(status, "invalid"),
    )
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(methods_at(request.app.openapi(), request.url.path))
    return answer(request.scope, problem, status=status, headers=headers)


async def on_exception(request: Request, error: Exception) -> JSONResponse:
    """Answer 500 for what nobody foresaw; the log has the rest under the same trace id."""
    _LOG.error("unforeseen", trace_id=trace_of(request.scope), exc_info=error)
    problem = Bug(
        "Billow made a mistake; nothing more is known here",
        fix="report it with the trace id; the server's log has the details under it",
    )
    return answer(request.scope, problem)


def _field_error(error: Mapping[str, object]) -> str:
    place = error.get("loc")
    parts = place if isinstance(place, Sequence) else ()
    where = ".".join(ascii(part)[:60].strip("'") for part in parts)
    return f"{where}: {ascii(error.get('msg', 'invalid'))[:200].strip(chr(39))}"
