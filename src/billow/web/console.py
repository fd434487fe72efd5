# SPDX-License-Identifier: Apache-2.0
"""The console as one application: routes, errors, headers. Mounted at `/` by the server."""

import traceback
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from urllib.parse import quote

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billow.app import Billow
from billow.errors import BillowError, Bug, Denied, Invalid, NotFound, Unauthenticated
from billow.web.house import HERE, House
from billow.web.pages import (
    creation,
    home,
    hosts,
    incidents,
    instances,
    login,
    migrations,
    plans,
    reports,
    runs,
    timeline,
)
from billow.web.stream import stream
from billow.web.visit import SECURITY_HEADERS, Visit, check_origin, render, visit_of

log = structlog.get_logger()

Page = Callable[[Visit], Awaitable[Response]]

READ: Sequence[tuple[str, Page]] = (
    ("/", home.home),
    ("/racks", home.racks),
    ("/map.json", home.map_document),
    ("/map/residents", home.residents),
    ("/trend.json", home.trend),
    ("/tree/racks", home.tree_racks),
    ("/tree/hosts", home.tree_hosts),
    ("/search", home.search),
    ("/hosts", hosts.hosts),
    ("/cpu-baseline", hosts.cpu_baseline),
    ("/hosts/{name:path}", hosts.host),
    ("/instances", instances.instances),
    ("/create", creation.form),
    ("/assess", migrations.assessment),
    ("/instances/{name:path}", instances.instance),
    ("/migrations", migrations.migrations),
    ("/migrations/{id}", migrations.migration),
    ("/migrations/{id}/curve.json", migrations.curve),
    ("/incidents", incidents.incidents),
    ("/incidents/{id}", incidents.incident),
    ("/ha", incidents.ha),
    ("/ha/card", incidents.card),
    ("/ha/host", incidents.on_host),
    ("/plans", plans.plans),
    ("/plans/{id}", plans.plan),
    ("/plans/{id}/map.json", plans.map_document),
    ("/reports", reports.reports),
    ("/reports/{name}", reports.report),
    ("/reports/{name}/card", reports.card),
    ("/runs", runs.runs),
    ("/runs/{id}", runs.run),
    ("/timeline", timeline.timeline),
    ("/stream", stream),
)
CHANGE: Sequence[tuple[str, Page]] = (
    ("/hosts/{name:path}/ask/{verb}", hosts.ask),
    ("/instances/ask", instances.ask_many),
    ("/create", creation.create),
    ("/create/preview", creation.preview),
    ("/instances/{name:path}/ask/{verb}", instances.ask),
    ("/migrations/{id}/cancel", migrations.cancel),
    ("/incidents/{id}/release", incidents.release),
    ("/ha/leave", incidents.leave),
    ("/ha/resume", incidents.resume),
    ("/plans/{id}/apply", plans.apply),
    ("/reports/{name}/show", reports.show),
    ("/reports/{name}/plan", reports.make),
    ("/runs/{id}/stop", runs.stop),
    ("/runs/{id}/undo", runs.undo),
    ("/logout", login.leave),
)
QUESTIONS: Sequence[Page] = (creation.preview, reports.show)
"""Forms that change nothing."""


def console(billow: Billow) -> Starlette:
    """Return the console of a Billow."""
    house = House(billow)
    routes: list[BaseRoute] = [
        Mount(house.assets, Assets(directory=HERE / "static")),
        Route("/login", _door(house), methods=["GET", "POST"]),
        *(Route(path, _reading(house, page), methods=["GET"]) for path, page in READ),
        *(Route(path, _changing(house, page), methods=["POST"]) for path, page in CHANGE),
    ]
    failed = _failing(house)
    app = Starlette(
        routes=routes,
        exception_handlers={BillowError: failed, HTTPException: failed, Exception: failed},
    )
    app.add_middleware(Headers)
    return app


class Assets(StaticFiles):
    """Static files whose path names their content: a browser may keep them for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, to be kept."""
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer


class Headers:
    """Give every answer the headers that keep a browser safe."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""

        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                extra = ((n.lower().encode(), v.encode()) for n, v in SECURITY_HEADERS.items())
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in extra if name not in known),
                ]
            await send(message)

        await self._app(scope, receive, sender)


def _reading(house: House, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await page(await visit_of(request, house))

    return answer


def _changing(house: House, page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        check_origin(request)
        visit = await visit_of(request, house)
        what = f"console {request.url.path!a:.200}"
        try:
            done = await page(visit)
        except BillowError as error:
            await house.billow.audit(visit.person.name, f"{what}: refused: {error.brief}")
            raise
        if page not in QUESTIONS:
            await house.billow.audit(visit.person.name, f"{what}: done")
        return done

    return answer


def _door(house: House) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return (
            await login.enter(request, house)
            if request.method == "POST"
            else login.show(request, house)
        )

    return answer


def _failing(house: House) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, raised: Exception) -> Response:
        error = _error_of(raised)
        if isinstance(error, Bug):
            trace = "".join(traceback.format_exception(raised))
            log.error("console failed", path=request.url.path, trace=trace)
        if isinstance(error, Unauthenticated):
            return _to_door(request)
        return await _error_page(request, house, error)

    return answer


def _error_of(raised: Exception) -> BillowError:
    if isinstance(raised, BillowError):
        return raised
    if isinstance(raised, HTTPException):
        kind = {404: NotFound, 403: Denied}.get(raised.status_code, Invalid)
        phrase = HTTPStatus(raised.status_code).phrase.lower()
        return kind(f"there is no such page here ({phrase})", fix="the tabs above lead everywhere")
    return Bug(
        "the console met an error of its own", fix="please report it; the server's log has more"
    )


def _to_door(request: Request) -> Response:
    """Send who is not known to the login page, and back here afterwards."""
    there = request.url.path if request.method == "GET" else "/"
    query = f"?{request.url.query}" if request.url.query and request.method == "GET" else ""
    then = f"?then={quote(there + query)}" if there != "/" else ""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    if "application/json" in request.headers.get("accept", "") or there == "/stream":
        return Response(status_code=401)
    return RedirectResponse(f"/login{then}", status_code=303)


async def _error_page(request: Request, house: House, error: BillowError) -> Response:
    """Say what is wrong, what was seen, and what to do."""
    try:
        visit = await visit_of(request, house)
    except BillowError:
        body = house.templates.get_template("error_alone.html").render(error=error)
        return HTMLResponse(body, status_code=error.status)
    if visit.is_fragment:
        answer = render(house, "parts/error.html", visit, None, {"error": error})
    else:
        answer = await _framed(visit, error)
    answer.status_code = error.status
    return answer


async def _framed(visit: Visit, error: BillowError) -> Response:
    try:
        return await visit.page("error.html", error=error)
    except BillowError:
        body = visit.house.templates.get_template("error_alone.html").render(error=error)
        return HTMLResponse(body)
