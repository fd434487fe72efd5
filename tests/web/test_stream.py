# SPDX-License-Identifier: Apache-2.0
"""The console's stream: what it tells, from where it goes on, and when a map must start anew."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from billow.web.stream import message
from tests.web.visitor import Visitor


def told(answer: httpx2.Response) -> Iterator[tuple[str, int, Any]]:
    """Yield each message: its kind, its id, its body."""
    kind, number = "", 0
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            number = int(value)
        elif name == "data":
            yield kind, number, json.loads(value)


def first(visitor: Visitor, path: str, kind: str, **headers: str) -> tuple[int, Any]:
    """Return the first message of a kind."""
    with visitor.client.stream("GET", path, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for each, number, body in told(answer):
            if each == kind:
                return number, body
    raise AssertionError(f"the stream ended without {kind}")


def test_it_begins_with_what_was_missed(admin: Visitor) -> None:
    number, body = first(admin, "/stream?after=0", "line")
    assert number == 1
    assert "<event-line" in body["html"]
    again, _ = first(admin, "/stream", "line", **{"last-event-id": str(number)})
    assert again > number


@pytest.mark.parametrize("after", ["-1", "x", "9" * 40, "", "\u0663"])
def test_nonsense_begins_at_the_beginning(admin: Visitor, after: str) -> None:
    assert first(admin, f"/stream?after={after}", "line")[0] == 1


def test_a_new_plan_is_heard_of(admin: Visitor) -> None:
    newest = int(admin.get("/timeline").text.split('data-after="')[1].split('"')[0])
    admin.plan("/create", {"name": "heard"})
    _, body = first(admin, f"/stream?after={newest}", "line")
    while body["kind"] != "plan.made":
        newest = body["id"]
        _, body = first(admin, f"/stream?after={newest}", "line")
    assert body["subjects"][0].startswith("plan/p-")


def test_an_unknown_map_must_start_anew(admin: Visitor) -> None:
    assert "to" in first(admin, "/stream?map=gone", "resync")[1]


def test_a_known_map_is_told_what_changed(admin: Visitor) -> None:
    version = admin.get("/map.json").json()["version"]
    _, delta = first(admin, f"/stream?map={version}", "map")
    assert delta["from"] == version
    assert delta["to"] != version


def test_a_message_is_one_line_of_json() -> None:
    sent = message("progress", {"fraction": float("nan"), "text": "a\nb\r\n\ndata: evil"}, 7)
    lines = sent.decode().split("\n")
    assert lines[:2] == ["id: 7", "event: progress"]
    assert json.loads(lines[2].removeprefix("data: ")) == {
        "fraction": None,
        "text": "a\nb\r\n\ndata: evil",
    }
    assert lines[3:] == ["", ""]
