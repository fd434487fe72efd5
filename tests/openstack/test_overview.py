# SPDX-License-Identifier: Apache-2.0
import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from billow.catalog import CAPABILITIES
from billow.model.document import written
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Health, State, Storage
from billow.model.plan import Finding, Severity
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.openstack.deaths import NO_ROOM, deaths, deaths_report
from billow.openstack.document import overview_document
from billow.openstack.heat import heat_of
from billow.openstack.overview import Overview, Section, overview
from billow.openstack.page import chart_of, page
from billow.policies import Policies
from tests.openstack.clouds import cloud

POLICIES = Policies(CAPABILITIES, {})
SECTIONS = ("fit", "fragmentation", "hot", "deaths", "win", "wrong")
TOOK = {"look": 1.25, "think": 0.5}


def section(view: Overview, key: str) -> Section:
    return next(each for each in view.sections if each.key == key)


@pytest.fixture(scope="module")
def view() -> Overview:
    return overview(cloud(), POLICIES, name="north")


def test_every_question_is_answered(view: Overview) -> None:
    assert tuple(each.key for each in view.sections) == SECTIONS
    assert all(each.summary.endswith(".") for each in view.sections)
    assert view.name == "north"
    assert (view.hosts, view.instances) == (20, 150)


def test_flavors_that_nobody_uses_are_counted_too() -> None:
    pool = Pool.build([Host("h", (Node(cpu_milli=4000, memory_mib=8192),))],
                      shapes=[Shape("new", 1000, 1024)])  # fmt: skip
    fit = section(overview(pool, POLICIES), "fit")
    assert fit.summary.startswith("4 more new fit")


def test_a_plan_wins_what_it_says(view: Overview) -> None:
    won = section(view, "win")
    assert won.after is not None
    before, after = won.report.figures["slots"], won.after.figures["slots"]
    assert after > before
    assert f"make room for {after - before:,.0f} more" in won.summary
    rows = next(each.rows for each in won.after.grids if each.key == "won")
    assert ("m1.xlarge", before, after, after - before) in rows


def test_a_plan_has_as_many_moves_as_it_may() -> None:
    few = section(overview(cloud(), POLICIES, moves=2), "win")
    assert few.after is not None
    moves = next(each for each in few.after.grids if each.key == "moves")
    assert 0 < len(moves.rows) <= 2


def test_who_is_hot_is_not_guessed(view: Overview) -> None:
    assert "no real use was measured" in section(view, "hot").summary
    measured = overview(cloud(measured=True), POLICIES)
    assert "Hot now" in section(measured, "hot").summary


def test_what_its_engine_found_wrong_is_told() -> None:
    leak = Finding("instance/vm-1", Severity.WARNING, "is counted on two hosts")
    wrong = section(overview(cloud(), POLICIES, findings=[leak]), "wrong")
    assert wrong.report.findings == (leak,)
    assert "is counted on two hosts" in wrong.summary
    assert "1 thing could not be seen" in wrong.summary


def test_a_part_that_cannot_be_told_takes_no_other_with_it() -> None:
    unknown = Policies(CAPABILITIES, {"defrag": {"shapes": {"nobody-has-this": 1.0}}})
    view = overview(cloud(), unknown)
    assert tuple(each.key for each in view.sections) == SECTIONS
    assert section(view, "win").summary.startswith("This cannot be told")
    assert "more m1." in section(view, "fit").summary


def test_an_empty_cloud_has_a_report() -> None:
    view = overview(Pool.build([]), POLICIES)
    assert tuple(each.key for each in view.sections) == SECTIONS
    assert "no host" in page(view, TOOK)


def _tight(*, disk: Storage = Storage.SHARED, immovable: str = "") -> Pool:
    """Return three hosts of four CPUs; on the first an instance that the others have room for."""
    node = Node(cpu_milli=4000, memory_mib=8192)
    whole, half = Shape("whole", 4000, 4096), Shape("half", 2000, 2048)
    return Pool.build(
        [Host(f"h{number}", (node,)) for number in (1, 2, 3)],
        [
            Instance("a", whole, host="h1", state=State.RUNNING),
            Instance("b", half, host="h2", state=State.RUNNING, disk=disk, immovable=immovable),
        ],
    )


def test_a_death_that_leaves_room_costs_nothing() -> None:
    assert deaths(_tight()) == ((), 0)
    assert deaths_report(_tight()).summary.startswith("Any one host may die")


def test_a_death_costs_who_finds_no_room() -> None:
    pool = _tight()
    broken = dataclasses.replace(pool.host("h3"), health=Health.FAILED)
    hosts = [pool.host("h1"), pool.host("h2"), broken]
    smaller = Pool.build(hosts, [pool.instance(each) for each in pool.instances.id])
    found, left_out = deaths(smaller)
    lost = [("h1", 1, NO_ROOM), ("h2", 1, NO_ROOM)]
    assert [(each.host, each.lost, each.why) for each in found] == lost
    assert not left_out


@pytest.mark.parametrize(
    ("pool", "why"),
    [(_tight(disk=Storage.OWN), "host's own"), (_tight(immovable="a GPU"), "a GPU")],
)
def test_a_death_costs_who_is_bound(pool: Pool, why: str) -> None:
    (death,), _ = deaths(pool)
    assert (death.host, len(death.bound), death.homeless) == ("h2", 1, ())
    assert why in death.why


def test_every_host_is_on_the_map_once() -> None:
    pool = cloud()
    tiles = [tile for patch in heat_of(pool).patches for tile in patch.tiles]
    assert sorted(each.host for each in tiles) == sorted(pool.hosts.id)
    assert sum(each.instances for each in tiles) == 150
    chart = chart_of(heat_of(pool))
    assert len({(each.x, each.y) for each in chart.squares}) == 20
    assert all(each.x + each.size <= chart.width for each in chart.squares)
    assert [text for _, text in chart.words] == ["az1", "az2"]


def test_the_document_is_plain_json(view: Overview) -> None:
    document: Any = overview_document(view, TOOK)
    assert (document["format"], document["version"]) == ("billow-cloud-report", 1)
    assert document["took_s"] == TOOK
    assert [each["key"] for each in document["sections"]] == list(SECTIONS)
    assert document["gaps"] == written(view.gaps)


class _Links(HTMLParser):
    """Notes what a page refers to, and which tags it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]


def test_the_page_stands_alone(view: Overview) -> None:
    text = page(view, TOOK)
    found = _Links()
    found.feed(text)
    assert all(link.startswith("#") for link in found.links)
    assert not found.tags & {"script", "link", "iframe", "img", "form"}
    assert set(re.findall(r"url\(\"(.{10})", text)) == {"data:font/"}
    assert all(f'id="{key}"' in text for key in SECTIONS)
    assert text.count('class="l') >= 20


def test_the_page_says_what_a_name_holds_and_does_not_run_it() -> None:
    view = overview(cloud(), POLICIES, name="<script>alert(1)</script>")
    assert "<script>alert" not in page(view, TOOK)
