# SPDX-License-Identifier: Apache-2.0
"""Three journeys through the console in Debian's Chromium, against a real control plane."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.control_planes import ControlPlane
from tests.web.browsing import entered

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, plane: ControlPlane) -> Iterator[Page]:
    with entered(browser, plane) as page:
        yield page


def drawn(page: Page) -> None:
    """Wait until the map is there."""
    page.wait_for_selector("pool-map[data-drawn]")


def pixels(page: Page, selector: str) -> int:
    """Return how many different colours a canvas shows."""
    count = page.eval_on_selector(
        selector,
        """canvas => {
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            return new Set(new Uint32Array(data.buffer)).size;
        }""",
    )
    return int(count)


def test_look_around(page: Page) -> None:
    """Log in, see the map, point at a host, open it."""
    drawn(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("90 hosts")
    assert pixels(page, "pool-map canvas") > 20
    expect(page.locator(".log [data-live]")).to_have_text("live")
    canvas = page.locator("pool-map > canvas")
    canvas.focus()
    page.keyboard.press("ArrowDown")
    tip = page.locator(".map-tip")
    expect(tip.locator("header b")).to_have_text("host-01")
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + 30, box["y"] + 60)
    expect(tip.locator("li").first).to_be_visible()
    expect(tip).to_contain_text("reserved")
    name = tip.locator("header b").inner_text()
    page.mouse.click(box["x"] + 30, box["y"] + 60)
    page.wait_for_url(f"**/hosts/{name}")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator(".tree [aria-current=page]")).to_have_text(name)


def test_switches_change_the_map_and_the_address(page: Page) -> None:
    drawn(page)
    page.get_by_role("link", name="used", exact=True).click()
    page.get_by_role("link", name="memory", exact=True).click()
    expect(page).to_have_url(re.compile(r"measure=used&resource=memory"))
    assert page.get_attribute("pool-map", "measure") == "used"
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Light, dark or as the system").click()
    page.get_by_label("Light, dark or as the system").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.reload()
    drawn(page)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert page.get_attribute("pool-map", "resource") == "memory"


def test_the_chart_waits_for_its_script(page: Page) -> None:
    """The script that draws may come long after what it draws, or hold nothing."""
    late: list[Route] = []
    page.route("**/vendor/uplot*.js", lambda route: late.append(route))  # noqa: PLW0108
    with page.expect_response("**/trend.json") as figures:
        page.goto("/", wait_until="commit")
    figures.value.finished()
    page.wait_for_timeout(500)
    expect(page.locator("[data-chart] canvas")).to_have_count(0)
    assert late
    for script in late:  # a browser may ask twice
        script.continue_()
    expect(page.locator("[data-chart] canvas")).to_have_count(1)
    page.unroute("**/vendor/uplot*.js")
    page.route(
        "**/vendor/uplot*.js", lambda route: route.fulfill(body="", content_type="text/javascript")
    )
    page.goto("/")
    expect(page.locator("[data-chart]")).to_contain_text("cannot be drawn")


def test_create_by_plan_and_watch(page: Page) -> None:
    """Ask for instances, read the plan, approve it, watch the run, find them."""
    page.get_by_role("link", name="Create instances").click()
    page.get_by_label("Name").fill("journey")
    page.get_by_label("How many").fill("3")
    page.get_by_role("combobox", name="Service").select_option("batch")
    preview = page.locator("#preview")
    expect(preview).to_contain_text("service=batch")
    expect(preview).to_contain_text("billow instance create journey")
    expect(preview).to_contain_text("--count 3")
    page.get_by_role("button", name="Make the plan").click()
    page.wait_for_url("**/plans/p-*")
    page.wait_for_selector("plan-diff[data-drawn]")
    assert pixels(page, "plan-diff canvas") > 5
    expect(page.locator("#steps")).to_contain_text("journey-2")
    expect(page.locator("[data-footer]")).to_contain_text("3 place")
    expect(page.locator(".effects")).to_contain_text("3 instances are created and started")
    page.get_by_role("button", name="Approve and start 3 steps").click()
    page.wait_for_url("**/runs/r-*")
    expect(page.locator("[data-state=done]")).to_be_visible()
    expect(page.locator("#live")).to_contain_text("3 of 3 steps")
    expect(page.locator(".log")).to_contain_text("step.ended")
    page.get_by_role("link", name="Instances", exact=True).click()
    page.get_by_label("Service").select_option("batch")
    expect(page).to_have_url(re.compile("service=batch"))
    page.get_by_label("Name contains").fill("journey")
    expect(page).to_have_url(re.compile("q=journey"))
    rows = page.locator("#rows tbody tr")
    expect(rows).to_have_count(3)
    page.get_by_role("link", name="Host", exact=True).click()
    expect(page).to_have_url(re.compile("q=journey&service=batch&sort=host"))
    with page.expect_response("**/instances?q=journey&service=batch&sort=host"):
        page.evaluate("document.dispatchEvent(new CustomEvent('billow:pool'))")
    expect(rows).to_have_count(3)
    expect(page.locator("#rows")).to_contain_text("running")


@pytest.mark.parametrize(("table", "word"), [("hosts", "host-8"), ("instances", "99")])
def test_a_late_refresh_does_not_undo_a_filter(page: Page, table: str, word: str) -> None:
    """A refresh that left before the filter and would arrive after it gives way."""
    late: list[Route] = []
    page.goto(f"/{table}")
    rows = page.locator("#rows tbody tr")
    everything = rows.count()
    page.route(f"**/{table}", lambda route: late.append(route))  # noqa: PLW0108 - it is inspected
    with page.expect_request(f"**/{table}"):
        page.evaluate("document.dispatchEvent(new CustomEvent('billow:pool'))")
    page.get_by_label("Name contains").fill(word)
    expect(page).to_have_url(re.compile(f"q={word}"))
    expect(rows).not_to_have_count(everything)
    fewer = rows.count()
    assert 0 < fewer < everything
    for route in late:
        route.continue_()
    page.wait_for_timeout(1000)
    assert rows.count() == fewer
    page.unroute(f"**/{table}")


def test_migrate_and_undo(page: Page) -> None:
    """Move an instance by a plan, watch it arrive, take it back."""
    page.goto("/instances?state=running&q=vm-&sort=memory_mib")
    name = page.locator("#rows tbody tr", has_not_text="cannot move").first.locator("a").first
    instance = name.inner_text()
    name.click()
    page.wait_for_url(f"**/instances/{instance}")
    live = page.locator("#live")
    home = live.locator("a[href^='/hosts/']").inner_text()
    page.get_by_role("button", name="Migrate", exact=True).click()
    page.wait_for_url("**/plans/p-*")
    plan = page.url
    expect(page.locator("#steps tbody")).to_contain_text(f"{home}")
    page.get_by_role("button", name="Approve and start 1 step").click()
    page.wait_for_url("**/runs/r-*")
    run = page.url
    expect(page.locator("[data-state=done]")).to_be_visible()
    page.goto(plan)
    expect(page.locator("#verdict")).to_contain_text("A plan is used once")
    page.goto(f"/instances/{instance}")
    expect(live.locator("a[href^='/hosts/']")).not_to_have_text(home)
    expect(page.locator(".timeline")).to_contain_text("migrate done")
    page.goto(run)
    page.get_by_role("button", name="Undo", exact=True).click()
    page.wait_for_url("**/plans/p-*")
    expect(page.locator("#steps")).to_contain_text("undoes migrate")
    page.get_by_role("button", name="Approve and start 1 step").click()
    page.wait_for_url("**/runs/r-*")
    expect(page.locator("[data-state=done]")).to_be_visible()
    page.goto(f"/instances/{instance}")
    expect(live.locator("a[href^='/hosts/']")).to_have_text(home)


def test_read_a_report_turn_a_knob_and_plan(page: Page) -> None:
    """Read what is left to sell, ask about more failures, make the plan, come back from it."""
    page.get_by_role("link", name="Reports", exact=True).click()
    card = page.locator(".card", has=page.get_by_role("link", name="capacity", exact=True))
    expect(card.locator("dd").first).to_contain_text("slot")
    card.get_by_role("link", name="capacity").click()
    expect(page).to_have_url(re.compile("/reports/capacity$"))
    expect(page.locator("#report svg[data-form=bars] rect").first).to_be_attached()
    expect(page.locator("#figures-of time")).to_have_count(1)
    page.locator("[name='knob.failures']").fill("2")
    expect(page.locator(".knobs .cli code")).to_have_text("billow plan capacity --set=failures=2")
    page.get_by_role("button", name="Show with these").click()
    expect(page).to_have_url(re.compile(r"capacity\?knob.failures=2$"))
    expect(page.locator("[name='knob.failures']")).to_have_value("2")
    expect(page.locator(".tools .cli").first).to_contain_text("report capacity --set=failures=2")
    page.get_by_role("button", name="Make the plan").click()
    page.wait_for_url("**/plans/p-*")
    expect(page.get_by_role("heading", level=1)).to_have_text("capacity")


def test_a_map_that_is_open_follows_the_pool(page: Page, plane: ControlPlane) -> None:
    drawn(page)
    with plane.client() as client:
        body = {"instances": [{"id": f"follow-{n}", "shape": {"cpu_milli": 1000, "memory_mib": 512}}
                              for n in range(20)]}  # fmt: skip
        assert client.post("/v1/instances", json=body, params={"apply": "true"}).status_code == 202
    version = page.get_attribute("pool-map", "data-drawn")
    fetched: list[str] = []
    page.on("request", lambda request: fetched.append(request.url))
    page.wait_for_function(
        "was => document.querySelector('pool-map').dataset.drawn !== was", arg=version
    )
    expect(page.locator(".log")).to_contain_text("run.ended")
    assert [url for url in fetched if "map.json" in url] == []


def test_the_tree_and_the_search_lead_to_hosts(page: Page) -> None:
    page.goto("/hosts")
    page.locator(".tree summary", has_text="z2").click()
    page.locator(".tree summary", has_text="r002").click()
    page.locator(".tree").get_by_role("link", name="host-25").click()
    page.wait_for_url("**/hosts/host-25")
    page.keyboard.press("/")
    page.keyboard.type("host-3")
    page.locator("#found").get_by_role("link", name="host-33").click()
    page.wait_for_url("**/hosts/host-33")
