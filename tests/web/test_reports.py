# SPDX-License-Identifier: Apache-2.0
"""Reports in the console: cards, a page with its knobs, before and after a plan, pictures."""

import math
import re
from collections.abc import Iterator
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.model.report import Form, Picture, Series
from billow.web.knob_form import query_of, values_of
from billow.web.pictures import MOST_LABELS, draw
from tests.control_planes import ControlPlane, control_plane
from tests.sample_report import PROGRAM
from tests.web.visitor import Outline, Visitor


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane with a capability that reports."""
    state = tmp_path_factory.mktemp("reporting")
    with control_plane(state, "--hosts", "30", "--speed", "60", program=PROGRAM) as plane:
        yield plane


@pytest.fixture
def visitor(reporting: ControlPlane) -> Iterator[Visitor]:
    with Visitor.entered(reporting, reporting.token) as visitor:
        yield visitor


def test_every_report_has_a_card_that_brings_its_figures(visitor: Visitor) -> None:
    page = visitor.get("/reports").text
    assert 'hx-get="/reports/sample/card"' in page
    assert "Says how full hosts are" in page
    card = Outline.of(visitor.get("/reports/sample/card", **{"hx-request": "true"}).text)
    assert "of 30 hosts are full" in card.words
    assert "Full hosts" in card.words


def test_a_page_has_figures_tables_pictures_and_knobs(visitor: Visitor) -> None:
    html = visitor.get("/reports/sample").text
    page = Outline.of(html)
    assert "How full hosts are" in page.words
    assert "$ billow report sample" not in page.words
    assert "billow report sample" in page.words
    assert {"bars", "stripes", "lines"} <= {tag[1].get("data-form", "") for tag in page.tags}
    assert re.search(r'href="/hosts/host-\d+"', html)
    assert "row of 30" in page.words or "3 rows of 30" in page.words
    assert page.fields["knob.rows"] == ""
    assert "Hosts that are listed." in page.words
    assert "1 to 50" in page.words


def test_knobs_are_in_the_address(visitor: Visitor) -> None:
    sent = {"knob.rows": "2", "knob.full_share": "", "knob.loud": "true", "knob.nonsense": "1"}
    answer = visitor.post("/reports/sample/show", sent)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/reports/sample?knob.rows=2&knob.loud=true"
    page = Outline.of(visitor.get(answer.headers["location"]).text)
    assert page.fields["knob.rows"] == "2"
    assert "2 rows of 30" in page.words
    assert "billow report sample --set=rows=2 --set=loud=true" in unescape(page.words)
    wrong = visitor.get("/reports/sample?knob.rows=0")
    assert wrong.status_code == 400
    assert "rows: Input should be greater" in unescape(wrong.text)
    assert visitor.get("/reports/nonsense").status_code == 404


def test_a_plan_leads_to_its_reports_before_and_after(visitor: Visitor) -> None:
    wish = {"name": "fill", "count": "6", "cpus": "4", "memory_mib": "1024"}
    plan = visitor.plan("/create", wish)
    there = f"/reports/sample?plan={plan.rpartition('/')[2]}"
    assert there in visitor.get(plan).text
    page = Outline.of(visitor.get(there).text)
    assert "Before" in page.words
    assert "points" in page.words
    assert [tag[1]["aria-label"] for tag in page.tags if tag[1].get("data-form") == "bars"] == [
        "Reserved, before",
        "Reserved, after",
    ]
    assert visitor.get("/reports/sample?plan=nothing").status_code == 404


def test_a_plan_is_made_with_the_knobs_of_the_form(visitor: Visitor) -> None:
    plan = visitor.plan("/reports/sample/plan", {"knob.rows": "2"})
    assert plan.startswith("/plans/p-")
    assert visitor.post("/reports/sample/plan", {"knob.rows": "x"}).status_code == 400


def test_who_only_looks_reads_reports_and_makes_no_plan(reporting: ControlPlane) -> None:
    with Visitor.entered(reporting, reporting.token_for("viewer")) as viewer:
        assert viewer.get("/reports/sample").status_code == 200
        assert viewer.post("/reports/sample/show", {"knob.rows": "2"}).status_code == 303
        assert viewer.post("/reports/sample/plan", {}).status_code == 403


def test_values_are_read_as_json_or_as_words() -> None:
    typed = {"a": "5", "b": "0.5", "c": "true", "d": "pack", "e": '["x"]', "f": "NaN"}
    assert values_of(typed) == {"a": 5, "b": 0.5, "c": True, "d": "pack", "e": ["x"], "f": "NaN"}
    assert query_of({"names": "a&b"}, "p-1") == "?plan=p-1&knob.names=a%26b"
    assert query_of({}) == ""


NUMBERS = st.floats(width=32) | st.just(math.nan)


@given(st.sampled_from(Form), st.lists(st.tuples(NUMBERS, NUMBERS), max_size=40))
def test_any_values_can_be_drawn(form: Form, rows: list[tuple[float, float]]) -> None:
    labels = tuple(float(place) for place in range(len(rows)))
    series = tuple(Series(f"s{turn}", tuple(row[turn] for row in rows)) for turn in (0, 1))
    drawing = draw(Picture("key", "title", form, labels, series, "share"))
    assert drawing.height > 0
    assert all(0 <= box.width <= drawing.width for box in drawing.boxes)
    assert all(box.x + box.width <= drawing.width + 1 for box in drawing.boxes)
    assert "nan" not in "".join(course.points for course in drawing.courses)


def test_a_picture_of_many_hosts_stays_small() -> None:
    labels = tuple(f"host-{place}" for place in range(10_000))
    drawing = draw(Picture("k", "t", Form.STRIPES, labels, (Series("used", (0.5,) * 10_000),)))
    assert len(drawing.boxes) == MOST_LABELS
    assert drawing.left_out == 9_600
    assert drawing.height <= 1000
