# SPDX-License-Identifier: Apache-2.0
"""The API as one ASGI application."""

from threading import Lock
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from billow import __version__
from billow.api import (
    agents,
    answers,
    assessments,
    changes,
    cpu_baseline,
    events,
    ha,
    health,
    incidents,
    migrations,
    plans,
    pool,
    problem,
    reports,
    runs,
    system,
)
from billow.api.known import check_known
from billow.api.metered import Metered
from billow.api.once import Once
from billow.app import Billow
from billow.errors import BillowError

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": answers.Problem, "description": "What is wrong, and what to do."},
    "5XX": {"model": answers.Problem, "description": "What Billow or its engine could not do."},
}
_PROBLEM_CONTENT = {problem.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_BEARER = Depends(HTTPBearer(auto_error=False, description="`billow token create` makes one."))
_ABOUT = """See a pool, plan a change to it, read the plan, carry it out.

Every error is a problem document (RFC 9457). `If-Match` takes the pool's digest. A POST may bear an
`Idempotency-Key`. Amounts have their unit in the name; times are seconds since the epoch.
"""


def application(billow: Billow) -> FastAPI:
    """Return the API over an open Billow."""
    app = FastAPI(
        title="Billow",
        version=__version__,
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=_PROBLEMS,
        dependencies=[Depends(check_known)],
    )
    app.state.billow = billow
    app.include_router(system.open_router)
    app.include_router(health.router)
    for part in (
        changes,
        assessments,
        cpu_baseline,
        pool,
        plans,
        reports,
        runs,
        migrations,
        incidents,
        ha,
        agents,
        events,
        system,
    ):
        app.include_router(part.router, dependencies=[_BEARER])
    app.add_exception_handler(BillowError, problem.on_billow_error)
    app.add_exception_handler(RequestValidationError, problem.on_invalid_request)
    app.add_exception_handler(HTTPException, problem.on_http_error)
    app.add_exception_handler(Exception, problem.on_exception)
    app.add_middleware(Once, billow=billow)
    app.add_middleware(Metered)
    _name_problems(app)
    return app


def _name_problems(app: FastAPI) -> None:
    """Let the OpenAPI say that errors are `application/problem+json`; make it only once."""
    made = app.openapi
    lock = Lock()

    def openapi() -> dict[str, Any]:
        with lock:
            if app.openapi_schema is None:
                for operations in made()["paths"].values():
                    for operation in operations.values():
                        for status in _PROBLEMS:
                            operation["responses"][str(status)]["content"] = _PROBLEM_CONTENT
            return made()

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation does it
