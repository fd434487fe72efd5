# SPDX-License-Identifier: Apache-2.0
"""All of high availability on its lab: real agents, controllers, guests; judged from outside."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.ha_drills import Guests, audited, died, on, staged
from labs.ha import space
from labs.ha.audit import Watch
from labs.ha.faults import struck
from labs.ha.patience import until
from labs.ha.stage import Plan, Stage

from billow.model.ha.evidence import Network
from billow.model.ha.incident import Phase

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.qemu,
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root: it makes namespaces"),
]


@pytest.fixture
def stage() -> Iterator[tuple[Stage, Watch]]:
    with staged(Plan(hosts=4, instances=2, beside=1, bmc="redfish")) as made:
        yield made


def test_a_dead_hosts_instances_run_elsewhere_once(stage: tuple[Stage, Watch]) -> None:
    lab, watch = stage
    came = died(lab, watch, lab.hosts[0])
    assert came.last_s < 30, came
    assert came.doubles == []
    assert lab.bmcs["h1"].orders, "nobody asked for proof"


def test_a_controllers_own_cut_cable_ends_no_instance(stage: tuple[Stage, Watch]) -> None:
    lab, watch = stage
    watch.look()
    lives = Guests(lab, sorted({name for name, _ in watch.last}))
    with struck("link", lab.lab, lab.leader(), networks=(Network.STORAGE,)):
        time.sleep(15)
    lives.look()
    assert lives.spoke_at == {}
    assert not [each for each in lab.incidents() if each.phase is not Phase.NOTED]
    assert audited(lab, watch) == []


def test_a_lost_storage_path_needs_no_power_cycle(stage: tuple[Stage, Watch]) -> None:
    lab, watch = stage
    lives = Guests(lab, on("h1", watch))
    with struck("link", lab.lab, lab.hosts[0], networks=(Network.STORAGE,)):
        assert until(lives.look, 60) < 60
    assert lab.bmcs["h1"].orders == []
    assert audited(lab, watch) == []


def stand_ins(folder: str) -> list[int]:
    """Return the watchdogs' stand-ins of a stage: they ignore all but SIGKILL."""
    numbers = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    words = {number: space.words_of(number) for number in numbers}
    return [each for each, said in words.items() if "stand-in" in said and folder in str(said)]


def test_nothing_is_left_of_a_stage() -> None:
    with tempfile.TemporaryDirectory(prefix="bha") as folder:
        Path(folder).chmod(0o755)  # the database is another user's
        made = Stage(Path(folder) / "s", Plan(hosts=2, instances=1, racks=1, lease_s=4.0))
        with made:
            tag = made.lab.layout.tag
            until(lambda: len(stand_ins(folder)) == 2, 30)
        assert stand_ins(folder) == []
        assert not list(Path("/run/netns").glob(f"{tag}*"))
        assert not (Path(folder) / "s").exists()
