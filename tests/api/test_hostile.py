# SPDX-License-Identifier: Apache-2.0
"""Hostile input: a clear error, never a 5xx, and the pool stays as it is."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import pytest

from tests.control_planes import ControlPlane

SHAPE: dict[str, Any] = {"cpu_milli": 1000, "memory_mib": 512}
HUGE = 10**5000

NAMES: list[Any] = [
    "", "-", "a" * 64, "A", "a b", "a/b", "../../etc/passwd", "..", ".", "a\x00b", "a\nb", "é",
    "\u202eabc", "💣", "a" * 100_000, "-rf", "a=b", "'; DROP TABLE plans; --", "{{7*7}}", "%00",
    "\ud800", 1, 1.5, True, None, [], {},
]  # fmt: skip
AMOUNTS: list[Any] = [
    -1, 2**40 + 1, 2**63, 2**64, 10**400, 1.0, 1.5, float("nan"), float("inf"), -float("inf"),
    True, False, None, "1000", "1e3", "NaN", [], {}, [1000],
]  # fmt: skip
IMAGES: list[Any] = [
    "../../../etc/passwd", "/etc/passwd", "..", ".hidden", "a/../b", "a//b", "a/./b",
    "file:///etc/passwd", "a\x00.img", "a b", "~root", "$(reboot)", "|sh", "a" * 300, 7, None,
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def unchanged(plane: ControlPlane) -> Iterator[None]:
    """Check that all of it leaves the pool as it was, and starts no run."""
    with plane.client() as client:
        before = client.post("/v1/pool/sense").json()["digest"], client.get("/v1/runs").json()
        yield
        after = client.post("/v1/pool/sense").json()["digest"], client.get("/v1/runs").json()
        assert after == before


def assert_refused(answer: httpx2.Response) -> dict[str, Any]:
    """Check that an answer is a clear refusal, and return its problem document."""
    assert 400 <= answer.status_code < 500, answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["title"]
    assert problem["code"]
    assert len(problem["trace_id"]) == 32
    assert len(answer.content) < 10_000
    return problem


def sent(client: httpx2.Client, path: str, body: object) -> httpx2.Response:
    """Post what JSON itself would not allow, too: NaN, lone surrogates."""
    content = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return client.post(path, content=content, headers=headers, params={"apply": "true"})


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_a_name_that_cannot_be_one(admin: httpx2.Client, name: object) -> None:
    body = {"instances": [{"id": name, "shape": SHAPE}]}
    assert_refused(sent(admin, "/v1/instances", body))
    assert_refused(sent(admin, "/v1/why-not", {"request": body["instances"][0]}))


@pytest.mark.parametrize("field", ["cpu_milli", "memory_mib", "numa_nodes", "gpus"])
@pytest.mark.parametrize("amount", AMOUNTS, ids=lambda amount: ascii(amount)[:20])
def test_an_amount_that_cannot_be_one(admin: httpx2.Client, field: str, amount: object) -> None:
    shape = {**SHAPE, field: amount}
    assert_refused(sent(admin, "/v1/instances", {"instances": [{"id": "a", "shape": shape}]}))


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: ascii(image)[:20])
def test_an_image_that_leaves_its_folder(admin: httpx2.Client, image: object) -> None:
    body = {"instances": [{"id": "a", "shape": SHAPE, "image": image}]}
    assert_refused(sent(admin, "/v1/instances", body))


@pytest.mark.parametrize(
    "body",
    [
        None, [], "text", 7, {}, {"instances": []}, {"instances": {}}, {"instances": [None]},
        {"instances": [{"id": "a"}]},
        {"instances": [{"id": "a", "shape": SHAPE, "surprise": 1}]},
        {"instances": [{"id": "a", "shape": "no-such-shape"}]},
        {"instances": [{"id": "a", "shape": SHAPE}, {"id": "a", "shape": SHAPE}]},
        {"instances": [{"id": "a", "shape": SHAPE, "kind": "unicorn"}]},
        {"instances": [{"id": "a", "shape": SHAPE, "group": "unknown"}]},
        {"instances": [{"id": "a", "shape": SHAPE, "priority": 10**9}]},
        {"instances": [{"id": "a", "shape": {**SHAPE, "traits": ["a b"]}}]},
        {"instances": [{"id": "a", "shape": {**SHAPE, "huge_pages": "yes"}}]},
        {"instances": [{"id": "a", "shape": SHAPE}], "policy": {"no-such-knob": 1}},
        {"instances": [{"id": "a", "shape": SHAPE}], "policy": {"\ud800": "\ud800"}},
        {"instances": [{"id": "a", "shape": SHAPE}], "policy": {"mode": float("nan")}},
        {"instances": [{"id": "a", "shape": SHAPE}], "groups": [{"name": "g", "rule": "love"}]},
    ],
    ids=lambda body: ascii(body)[:50],
)  # fmt: skip
def test_a_body_that_makes_no_sense(admin: httpx2.Client, body: object) -> None:
    assert_refused(sent(admin, "/v1/instances", body))


@pytest.mark.parametrize(
    "ask",
    [
        None, "stop vm-1", {}, {"verb": "stop"}, {"subject": "vm-1"},
        {"verb": "stop", "subject": ""}, {"verb": "stop", "subject": 7},
        {"verb": "stop", "subject": "../../x"}, {"verb": "stop", "subject": "\ud800"},
        {"verb": "stop", "subject": "x" * 254}, {"verb": "explode", "subject": "vm-1"},
        {"verb": "STOP", "subject": "vm-1"}, {"verb": "stop", "subject": "nobody"},
        {"verb": "stop", "subject": "vm-1", "surprise": 1},
        {"verb": "stop", "subject": "vm-1", "target": "h1"},
        {"verb": "stop", "subject": "vm-1", "shape": SHAPE},
        {"verb": "stop", "subject": "vm-1", "why": "x" * 201},
        {"verb": "migrate", "subject": "vm-1", "target": "nowhere"},
        {"verb": "migrate", "subject": "vm-1", "target": None},
        {"verb": "resize", "subject": "vm-1"},
        {"verb": "resize", "subject": "vm-1", "shape": "no-such-shape"},
        {"verb": "resize", "subject": "vm-1", "shape": {**SHAPE, "cpu_milli": True}},
    ],
    ids=lambda ask: ascii(ask)[:60],
)  # fmt: skip
def test_a_change_that_makes_no_sense(admin: httpx2.Client, ask: object) -> None:
    fine = {"verb": "stop", "subject": "vm-2"}
    assert_refused(sent(admin, "/v1/changes", {"asks": [fine, ask]}))


def test_as_many_changes_as_cannot_be(admin: httpx2.Client) -> None:
    stop = {"verb": "stop", "subject": "vm-1"}
    wrong: list[object] = [[], {}, [stop, stop], [stop] * 20_001]
    for asks in wrong:
        assert_refused(sent(admin, "/v1/changes", {"asks": asks}))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"nul", b'{"a":' * 100_000, b"[" * 500_000,
        b'{"instances": %d}' % 7, b'{"instances": ' + b"9" * 10_000 + b"}",
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--",
    ],
    ids=lambda content: ascii(content[:20]),
)  # fmt: skip
def test_a_body_that_is_no_json(admin: httpx2.Client, content: bytes) -> None:
    for kind in ("application/json", "text/plain", "application/xml", "multipart/form-data"):
        assert_refused(admin.post("/v1/instances", content=content, headers={"content-type": kind}))


def test_a_body_that_is_too_large(admin: httpx2.Client) -> None:
    body = b'{"instances": "' + b"x" * (9 * 2**20) + b'"}'
    problem = assert_refused(admin.post("/v1/instances", content=body))
    assert (problem["status"], problem["code"]) == (413, "too-large")

    def chunks() -> Iterator[bytes]:
        yield from [b"x" * 2**20] * 9

    assert assert_refused(admin.post("/v1/instances", content=chunks()))["status"] == 413


@pytest.mark.parametrize(
    "path", ["/v1/hosts/{}", "/v1/instances/{}", "/v1/plans/{}", "/v1/runs/{}"]
)
@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "%2e%2e%2f", "a\x00b", "é\u202e", "' OR 1=1 --", "x" * 5000]
)
def test_a_path_that_leads_nowhere(admin: httpx2.Client, path: str, name: str) -> None:
    assert_refused(admin.get(path.format(quote(name, safe=""))))


def test_what_is_done_to_what_is_not_there(admin: httpx2.Client) -> None:
    for method, path in (
        ("POST", "/v1/instances/nobody/start"),
        ("POST", "/v1/instances/..%2F..%2Fx/stop"),
        ("DELETE", "/v1/instances/nobody"),
        ("POST", "/v1/hosts/nobody/cordon"),
        ("POST", "/v1/hosts/a%00b/power-off"),
        ("POST", "/v1/plans/nothing/runs"),
        ("POST", "/v1/runs/nothing/stop"),
        ("POST", "/v1/runs/nothing/undo"),
        ("DELETE", "/v1/tokens/nothing"),
    ):
        assert_refused(admin.request(method, path, params={"apply": "true"}))


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=1001", "limit=x", f"limit={10**30}", "sort=nonsense",
        "sort=--id", "fields=nonsense", "cursor=x", "cursor=%00", "q=" + "x" * 300, "surprise=1",
        "memory_mib=lots", "memory_mib=5..x", "migratable=maybe", "limit=1&limit=2000",
    ],
)  # fmt: skip
def test_a_question_that_makes_no_sense(admin: httpx2.Client, query: str) -> None:
    assert_refused(admin.get(f"/v1/instances?{query}"))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": '"stale"'}, 412),
        ({"If-Match": "x" * 5000}, 422),
        ({"Idempotency-Key": "x" * 256}, 400),
        ({"Idempotency-Key": "a b"}, 400),
        ({"Idempotency-Key": ""}, 400),
    ],
)
def test_a_header_that_makes_no_sense(
    admin: httpx2.Client, headers: dict[str, str], status: int
) -> None:
    body = {"instances": [{"id": "a", "shape": SHAPE}]}
    answer = admin.post("/v1/instances", json=body, headers=headers, params={"apply": "true"})
    assert assert_refused(answer)["status"] == status


def test_a_parameter_that_nobody_knows(admin: httpx2.Client) -> None:
    problem = assert_refused(admin.delete("/v1/instances/vm-1", params={"aply": "true"}))
    assert problem["code"] == "unknown-parameter"
    assert "apply" in problem["fix"]


def test_what_is_not_there_and_not_allowed(admin: httpx2.Client) -> None:
    assert assert_refused(admin.get("/v1/nonsense"))["code"] == "no-such-resource"
    answer = admin.put("/v1/pool", json={})
    assert assert_refused(answer)["code"] == "method-not-allowed"
    assert answer.headers["allow"] == "GET"
    assert admin.put("/v1/tokens", json={}).headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8520", "localhost.evil.example", "", "[::1", "a b", "\\"]
)
def test_a_name_that_is_not_ours(plane: ControlPlane, host: str) -> None:
    with plane.client() as client:
        answer = client.get("/v1/pool", headers={"host": host})
    assert answer.status_code in {400, 421}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "192.0.2.7", "LOCALHOST"])
def test_a_name_that_is_ours(plane: ControlPlane, host: str) -> None:
    port = urlsplit(plane.url).port
    with plane.client() as client:
        assert client.get("/v1/pool", headers={"host": f"{host}:{port}"}).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /v1/pool HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/plans HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/plans HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=lambda raw: ascii(raw[:30]),
)
def test_bytes_that_are_no_request(plane: ControlPlane, raw: bytes) -> None:
    parts = urlsplit(plane.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(raw)
        status = connection.recv(1000).split(b" ")[1:2]
    assert status == [] or 300 <= int(status[0]) < 500
