# SPDX-License-Identifier: Apache-2.0
"""Who may do what: no route forgets to ask."""

from typing import Any

import httpx2
import pytest

from tests.control_planes import ControlPlane

OPEN = {"/healthz", "/v1/errors"}
FILLED = {
    "{host}": "host-1",
    "{instance}": "nobody",
    "{plan}": "p",
    "{run}": "r",
    "{migration}": "m",
    "{incident}": "i",
    "{token}": "t",
}
STREAM = "/v1/events/stream"
FORGED = [
    "bw_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "x",
    "x" * 4000,
    "' OR 1=1 --",
    "../../token",
    "eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYWRtaW4ifQ.",
]


def operations(plane: ControlPlane) -> list[tuple[str, str]]:
    """Return every method and path that the OpenAPI names, with names filled in."""
    with plane.client("") as client:
        paths: dict[str, Any] = client.get("/v1/openapi.json").json()["paths"]
    found = []
    for path, methods in paths.items():
        filled = path
        for hole, name in FILLED.items():
            filled = filled.replace(hole, name)
        found += [(method.upper(), filled) for method in methods]
    assert len(found) > 25
    return found


def test_nobody_may_do_anything(plane: ControlPlane) -> None:
    with plane.client("") as client:
        for method, path in operations(plane):
            answer = client.request(method, path, json={})
            if path not in OPEN:
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["code"] == "unauthenticated"


def test_a_viewer_changes_nothing(plane: ControlPlane, viewer_token: str) -> None:
    with plane.client(viewer_token) as client:
        for method, path in operations(plane):
            if path == STREAM:
                continue
            answer = client.request(method, path, json={})
            reading = method == "GET" and path != "/v1/tokens"
            if not reading and path not in {"/v1/why-not", "/v1/choices"}:
                assert answer.status_code == 403, (method, path, answer.text)
            else:
                assert answer.status_code not in {401, 403}, (method, path)


def test_an_operator_gives_no_tokens(plane: ControlPlane, operator_token: str) -> None:
    with plane.client(operator_token) as client:
        assert client.get("/v1/tokens").status_code == 403
        body = {"name": "me", "role": "admin"}
        assert client.post("/v1/tokens", json=body).status_code == 403
        assert client.post("/v1/pool/sense").status_code == 200


@pytest.mark.parametrize("token", FORGED)
def test_a_forged_token_opens_nothing(plane: ControlPlane, token: str) -> None:
    with plane.client(token, source="127.0.0.2") as client:
        for path in ("/v1/pool", "/v1/tokens", "/metrics"):
            assert client.get(path).status_code == 401
        assert client.post("/v1/pool/sense").status_code == 401


@pytest.mark.parametrize("header", ["Basic YTpi", "Bearer", "bearer", "Bearer ü", "Digest x"])
def test_a_strange_header_opens_nothing(plane: ControlPlane, header: str) -> None:
    with plane.client("", source="127.0.0.2") as client:
        headers = {b"authorization": header.encode()}
        assert client.get("/v1/pool", headers=headers).status_code == 401


def test_a_revoked_token_opens_nothing(plane: ControlPlane, admin: httpx2.Client) -> None:
    made = admin.post("/v1/tokens", json={"name": "gone", "role": "operator"}).json()
    with plane.client(made["token"], source="127.0.0.3") as client:
        assert client.get("/v1/pool").status_code == 200
        assert admin.delete(f"/v1/tokens/{made['id']}").status_code == 204
        assert client.get("/v1/pool").status_code == 401
    known = admin.get("/v1/tokens").json()["items"]
    assert made["id"] not in {each["id"] for each in known}
    assert all("token" not in each for each in known)


def session_of(plane: ControlPlane) -> str:
    """Log in as a browser does and return the session's cookie."""
    with plane.client("") as client:
        client.post("/login", data={"token": plane.token}, headers={"origin": plane.url})
        return str(client.cookies["billow_session"])


def test_a_session_reads_and_changes_from_our_own_pages_only(plane: ControlPlane) -> None:
    cookies = {"billow_session": session_of(plane)}
    body = {"capability": "placement"}
    with httpx2.Client(base_url=plane.url, cookies=cookies, trust_env=False) as client:
        assert client.get("/v1/pool").status_code == 200
        own = {"sec-fetch-site": "same-origin"}
        assert client.post("/v1/plans", json=body, headers=own).status_code == 201
        assert client.post("/v1/plans", json=body, headers={"origin": plane.url}).is_success
        for foreign in (
            {},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "none"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
        ):
            answer = client.post("/v1/plans", json=body, headers=foreign)
            assert (answer.status_code, answer.json()["code"]) == (403, "denied"), foreign


def test_a_forged_session_opens_nothing(plane: ControlPlane) -> None:
    good = session_of(plane)
    for cookie in (good[:-1] + ("A" if good[-1] != "A" else "B"), "1.2.3.4", "x" * 4000):
        with plane.client("") as client:
            answer = client.get("/v1/pool", headers={"cookie": f"billow_session={cookie}"})
            assert answer.status_code == 401


def test_refusals_are_audited(plane: ControlPlane, viewer_token: str, admin: httpx2.Client) -> None:
    with plane.client(viewer_token) as client:
        client.post("/v1/hosts/host-1/cordon")
    admin.post("/v1/hosts/host-1/cordon", json={"why": 7})
    events = admin.get("/v1/events", params={"subject": "host/host-1", "newest": "true"})
    texts = [(each["actor"], each["text"]) for each in events.json()["items"]]
    assert any(
        actor == "test-viewer" and "POST /v1/hosts/host-1/cordon: refused" in text
        for actor, text in texts
    )
    assert ("admin", "POST /v1/hosts/host-1/cordon: failed: RequestValidationError") in texts
