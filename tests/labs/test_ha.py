# SPDX-License-Identifier: Apache-2.0
"""The lab of high availability: its networks, its faults, and auditors that find what is wrong."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from labs.ha import audit, frozen, space, wire
from labs.ha.faults import FAULTS, Reach, struck
from labs.ha.lab import Lab, check
from labs.ha.layout import layout_of, read, written
from labs.ha.space import LabError

from billow.model.ha.evidence import NETWORKS, Network

STUB = Path(__file__).parents[2] / "labs/ha/stub.py"
TENANT = Network.TENANT
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root: it makes namespaces")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab.planned(tmp_path / "lab", 3, controllers=1, racks=2)
    made.up()
    yield made
    made.down()
    assert not list(Path("/run/netns").glob(f"{made.layout.tag}*"))


def seen(lab: Lab, host: int = 0) -> list[bool]:
    return [lab.reaches(lab.hosts[host], network, 201) for network in NETWORKS]


def sees(lab: Lab, expected: list[bool], host: int = 0) -> None:
    """Wait until it is so: a kernel takes up to a second to notice that a cable is back."""
    space.until(lambda: seen(lab, host) == expected, f"{expected} is not so")


def whole(lab: Lab) -> None:
    """Wait until every node reaches every network; a LabError when that does not come."""
    space.until(lambda: lab.check() == {}, "not every node reaches every network")


def guest(lab: Lab, host: int, name: str, disk: Path, address: str) -> subprocess.Popen[bytes]:
    node = lab.hosts[host]
    words = (sys.executable, "-IS", str(STUB), name, str(disk), "ten0", address)
    return lab.start(node, name, words)


def test_a_layout_is_read_as_it_was_written(tmp_path: Path) -> None:
    layout = layout_of(tmp_path, 5, 3, 2)
    assert read(written(layout)) == layout
    assert [each.rack for each in layout.hosts] == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("counts", [(0, 3, 1), (3, 3, 4), (121, 3, 1), (3, 10, 1)])
def test_a_lab_that_does_not_fit_is_refused(tmp_path: Path, counts: tuple[int, int, int]) -> None:
    with pytest.raises(LabError, match="do not fit"):
        layout_of(tmp_path, *counts)


def test_whoever_is_not_root_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        check()


@as_root
def test_a_lab_comes_up_twice_and_every_node_reaches_every_network(lab: Lab) -> None:
    whole(lab)
    lab.up()
    whole(lab)


@pytest.mark.thorough
@as_root
def test_networks_suffer_and_are_mended(lab: Lab) -> None:
    with struck("link", lab, lab.hosts[0], networks=(TENANT,)):
        sees(lab, [True, False, True])
    with struck("mute", lab, lab.hosts[0], networks=(Network.STORAGE,)):
        sees(lab, [True, True, False])
    with struck("part", lab, lab.hosts[0], networks=(TENANT,), peer=lab.controllers[0]):
        sees(lab, [True, False, True])
        assert lab.reaches(lab.hosts[0], TENANT)
    with struck("mtu", lab, lab.hosts[0], networks=(TENANT,), amount=50):
        sees(lab, [True, False, True])
    with struck("rack", lab, lab.hosts[2]):
        sees(lab, [False] * 3, 2)
    with struck("gateway", lab, lab.hosts[0]):
        assert not lab.reaches(lab.hosts[0], TENANT)
        sees(lab, [True] * 3)
    whole(lab)


@as_root
def test_what_is_frozen_still_ends_when_its_power_is_cut(lab: Lab) -> None:
    node = lab.hosts[0]
    process = lab.start(node, "agent", frozen.with_disks(lab.folder(node), ("sleep", "600")))
    space.until(lambda: space.words_of(process.pid)[:1] == ("sleep",), "no sleep")
    reach = Reach(lab=lab, node=node)
    FAULTS["readonly"].begin(reach)
    FAULTS["readonly"].mend(reach)
    FAULTS["disk"].begin(reach)
    FAULTS["starve"].begin(Reach(lab=lab, node=node, what="agent"))
    FAULTS["freeze"].begin(reach)
    assert lab.powered(node)
    FAULTS["power"].begin(reach)
    assert process.wait(10) == -9
    assert not lab.processes(node)
    assert not lab.powered(node)
    sees(lab, [False] * 3)
    FAULTS["power"].mend(reach)
    sees(lab, [True] * 3)


@as_root
def test_auditors_find_a_double_run_on_the_disk_and_on_the_network(
    lab: Lab, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    script = str(STUB.with_name("listener.py"))
    words = (sys.executable, "-IS", script, "tsw0", str(heard))
    listener = space.spawn(lab.layout.fabric, words, tmp_path / "log")
    space.until(heard.exists, "the listener does not listen")
    disks = tmp_path / "disks"
    disks.mkdir()
    names = {"10.79.2.100": "one"}
    first = guest(lab, 0, "one", disks / "one.disk", "10.79.2.100")
    space.until(lambda: bool(audit.of_network(heard, names).seen), "nothing is heard")
    refused = guest(lab, 1, "one", disks / "one.disk", "10.79.2.100")
    assert refused.wait(10) == 3  # the lock holds
    lab.power_off(lab.hosts[0])
    first.wait(10)
    second = guest(lab, 1, "one", disks / "one.disk", "10.79.2.100")
    space.until(lambda: audit.of_network(heard, names).seen == 2, "the second is not heard")
    assert audit.of_disks(disks).doubles == ()
    assert audit.of_disks(disks).seen == 2
    assert audit.of_network(heard, names).doubles == ()

    rogue = guest(lab, 2, "rogue", tmp_path / "elsewhere", "10.79.2.100")  # a lock that is no lock
    space.until(lambda: bool(audit.of_network(heard, names).doubles), "the double run is not heard")
    for each in (second, rogue, listener):
        each.kill()
        each.wait()
    with (disks / "one.disk").open("a") as disk:  # the dead life wrote once more
        early = json.loads((disks / "one.disk").read_text().splitlines()[0])
        disk.write(json.dumps({**early, "at": time.monotonic()}) + "\n")
    assert len(audit.of_disks(disks).doubles) == 2


def test_a_serial_line_of_two_lives_at_once_is_found(tmp_path: Path) -> None:
    line = tmp_path / "vm" / "serial.log"
    line.parent.mkdir()
    life = ["billow-firmware up cpus=1", *(f"billow-firmware beat={n} work=0" for n in (1, 2, 3))]
    line.write_text("\n".join([*life, *life]))
    assert audit.of_serial(tmp_path) == audit.Finding("serial lines", 2, ())
    line.write_text("\n".join([*life, life[0], life[1], "billow-firmware beat=4 work=0"]))
    assert audit.of_serial(tmp_path).doubles == ("vm: beat 4 after 1",)


@as_root
def test_a_process_in_two_namespaces_is_found(lab: Lab, tmp_path: Path) -> None:
    fake = tmp_path / "qemu-system-fake"
    fake.symlink_to(sys.executable)
    words = (str(fake), "-ISc", "import time; time.sleep(600)", "-name", "guest=one")
    watch = audit.Watch(audit.spaces_of((each.name, each.netns) for each in lab.hosts))
    lab.start(lab.hosts[0], "guest", words)
    lab.start(lab.hosts[1], "incoming", (*words, "-incoming", "defer"))
    watch.look()
    assert watch.finding == audit.Finding("processes", 1, ())
    lab.start(lab.hosts[2], "guest", words)
    watch.look()
    assert watch.finding.doubles == ("one runs on h1 and h3",)
    assert watch.started_elsewhere("one", "h1", 0.0) is not None


@as_root
def test_what_moved_live_is_in_one_place_and_counts_there(lab: Lab, tmp_path: Path) -> None:
    fake = tmp_path / "qemu-system-fake"
    fake.symlink_to(sys.executable)
    words = (str(fake), "-ISc", "import time; time.sleep(600)", "-name", "guest=one")
    watch = audit.Watch(audit.spaces_of((each.name, each.netns) for each in lab.hosts))
    lab.start(lab.hosts[0], "guest", words)
    lab.start(lab.hosts[1], "incoming", (*words, "-incoming", "defer"))
    watch.look()
    lab.stop(lab.hosts[0], "guest")
    watch.look()
    assert watch.finding == audit.Finding("processes", 2, ())
    assert watch.started_elsewhere("one", "h1", 0.0) is not None
    lab.start(lab.hosts[0], "again", words)
    watch.look()
    assert watch.finding.doubles == ("one runs on h1 and h2",)


@as_root
def test_cables_of_a_rack_and_its_switches_are_told_apart(lab: Lab) -> None:
    with struck("switch", lab, lab.hosts[0], networks=(TENANT,)):
        assert not lab.reaches(lab.hosts[0], TENANT, lab.hosts[1].number)
    wire.cut_rack(lab, 1)
    neighbour = lab.hosts[1].number  # its port has just come up: the first call may be lost
    space.until(lambda: lab.reaches(lab.hosts[0], TENANT, neighbour), "its neighbour is away")
    wire.plug_rack(lab, 1)
    whole(lab)
