# SPDX-License-Identifier: Apache-2.0
"""Failed hosts in the console: what was seen and why, a person's word, hosts left alone."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
from playwright.sync_api import Browser, Page, expect

from billow.model.text import parse
from billow.web import storyline
from tests.control_planes import ControlPlane, control_plane
from tests.recorded import held, record_now, recovered, silent
from tests.web.browsing import entered
from tests.web.visitor import Outline, Visitor

DONE, HELD = "ha-gone-1-1", "ha-gone-2-2"
HARMFUL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane that knows three incidents, one of a host whose name means harm."""
    with control_plane(tmp_path_factory.mktemp("struck"), "--hosts", "4") as plane:
        incidents = (
            recovered(DONE, "gone-1"),
            held(HELD, "gone-2"),
            held(f"ha-{HARMFUL}", HARMFUL),
        )
        record_now(f"sqlite:///{plane.state}/billow.db", *incidents)
        yield plane


@pytest.fixture
def visitor(struck: ControlPlane) -> Iterator[Visitor]:
    with Visitor.entered(struck, struck.token) as visitor:
        yield visitor


@pytest.fixture
def page(browser: Browser, struck: ControlPlane) -> Iterator[Page]:
    with entered(browser, struck) as page:
        yield page


def test_incidents_are_listed(visitor: Visitor) -> None:
    whole = visitor.get("/incidents").text
    assert f'href="/incidents/{DONE}"' in whole
    assert "3 of 3" in Outline.of(whole).words
    assert HARMFUL not in whole
    mine = visitor.get("/incidents?host=gone-1").text
    assert f'id="incident-{HELD}"' not in mine
    assert "billow incident list --host=gone-1" in mine
    part = visitor.get("/incidents?open=yes", **{"hx-request": "true"})
    assert "<html" not in part.text
    assert visitor.get("/incidents/none").status_code == 404


def test_an_incident_tells_what_was_seen_and_why(visitor: Visitor) -> None:
    words = Outline.of(visitor.get(f"/incidents/{DONE}").text).words
    for told in (
        "gone-1: crashed, hung or cut off",
        "off, read twice 1 s apart",
        "cut power",
        "start elsewhere: web on h2, try 1",
        "storm open",
        "What would have changed it",
        "3 of 3 instances run elsewhere",
        "What people were told",
    ):
        assert told in words, told


def test_gates_are_named_in_words_and_times_are_told(visitor: Visitor) -> None:
    whole = visitor.get(f"/incidents/{DONE}").text
    assert 'storm open</span><p class="muted">no storm</p>' in whole
    words = Outline.of(whole).words
    assert "the last after " in words
    assert "after 3" in words  # the proof
    style = visitor.get(whole.partition('rel="stylesheet" href="')[2].partition('"')[0]).text
    assert ".columns-2 {" in style


def test_before_a_proof_the_page_says_how_many_are_affected() -> None:
    noted = silent("ha-h1-1", "h1")
    pool = parse(
        "billow-pool 1\nshape s cpu=1 memory=1GiB\nhost h1 nodes=(4,8GiB)\nvm a s h1 running"
    )
    row = storyline.row(noted.incident, pool)
    assert (row.total, row.affected) == (0, 1)
    assert storyline.story(noted.incident, pool, noted.steps).run_after_s is None


def test_no_gate_is_shut_once_its_host_is_being_fenced() -> None:
    made = recovered()
    known = cast(list[dict[str, object]], [each.facts["known"] for each in made.steps])
    steps = [
        replace(each, facts={**each.facts, "known": {**facts, "shut": "one at once"}})
        for each, facts in zip(made.steps, known, strict=True)
    ]
    pool = parse("billow-pool 1")
    seen = storyline.story(made.incident, pool, steps).seen
    assert [bool(each.shut) for each in seen] == [True, *[False] * (len(seen) - 1)]


def test_a_viewer_reads_and_says_no_word(struck: ControlPlane) -> None:
    with Visitor.entered(struck, struck.token_for("viewer")) as viewer:
        assert "this needs operator" in viewer.get(f"/incidents/{HELD}").text
        assert viewer.post(f"/incidents/{HELD}/release", {"why": "so"}).status_code == 403
        assert viewer.post("/ha/leave", {"reach": "pool", "why": "so"}).status_code == 403
        assert "this needs operator" in viewer.get("/ha").text


def test_hosts_are_left_alone_and_looked_after_again(visitor: Visitor) -> None:
    asked = {"reach": "host", "name": "host-3", "hours": "2", "why": HARMFUL}
    assert visitor.post("/ha/leave", asked).status_code == 303
    for path in ("/ha", "/ha/card", "/ha/host?host=host-3"):
        assert "alert(1)" in visitor.get(path).text
        assert HARMFUL not in visitor.get(path).text
    for wrong in ({"name": "nobody"}, {"hours": "0"}, {"why": ""}, {"reach": "galaxy"}):
        assert visitor.post("/ha/leave", {**asked, **wrong}).status_code in {400, 404}, wrong
    assert visitor.post("/ha/resume", {"reach": "host", "name": "host-3"}).status_code == 303
    assert "alert(1)" not in visitor.get("/ha/card").text


@pytest.mark.browser
def test_a_person_reads_an_incident_and_vouches(page: Page) -> None:
    """From the map's card to the held incident: read why, say a word, see it kept at once."""
    page.goto("/")
    expect(page.locator("#ha")).to_contain_text("armed")
    expect(page.locator("#ha")).to_contain_text("held")
    page.get_by_role("link", name="3 open incidents").click()
    page.locator("#incidents").get_by_role("link", name=HELD).click()
    expect(page.get_by_role("alert")).to_contain_text("nothing proves yet that it is dead")
    expect(page.locator("#why")).to_contain_text("What would have changed it")
    expect(page.locator("#evidence tbody tr").first).to_contain_text("lost")
    expect(page.locator("#steps tbody tr")).to_have_count(3)
    word = page.locator("#release form", has_text="It is dead")
    word.get_by_label("What I saw", exact=True).fill("its plug is out")
    word.get_by_role("button", name="It is dead", exact=True).click()
    expect(page.locator("#live")).to_contain_text("admin: its plug is out")
    expect(page.locator("#steps tbody tr")).to_have_count(4)
    expect(page.locator("#steps tbody tr").last).to_contain_text("a person")
    expect(page.locator("#release")).to_have_count(0)


@pytest.mark.browser
def test_high_availability_is_disarmed_and_armed(page: Page) -> None:
    page.goto("/ha")
    expect(page.locator("#readiness tbody tr")).to_have_count(4)
    form = page.locator("form", has=page.get_by_role("button", name="Disarm", exact=True))
    form.get_by_label("Why", exact=True).fill("core switches are replaced")
    form.get_by_role("button", name="Disarm", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("core switches are replaced")
    page.goto("/")
    expect(page.locator("#ha [data-ha]")).to_have_text("disarmed")
    page.goto("/ha")
    page.get_by_role("button", name="Arm", exact=True).click()
    expect(page.get_by_role("button", name="Disarm", exact=True)).to_be_visible()


def test_a_failed_host_s_page_leads_to_its_incident(struck: ControlPlane, visitor: Visitor) -> None:
    name = "ha-host-4-9"  # the last test here: those before count incidents
    record_now(f"sqlite:///{struck.state}/billow.db", recovered(name, "host-4"))
    whole = visitor.get("/hosts/host-4").text
    assert "This host failed" in whole
    assert f'href="/incidents/{name}"' in whole
