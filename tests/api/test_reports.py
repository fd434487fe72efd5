# SPDX-License-Identifier: Apache-2.0
"""Reports over the API: anybody who may look may read them, and their schema is kept."""

from collections.abc import Iterator

import httpx2
import pytest

from billow.api.report_answers import ReportAnswer
from tests.control_planes import ControlPlane, control_plane
from tests.sample_report import PROGRAM


@pytest.fixture(scope="module")
def reporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane with a capability that reports."""
    state = tmp_path_factory.mktemp("reporting")
    with control_plane(state, "--hosts", "4", "--speed", "60", program=PROGRAM) as plane:
        yield plane


@pytest.fixture(scope="module")
def viewer(reporting: ControlPlane) -> Iterator[httpx2.Client]:
    with reporting.client(reporting.token_for("viewer")) as client:
        yield client


def test_a_viewer_reads_reports(viewer: httpx2.Client) -> None:
    listed = viewer.get("/v1/reports").json()["items"]
    assert {"name": "sample", "about": "Says how full hosts are"} in listed
    answer = viewer.get("/v1/reports/sample")
    assert answer.status_code == 200
    told = ReportAnswer.model_validate(answer.json(), strict=False)
    assert told.after is None
    assert [each.key for each in told.report.measures][:2] == ["full_hosts", "mean_share"]
    assert told.report.measures[2].value is None
    assert [each.form for each in told.report.pictures] == ["bars", "stripes", "lines"]


def test_knobs_are_a_json_object(viewer: httpx2.Client) -> None:
    some = viewer.get("/v1/reports/sample", params={"policy": '{"rows": 1}'}).json()
    assert len(some["report"]["grids"][0]["rows"]) == 1
    assert some["report"]["grids"][0]["left_out"] == 3
    assert some["policy"] == {"full_share": 0.5, "rows": 1, "loud": False}
    for policy in ("[1]", "{", '{"rows": 0}', '{"lines": 1}', "1" * 30_000, "[" * 10_000):
        refused = viewer.get("/v1/reports/sample", params={"policy": policy})
        assert refused.status_code in {400, 422}, policy[:20]
        assert refused.json()["code"]


def test_what_is_not_there_is_not_found(viewer: httpx2.Client) -> None:
    assert viewer.get("/v1/reports/nonsense").status_code == 404
    assert viewer.get("/v1/reports/sample", params={"plan": "p-1"}).status_code == 404
    assert viewer.get("/v1/reports/sample", params={"rows": "1"}).status_code == 400


def test_a_plan_has_a_report_before_and_after(reporting: ControlPlane) -> None:
    with reporting.client() as client:
        shape = {"cpu_milli": 4000, "memory_mib": 1024}
        body = {"instances": [{"id": f"more-{n}", "shape": shape} for n in range(4)]}
        plan = client.post("/v1/instances", json=body).json()["id"]
        told = client.get("/v1/reports/sample", params={"plan": plan}).json()
    before, after = (told[part]["measures"][1]["value"] for part in ("report", "after"))
    assert before < after
    assert told["plan_id"] == plan


def test_capabilities_tell_their_knobs(viewer: httpx2.Client) -> None:
    known = {each["name"]: each for each in viewer.get("/v1/capabilities").json()["items"]}
    assert known["sample"]["reports"]
    rows = next(each for each in known["sample"]["knobs"] if each["name"] == "rows")
    assert rows == {"name": "rows", "unit": "", "default": 3, "now": 3, "range": "1 to 50",
                    "description": "Hosts that are listed.", "choices": []}  # fmt: skip
