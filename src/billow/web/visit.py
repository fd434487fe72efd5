# SPDX-License-Identifier: Apache-2.0
"""One request of the console: who asks, what they may, and how they are answered.

Every page and every form passes here, so that there is one place which knows about cookies,
roles, forged forms and the frame around a page. This module must not know any page.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from billow.app import Billow
from billow.errors import Denied, Unauthenticated
from billow.identity.keeper import SESSION_COOKIE
from billow.identity.person import Person
from billow.model.access import Role
from billow.web.forms import Form
from billow.web.frame import Frame, frame_of
from billow.web.house import House
from billow.web.scene import Scene

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, eq=False)
class Visit:
    """A request by somebody who is known."""

    request: Request
    house: House
    person: Person

    @property
    def billow(self) -> Billow:
        """The one that all pages ask."""
        return self.house.billow

    @cached_property
    def csrf(self) -> str:
        """What this session's forms carry. Only who can read the session's pages can know it."""
        return csrf_of(self.request)

    @property
    def is_fragment(self) -> bool:
        """Whether htmx asks for a part of the page that it shows."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def asked(self) -> Mapping[str, str]:
        """The parameters of the URL."""
        return self.request.query_params

    @property
    def may_operate(self) -> bool:
        """Whether this person may make plans and carry them out."""
        return self.person.may(Role.OPERATOR)

    @property
    def why_not(self) -> str:
        """Why a button does not work for this person."""
        return f"you are {self.person.role}; this needs {Role.OPERATOR}"

    def path(self, name: str) -> str:
        """Return a part of the URL's path."""
        return str(self.request.path_params[name])

    async def scene(self) -> Scene:
        """Return the freshest pool, ready to be shown."""
        return await self.house.scene()

    async def form(self, needed: Role = Role.OPERATOR) -> Form:
        """Return the form that was sent, if the person may and the form is ours.

        Raises:
            Denied: the role is too low, or the form did not come from a page of this session.
            Invalid: it is no form, or too long.
        """
        self.person.require(needed)
        form = await Form.read(self.request)
        if not hmac.compare_digest(form.text("csrf").encode(), self.csrf.encode()):
            raise Denied(
                "this form is not from a page of your session",
                fix="load the page again and repeat what you did",
                code="forged-form",
            )
        return form

    async def page(self, template: str, /, **context: Any) -> Response:  # noqa: ANN401
        """Answer with a whole page."""
        frame = await frame_of(self.house, self.request.url.path)
        return render(self.house, template, self, frame, context)

    def part(self, template: str, /, **context: Any) -> Response:  # noqa: ANN401
        """Answer with a part of a page."""
        return render(self.house, template, self, None, context)


def render(
    house: House, template: str, visit: Visit, frame: Frame | None, context: Mapping[str, Any]
) -> Response:
    """Return the answer that a template gives."""
    known = {"visit": visit, "person": visit.person, "frame": frame, "now": house.now()}
    body = house.templates.get_template(template).render({**known, **context})
    return HTMLResponse(body, headers={"Vary": "HX-Request"})


def go(path: str) -> Response:
    """Send the browser to another page after a form."""
    return RedirectResponse(path, status_code=303)


def under(noun: str, name: str) -> str:
    """Return the path of a thing's page: `/hosts/NAME`, whatever the name holds."""
    return f"/{noun}/{quote(name, safe='')}"


async def visit_of(request: Request, house: House) -> Visit:
    """Return the visit that a request is. Raises Unauthenticated."""
    cookie = request.cookies.get(SESSION_COOKIE, "")
    if not cookie:
        raise Unauthenticated("nobody knows who asks", fix="log in with your token")
    return Visit(request, house, await house.billow.keeper.session(cookie))


def csrf_of(request: Request) -> str:
    """Return the proof that a form is from a page of this session."""
    session = request.cookies.get(SESSION_COOKIE, "")
    return hashlib.sha256(b"billow console form\0" + session.encode()).hexdigest()


def check_origin(request: Request) -> None:
    """Check that a form was not sent by another site's page. Raises Denied."""
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "")
    is_ours = not origin or urlsplit(origin).netloc == request.headers.get("host", "")
    if site not in ("", "same-origin", "none") or not is_ours:
        raise Denied(
            "this form was sent by a page of another site",
            fix="open the console itself and do it there",
            code="forged-form",
        )
