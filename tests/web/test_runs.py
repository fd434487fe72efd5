# SPDX-License-Identifier: Apache-2.0
"""The run page: what went wrong stands there with its fix, and the way back can be asked for."""

import re
import time

from tests.control_planes import ControlPlane
from tests.web.visitor import Outline, Visitor

PATIENCE_S = 60.0


def ended(visitor: Visitor, where: str) -> str:
    """Wait for a run's end; return its page."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        html = visitor.get(where).text
        if 'data-state="running"' not in html:
            return html
        time.sleep(0.2)
    raise AssertionError(f"{where} did not end")


def movable(visitor: Visitor, count: int) -> list[str]:
    """Return names of running machines that can move."""
    rows = visitor.get("/instances?state=running&q=vm-&sort=memory_mib&size=500").text.split("<tr>")
    names = [re.findall(r'name="name" value="([^"]+)"', row) for row in rows if "cannot" not in row]
    return [name[0] for name in names if name][:count]


def test_a_failed_step_is_told_with_its_fix_and_the_rest_can_be_undone(
    faulty: ControlPlane,
) -> None:
    with Visitor.entered(faulty, faulty.token) as visitor:
        names = movable(visitor, 3)
        form = {"csrf": visitor.csrf, "verb": "migrate", "name": names}
        plan = visitor.client.post("/instances/ask", data=form).headers["location"]
        run = visitor.post(f"{plan}/apply", {}).headers["location"]
        html = ended(visitor, run)
        page = Outline.of(html)
        assert 'data-state="failed"' in html, page.words
        assert "1 failed" in page.words
        assert re.search(r'<span class="error-text">[^<]+</span>', html)
        failed = visitor.get(f"{run}?phase=failed").text
        assert len(re.findall(r"<tr id=\"step-", failed)) == 1
        assert len(visitor.get(f"{run}?phase=failed", **{"hx-request": "true"}).text) < len(failed)
        back = visitor.post(f"{run}/undo", {})
        assert back.status_code == 303
        assert "undoes migrate" in visitor.get(back.headers["location"]).text


def test_a_plan_is_used_once(faulty: ControlPlane) -> None:
    with Visitor.entered(faulty, faulty.token) as visitor:
        plan = visitor.plan("/create", {"name": "once"})
        run = visitor.post(f"{plan}/apply", {}).headers["location"]
        html = ended(visitor, run)
        assert 'data-state="done"' in html
        assert "A plan is used once" in visitor.get(plan).text
        again = visitor.post(f"{plan}/apply", {})
        assert again.status_code in {409, 412}
        assert run.rpartition("/")[2] in visitor.get("/runs").text


def test_a_plan_for_an_older_pool_says_so_and_is_checked(faulty: ControlPlane) -> None:
    with Visitor.entered(faulty, faulty.token) as visitor:
        name = movable(visitor, 1)[0]
        stale = visitor.plan(f"/instances/{name}/ask/stop", {})
        sound = visitor.plan("/create", {"name": "sound"})
        gone = visitor.plan(f"/instances/{name}/ask/delete", {})
        ended(visitor, visitor.post(f"{gone}/apply", {}).headers["location"])
        for plan in (stale, sound):
            assert "The pool has changed since this plan was made" in visitor.get(plan).text
        assert "older pool" in visitor.get("/plans").text
        refused = visitor.post(f"{stale}/apply", {})
        assert refused.status_code == 412
        assert "make a new plan" in refused.text
        run = visitor.post(f"{sound}/apply", {}).headers["location"]
        assert 'data-state="done"' in ended(visitor, run)


def test_a_run_that_is_over_cannot_be_stopped(faulty: ControlPlane) -> None:
    with Visitor.entered(faulty, faulty.token) as visitor:
        plan = visitor.plan("/create", {"name": "over"})
        run = visitor.post(f"{plan}/apply", {}).headers["location"]
        ended(visitor, run)
        answer = visitor.post(f"{run}/stop", {})
        assert answer.status_code == 409
        assert "not under way" in answer.text
