# SPDX-License-Identifier: Apache-2.0
"""A visitor of the console without a browser: pages, and the forms in them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from typing import Self

import httpx2

from tests.control_planes import ControlPlane


class Visitor:
    """Somebody who has logged in."""

    def __init__(self, client: httpx2.Client) -> None:
        self.client = client

    @classmethod
    @contextmanager
    def entered(cls, plane: ControlPlane, token: str) -> Iterator[Self]:
        """Log in with a token."""
        with httpx2.Client(base_url=plane.url, trust_env=False, timeout=90) as client:
            answer = client.post("/login", data={"token": token})
            assert answer.status_code == 303, answer.text
            yield cls(client)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """Open a page."""
        return self.client.get(path, headers=headers)

    @property
    def csrf(self) -> str:
        """What the forms of this session carry."""
        return Outline.of(self.get("/create").text).fields["csrf"]

    def post(self, path: str, fields: Mapping[str, str]) -> httpx2.Response:
        """Send a form as one of our pages would."""
        return self.client.post(path, data={"csrf": self.csrf, **fields})

    def plan(self, path: str, fields: Mapping[str, str]) -> str:
        """Send a form that makes a plan; return the plan's page."""
        answer = self.post(path, fields)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]


class Outline(HTMLParser):
    """A page as a browser's parser sees it: its elements, fields and texts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.fields: dict[str, str] = {}
        self.text: list[str] = []

    @classmethod
    def of(cls, html: str) -> Self:
        """Parse a page."""
        outline = cls()
        outline.feed(html)
        return outline

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag == "input" and "name" in values:
            self.fields.setdefault(values["name"], values.get("value", ""))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        """All text of the page."""
        return " ".join(" ".join(self.text).split())

    def buttons(self) -> list[dict[str, str]]:
        """Return the attributes of every button."""
        return [values for tag, values in self.tags if tag == "button"]
