# SPDX-License-Identifier: Apache-2.0
"""The report on a cloud's storage: fullest pools first, and what is down."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from billow.catalog import CAPABILITIES
from billow.cli.main import app
from billow.model.group import Fact
from billow.model.pool import Pool
from billow.openstack.overview import overview
from billow.openstack.page import page
from billow.openstack.storage import storage_report
from billow.policies import Policies
from billow.sense.files import write_pool

WHOLE = {"volumes": "12", "volumes_gib": "340", "attached": "9"}
FULL = {"total_gib": "1000", "free_gib": "100", "provisioned_gib": "2000"}
ENDLESS = {"total_gib": "inf", "provisioned_gib": "40"}


def pool(**more: dict[str, str]) -> Pool:
    said = {"storage": WHOLE} | {f"storage/{name}": each for name, each in more.items()}
    return Pool.build(
        [], facts=[Fact(subject, *pair) for subject, each in said.items() for pair in each.items()]
    )


def test_the_fullest_pool_comes_first() -> None:
    report = storage_report(pool(endless=ENDLESS, empty={**FULL, "free_gib": "1000"}, full=FULL))
    assert report is not None
    assert report.summary == (
        "full is fullest (90 % used); 12 volumes of 340 GiB, 9 attached; every service is up."
    )
    rows = report.grids[0].rows
    assert [row[0] for row in rows] == ["full", "empty", "endless"]
    assert rows[0][1] == pytest.approx(0.9)
    assert rows[2][1] is None
    assert report.figures["fullest_share"] == pytest.approx(0.9)


def test_what_is_down_is_told() -> None:
    report = storage_report(pool(**{"c1@ceph": {"cinder-volume": "down"}}))
    assert report is not None
    assert report.summary == ("12 volumes of 340 GiB, 9 attached; down: cinder-volume on c1@ceph.")
    assert report.figures["down"] == 1.0
    assert report.grids == ()


def test_a_pool_that_tells_nothing_of_storage_has_no_such_section() -> None:
    assert storage_report(Pool.build([], facts=[Fact("host/h", "disk_gib", "4")])) is None


def test_it_is_a_section_of_every_form_of_the_report(tmp_path: Path) -> None:
    seen = pool(full=FULL)
    view = overview(seen, Policies(CAPABILITIES, {}))
    assert [each.key for each in view.sections][-2:] == ["storage", "wrong"]
    assert "full is fullest (90 % used)" in page(view, {"look": 1.0})
    path = tmp_path / "north.pool"
    write_pool(seen, path)
    words = ["openstack", "report", "--pool", str(path)]
    plain = CliRunner().invoke(app, words)
    assert "storage\tmeasure\tvolumes\tvolumes\t12" in plain.stdout.splitlines()
    document = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    storage = next(each["report"] for each in document["sections"] if each["key"] == "storage")
    assert storage["grids"][0]["rows"][0][0] == "full"
