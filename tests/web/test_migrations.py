# SPDX-License-Identifier: Apache-2.0
"""Live migrations in the console: watched while they go, read afterwards, cancelled, assessed."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.control_planes import ControlPlane, control_plane
from tests.web.browsing import PATIENCE_MS, entered
from tests.web.visitor import Outline, Visitor

POOL = """billow-pool 1 taken=2026-11-22T08:00:00Z
shape big cpu=4 memory=128GiB
shape small cpu=2 memory=1GiB
host h[1-4] nodes=1x(32,512GiB) bandwidth=1000MiB/s
vm big-1 big h1 running dirty=1500MiB/s
vm big-2 big h3 running dirty=1500MiB/s
vm small-1 small h1 running dirty=1500MiB/s
"""


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane in whose world there is time to watch a move and to cancel it."""
    folder: Path = tmp_path_factory.mktemp("moves")
    (folder / "pool").write_text(POOL)
    with control_plane(folder, "--pool", str(folder / "pool")) as plane:
        yield plane


@pytest.fixture
def visitor(slow: ControlPlane) -> Iterator[Visitor]:
    with Visitor.entered(slow, slow.token) as visitor:
        yield visitor


@pytest.fixture
def page(browser: Browser, slow: ControlPlane) -> Iterator[Page]:
    with entered(browser, slow) as page:
        yield page


@pytest.fixture
def page_of_many(browser: Browser, plane: ControlPlane) -> Iterator[Page]:
    """Return a page on a pool with many instances."""
    with entered(browser, plane) as page:
        yield page


def begun(visitor: Visitor, name: str, **fields: str) -> tuple[str, str]:
    """Begin to move an instance; return the run's page and the migration's."""
    plan = visitor.plan(f"/instances/{name}/ask/migrate", fields)
    run = visitor.post(f"{plan}/apply", {}).headers["location"]
    listed = visitor.get(f"/migrations?run={run.rpartition('/')[2]}").text
    found = re.search(r'href="(/migrations/p-[^"]+)"', listed)
    assert found, listed
    until(lambda: visitor.get(f"{found[1]}/curve.json").json())
    return run, found[1]


def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.1)


def stopped(visitor: Visitor, migration: str) -> None:
    visitor.post(f"{migration}/cancel", {})
    assert "cancelled" in visitor.get(migration).text


def ended(visitor: Visitor, migration: str) -> str:
    """Wait for a migration's end; return its page."""
    until(lambda: 'data-move-state="running"' not in visitor.get(migration).text)
    return visitor.get(migration).text


def test_a_migration_has_a_page_with_what_became_of_it(visitor: Visitor) -> None:
    run, migration = begun(visitor, "small-1", policy="shortest", downtime_ms="100")
    words = Outline.of(ended(visitor, migration)).words
    assert 'data-move-state="done"' in visitor.get(migration).text
    assert "dirty-limit policy shortest" in words
    assert "promised: 100 ms" in words.replace("\N{NO-BREAK SPACE}", " ")
    curve = visitor.get(f"{migration}/curve.json").json()
    assert curve[-1]["left_mib"] == 0
    assert 0 < curve[-1]["downtime_s"] <= 0.1
    assert curve[-1]["way"] == "dirty-limit"
    for page in (run, "/migrations", "/migrations?instance=small-1"):
        assert migration in visitor.get(page).text
    assert 'id="move-' not in visitor.get("/migrations?running=yes").text
    assert f"/migrations?{'instance=small-1'}" in visitor.get("/instances/small-1").text


def test_who_may_cancels_and_the_instance_stays(slow: ControlPlane, visitor: Visitor) -> None:
    run, migration = begun(visitor, "big-1")
    assert "billow migration cancel p-" in visitor.get(migration).text
    with Visitor.entered(slow, slow.token_for("viewer")) as viewer:
        assert viewer.post(f"{migration}/cancel", {}).status_code == 403
        assert "this needs operator" in viewer.get(migration).text
    answer = visitor.post(f"{migration}/cancel", {})
    assert (answer.status_code, answer.headers["location"]) == (303, migration)
    assert 'data-move-state="cancelled"' in visitor.get(migration).text
    assert 'data-state="failed"' in visitor.get(run).text
    assert "/hosts/h1" in visitor.get("/instances/big-1").text
    again = visitor.post(f"{migration}/cancel", {})
    assert again.status_code == 409
    assert "is cancelled" in again.text


def test_the_form_takes_a_policy_and_a_promise(visitor: Visitor) -> None:
    fields = {"policy": "post_copy", "downtime_ms": "50", "target": "h3"}
    plan = visitor.get(visitor.plan("/instances/big-1/ask/migrate", fields)).text
    assert "h1 -&gt; h3, post_copy, still at most 50 ms" in plan
    for wrong in ({"policy": "wild"}, {"downtime_ms": "1"}, {"downtime_ms": "x"}):
        assert visitor.post("/instances/big-1/ask/migrate", wrong).status_code == 400
    page = visitor.get("/instances/big-1").text
    assert 'data-before="--policy="' in page
    assert 'data-before="--downtime="' in page


def test_an_assessment_has_a_page(visitor: Visitor) -> None:
    whole = visitor.get("/assess?instance=small-1&target=h3")
    outline = Outline.of(whole.text)
    assert "It moves, if it is slowed down" in outline.words
    assert "dirty-limit chosen" in outline.words
    assert "pre-copy does not end" in outline.words
    assert "billow instance assess small-1 --to=h3" in whole.text
    part = visitor.get("/assess?instance=small-1", **{"hx-request": "true"})
    assert "<html" not in part.text
    assert visitor.get("/assess?instance=nobody").status_code == 404
    assert visitor.get("/assess?instance=small-1&target=nowhere").status_code == 404


@pytest.mark.parametrize("path", ["/migrations/none", "/migrations/none/curve.json"])
def test_what_is_not_there_is_said(visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status_code == 404


@pytest.mark.browser
def test_a_move_is_watched_and_cancelled(page: Page, visitor: Visitor) -> None:
    """Assess a move, begin it, watch its curve grow on the run's page, cancel it on its own."""
    page.goto("/instances/big-1")
    page.get_by_role("button", name="Assess", exact=True).click()
    expect(page.locator("#assessment [data-verdict]")).to_contain_text("dirty-limit")
    page.get_by_label("policy").select_option("balanced")
    expect(page.locator("form[action$='/ask/migrate'] .cli code")).to_contain_text(
        "--policy=balanced"
    )
    page.get_by_role("button", name="Migrate", exact=True).click()
    page.wait_for_url("**/plans/p-*")
    page.get_by_role("button", name="Approve and start 1 step").click()
    page.wait_for_url("**/runs/r-*")
    curve = page.locator("move-curve[data-points]")
    expect(curve.locator("canvas")).to_have_count(2)
    first = int(curve.get_attribute("data-points") or "0")
    page.wait_for_function(
        "before => document.querySelector('move-curve').dataset.points > before", arg=first + 1
    )
    page.locator("#moves a[href^='/migrations/']").first.click()
    page.wait_for_url("**/migrations/p-*")
    expect(page.locator("move-curve canvas")).to_have_count(2)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator("[data-move-state=cancelled]")).to_be_visible()
    expect(page.locator("move-curve canvas")).to_have_count(2)
    page.goto("/instances/big-1")
    expect(page.locator("#live a[href='/hosts/h1']")).to_be_visible()


@pytest.mark.browser
def test_an_open_curve_outlives_what_the_stream_brings(page: Page, visitor: Visitor) -> None:
    _, migration = begun(visitor, "big-1", target="h2")
    _, other = begun(visitor, "big-2", target="h4")
    page.goto("/migrations?running=yes")
    expect(page.locator("move-curve")).to_have_count(2)
    expect(page.locator("move-curve canvas")).to_have_count(0)
    page.get_by_role("button", name="Curve of big-1").click()
    expect(page.locator("move-curve canvas")).to_have_count(2)
    with page.expect_response(lambda answer: "/migrations?" in answer.url):
        pass
    expect(page.locator("move-curve canvas")).to_have_count(2)
    page.get_by_role("button", name="Hide the curve of big-1").click()
    expect(page.locator("move-curve canvas")).to_have_count(0)
    for each in (migration, other):
        stopped(visitor, each)


@pytest.mark.browser
def test_a_hundred_moves_are_a_list_with_curves_on_demand(
    page_of_many: Page, admin: Visitor
) -> None:
    rows = admin.get("/instances?state=running&q=vm-&sort=memory_mib&size=500").text.split("<tr>")
    names = [re.findall(r'name="name" value="([^"]+)"', row) for row in rows if "cannot" not in row]
    form = {
        "csrf": admin.csrf,
        "verb": "migrate",
        "name": [each[0] for each in names if each][:120],
    }
    plan = admin.client.post("/instances/ask", data=form).headers["location"]
    run = admin.post(f"{plan}/apply", {}).headers["location"]
    page_of_many.goto(run)
    moves = page_of_many.locator("#moves")
    expect(moves.locator("tr[id^='move-']")).to_have_count(100)
    expect(page_of_many.locator("[data-state=done]")).to_be_visible()
    expect(moves.locator("canvas")).to_have_count(0)
    moves.get_by_role("button", name=re.compile("^Curve")).first.click()
    expect(moves.locator("canvas").first).to_be_visible()
