# SPDX-License-Identifier: Apache-2.0
"""The console's pages over HTTP: who may see and do what, and that no name is believed."""

import re
from urllib.parse import quote

import httpx2
import pytest

from tests.control_planes import ControlPlane
from tests.web.conftest import HARMFUL, LONG, SCRIPT
from tests.web.visitor import Outline, Visitor

PAGES = (
    "/", "/racks", "/hosts", "/hosts/host-01", "/instances", "/create", "/plans", "/runs",
    "/cpu-baseline", "/migrations", "/migrations?running=yes",
    "/incidents", "/incidents?open=yes", "/ha", "/ha/card", "/ha/host?host=host-01",
    "/timeline", "/search?q=host", "/tree/racks?zone=z1", "/tree/hosts?zone=z1&rack=r001",
    "/map.json", "/map/residents?first=0&count=20", "/trend.json",
)  # fmt: skip
FORMS = (
    "/create", "/create/preview", "/instances/ask", "/instances/x/ask/start",
    "/hosts/host-01/ask/cordon", "/plans/p/apply", "/runs/r/stop", "/runs/r/undo",
    "/migrations/m/cancel", "/incidents/i/release", "/ha/leave", "/ha/resume", "/logout",
)  # fmt: skip
CALM = (re.compile(r"^(hx-|aria-|data-)"), {"class", "href", "title", "value", "name", "datetime"})


@pytest.mark.parametrize("path", PAGES)
def test_every_page_wants_a_session(nobody: httpx2.Client, admin: Visitor, path: str) -> None:
    answer = nobody.get(path)
    assert answer.status_code == 303
    there = "/login" if path == "/" else f"/login?then={quote(path)}"
    assert answer.headers["location"] == there
    assert nobody.get(path, headers={"hx-request": "true"}).headers["hx-redirect"] == "/login"
    assert admin.get(path).status_code == 200


@pytest.mark.parametrize("cookie", ["", "x", "1.x.99999999999.AAAA", "a" * 5000, "1." * 1000])
def test_a_forged_session_is_none(nobody: httpx2.Client, cookie: str) -> None:
    answer = nobody.get("/", headers={"cookie": f"billow_session={cookie}"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_the_session_cookie_stays_out_of_scripts_and_of_other_sites(plane: ControlPlane) -> None:
    with httpx2.Client(base_url=plane.url, trust_env=False) as client:
        answer = client.post("/login", data={"token": plane.token, "then": "/hosts?zone=z1"})
        assert answer.headers["location"] == "/hosts?zone=z1"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie


def test_a_wrong_token_opens_nothing(nobody: httpx2.Client) -> None:
    answer = nobody.post("/login", data={"token": "bw_" + "A" * 43})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "opens nothing" in answer.text
    away = nobody.post("/login", data={"token": "x", "then": "//evil.example"})
    assert 'value="//evil' not in away.text


def test_who_leaves_is_gone(plane: ControlPlane) -> None:
    with Visitor.entered(plane, plane.token) as visitor:
        assert visitor.post("/logout", {}).headers["location"] == "/login"
        assert visitor.get("/").status_code == 303


@pytest.mark.parametrize("path", FORMS)
def test_a_form_must_be_ours(admin: Visitor, path: str) -> None:
    for forged in ({"a": "b"}, {"csrf": "x"}, {"csrf": "0" * 64}, {"csrf": "\u2713"}):
        assert admin.client.post(path, data=forged).status_code == 403
    good = {"csrf": admin.csrf}
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        answer = admin.client.post(path, data=good, headers=headers)
        assert answer.status_code == 403, headers
    assert admin.client.post(path, json={"csrf": "x"}).status_code == 400


@pytest.mark.parametrize("path", FORMS[:-1])
def test_a_viewer_changes_nothing(viewer: Visitor, path: str) -> None:
    answer = viewer.post(path, {"name": "a"})
    assert answer.status_code == 403
    assert "operator" in answer.text


def test_a_viewer_sees_why_a_button_does_not_work(viewer: Visitor, admin: Visitor) -> None:
    for path in ("/hosts/host-01", "/create"):
        page = Outline.of(viewer.get(path).text)
        assert "you are viewer; this needs operator" in page.words
    assert "you are viewer" not in admin.get("/create").text
    mains = [each for each in Outline.of(viewer.get("/create").text).buttons() if "class" in each]
    assert all("disabled" in each for each in mains if each["class"] == "main")


def test_every_answer_is_guarded(admin: Visitor, nobody: httpx2.Client) -> None:
    for answer in (admin.get("/"), nobody.get("/login"), admin.get("/nowhere"), nobody.get("/")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_static_files_are_kept_for_ever_and_lead_nowhere_else(admin: Visitor) -> None:
    page = Outline.of(admin.get("/").text)
    scripts = [values["src"] for tag, values in page.tags if tag == "script"]
    for path in scripts:
        assert "immutable" in admin.get(path).headers["cache-control"]
    folder = scripts[0].rpartition("/")[0]
    for escape in ("../console.py", "..%2fconsole.py", "%2e%2e/console.py", "vendor/../../x"):
        assert admin.get(f"{folder}/{escape}").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/nowhere", "/hosts/none", "/instances/none", "/plans/none", "/runs/none", "/hosts/%00",
     "/plans/none/map.json", "/plans/%F0%9F%92%A3", "/instances/" + "x" * 5000],
)  # fmt: skip
def test_what_is_not_there_is_said(admin: Visitor, path: str) -> None:
    answer = admin.get(path)
    assert answer.status_code == 404
    assert "not-found" in answer.text
    part = admin.get(path, **{"hx-request": "true"})
    assert part.status_code == 404
    assert "<html" not in part.text


@pytest.mark.parametrize(
    "query",
    ["page=-1", "page=99999999999999999999", "size=1e9", "sort=;DROP", "sort=-", "q=%00",
     "zone=%F0", "first=x", "before=-1", "before=99999999999999999999", "host=" + "x" * 3000,
     "kind=none"],
)  # fmt: skip
def test_nonsense_in_a_url_breaks_nothing(admin: Visitor, query: str) -> None:
    for path in ("/", "/hosts", "/instances", "/timeline", "/search", "/tree/hosts"):
        assert admin.get(f"{path}?{query}").status_code == 200, path
    assert admin.get(f"/map/residents?{query}").status_code == 400
    assert admin.get(f"/plans?{query}").status_code in {200, 404}


def calm(html: str) -> None:
    """Check that a page holds no element and no attribute that a name has brought in."""
    assert SCRIPT not in html
    assert HARMFUL[2] not in html
    page = Outline.of(html)
    for tag, values in page.tags:
        assert not any(name.startswith("on") or name == "style" for name in values), (tag, values)
        if tag == "script":
            assert values["src"].startswith("/static/")
        if tag in {"a", "form", "use"}:
            there = values.get("href", values.get("action", "/"))
            assert there.startswith(("/", "?", "#")), there
            assert not there.startswith("//"), there
    assert "49" not in re.findall(r"x`onmouseover>(\S*)", html)


def test_no_name_is_believed(harmful: ControlPlane) -> None:
    with Visitor.entered(harmful, harmful.token) as visitor:
        pages = ["/", "/hosts", "/instances", "/create", "/timeline", f"/search?q={quote(SCRIPT)}"]
        pages += [
            f"/{noun}/{quote(name, safe='')}" for noun in ("hosts", "instances") for name in HARMFUL
        ]
        pages += [f"/hosts?zone={quote(SCRIPT)}&q={quote(SCRIPT)}"]
        pages += [f"/tree/hosts?zone={quote(SCRIPT)}&rack={quote(HARMFUL[2])}"]
        for path in pages:
            answer = visitor.get(path)
            assert answer.status_code == 200, path
            calm(answer.text)
        calm(visitor.get(f"/tree/racks?zone={quote(SCRIPT)}").text)
        assert LONG in visitor.get("/hosts").text


def test_harmful_things_can_still_be_asked_for(harmful: ControlPlane) -> None:
    with Visitor.entered(harmful, harmful.token) as visitor:
        for name in HARMFUL:
            path = f"/hosts/{quote(name, safe='')}/ask/uncordon"
            where = visitor.plan(path, {"why": SCRIPT})
            page = visitor.get(where)
            calm(page.text)
            assert "Approve and start 1 step" in page.text
        bulk = {"csrf": visitor.csrf, "verb": "stop", "name": list(HARMFUL)}
        answer = visitor.client.post("/instances/ask", data=bulk)
        assert answer.status_code == 303
        calm(visitor.get(answer.headers["location"]).text)


def test_nothing_happens_without_a_plan(admin: Visitor) -> None:
    before = admin.get("/instances?q=quiet").text
    assert "No instance is like this" in before
    where = admin.plan("/create", {"name": "quiet", "count": "2"})
    page = Outline.of(admin.get(where).text)
    assert "2 instances are created and started" in page.words
    assert "every step can be undone" in page.words
    assert f"billow apply {where.rpartition('/')[2]}" in page.words
    assert "2 place" in page.words
    assert "No instance is like this" in admin.get("/instances?q=quiet").text


def test_what_is_not_possible_is_said_with_its_causes(admin: Visitor) -> None:
    where = admin.plan("/create", {"name": "giant", "cpus": "4000", "memory_mib": "99999999"})
    page = Outline.of(admin.get(where).text)
    assert "Not possible" in page.words
    assert "Approve" not in page.words
    assert re.search(r"20 hosts \(.+\): too small", page.words)
    answer = admin.post(f"{where}/apply", {})
    assert answer.status_code == 409
    assert "no steps" in answer.text


def test_a_grave_plan_must_be_read(admin: Visitor) -> None:
    name = re.findall(
        r'href="/instances/(vm-[^"]+)"', admin.get("/instances?state=running&q=vm-").text
    )[0]
    where = admin.plan(f"/instances/{name}/ask/delete", {})
    html = admin.get(where).text
    assert "destroyed with its disk" in html
    assert re.search(r'<input type="checkbox" required', html)
    assert "1 step cannot be undone" in html


@pytest.mark.parametrize(
    "fields",
    [{"name": "A"}, {"name": SCRIPT}, {"name": ""}, {"cpus": "NaN"}, {"count": "-1"},
     {"count": "10001"}, {"memory_mib": "9" * 40}, {"kind": "x"}, {"image": "a b"},
     {"group": "unknown"}, {"strategy": "x"}],
)  # fmt: skip
def test_a_bad_wish_is_refused_with_a_fix(admin: Visitor, fields: dict[str, str]) -> None:
    fields = {"name": "a", **fields}
    answer = admin.post("/create", fields)
    assert answer.status_code == 400
    calm(answer.text)
    preview = admin.client.post("/create/preview", data={"csrf": admin.csrf, **fields})
    assert preview.status_code == 200
    calm(preview.text)


@pytest.mark.parametrize("verb", ["explode", "power-on", "", "start/", "../apply"])
def test_an_unknown_verb_is_nothing(admin: Visitor, verb: str) -> None:
    assert admin.post(f"/instances/x/ask/{verb}", {}).status_code in {404, 400}


def test_the_audit_trail_hears_of_forms(admin: Visitor, viewer: Visitor) -> None:
    admin.plan("/hosts/host-02/ask/cordon", {})
    viewer.post("/hosts/host-02/ask/cordon", {})
    words = Outline.of(admin.get("/timeline?kind=audit").text).words
    assert "/hosts/host-02/ask/cordon': done" in words
    assert "/hosts/host-02/ask/cordon': refused" in words


def test_an_answer_does_not_wait_for_an_acknowledgement(admin: Visitor) -> None:
    """Without TCP_NODELAY an answer in two writes takes 40 ms, however small it is."""
    quickest = min(admin.get("/map/residents?first=0&count=20").elapsed for _ in range(20))
    assert quickest.total_seconds() < 0.03
