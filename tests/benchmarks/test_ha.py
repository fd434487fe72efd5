# SPDX-License-Identifier: Apache-2.0
"""What the benchmark of high availability stands on: its parts, its cases, and how it counts."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from benchmarks import ha, ha_cases
from benchmarks.ha_drills import Guests, Recovered
from labs.ha.faults import FAULTS
from labs.ha.stage import Stage


def test_each_part_is_one_that_can_be_chosen() -> None:
    assert {"death", "dead-bmc", "paths", "controllers", "storms", "gray", "peer"} == set(ha.PARTS)


def test_the_gray_cases_are_the_fifteen_and_each_has_its_fault() -> None:
    assert len({each.name for each in ha_cases.CASES}) == 15
    unusual = {each.name for each in ha_cases.CASES if not each.fault}
    assert unusual == set(ha_cases._UNUSUAL)
    assert {each.fault for each in ha_cases.CASES if each.fault} <= set(FAULTS)


def test_a_guest_that_never_spoke_again_is_no_recovery(tmp_path: Path) -> None:
    line = tmp_path / "qemu" / "volumes" / "vm01" / "serial.log"
    line.parent.mkdir(parents=True)
    line.write_text("billow-firmware up cpus=1\nbillow-firmware beat=1 work=0\n")
    lives = Guests(cast("Stage", SimpleNamespace(state=tmp_path)), ["vm01"])
    assert not lives.look()
    assert lives.seconds(0.0) == [math.inf]
    with line.open("a") as serial:
        serial.write("billow-firmware up cpus=1\n")
    assert lives.look()
    assert Recovered(lives.seconds(0.0), []).last_s == pytest.approx(lives.spoke_at["vm01"])
