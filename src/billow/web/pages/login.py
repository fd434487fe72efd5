# SPDX-License-Identifier: Apache-2.0
"""The door: a token in, a session cookie out; and the way back."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from billow.errors import Unauthenticated
from billow.identity.keeper import SESSION_COOKIE
from billow.model.access import Role
from billow.web.forms import Form
from billow.web.house import House
from billow.web.visit import Visit, check_origin


def show(request: Request, house: House, error: Unauthenticated | None = None) -> Response:
    """Show the login page."""
    then = _inside(request.query_params.get("then", ""))
    body = house.templates.get_template("login.html").render(error=error, then=then)
    return HTMLResponse(body, status_code=401 if error else 200)


async def enter(request: Request, house: House) -> Response:
    """Turn a token into a session, and go where the visitor wanted to go."""
    check_origin(request)
    form = await Form.read(request)
    source = request.client.host if request.client else ""
    try:
        cookie = await house.billow.keeper.log_in(form.text("token"), source=source)
    except Unauthenticated as error:
        return show(request, house, error)
    answer = RedirectResponse(_inside(form.text("then")) or "/", status_code=303)
    answer.set_cookie(
        SESSION_COOKIE,
        cookie,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


async def leave(visit: Visit) -> Response:
    """End the session in this browser."""
    await visit.form(needed=Role.VIEWER)
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'
    return answer


def _inside(path: str) -> str:
    """Return a path of this console; empty for anything that could lead elsewhere."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain and "\\" not in path and len(path) < 2000 else ""
