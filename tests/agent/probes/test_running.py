# SPDX-License-Identifier: Apache-2.0
"""Clocks, pressure, and those who run the guests: whether they still answer."""

import json
import socket
import threading
import time
from pathlib import Path

import pytest

from billow.agent.probes import timekeeping
from billow.agent.probes.answers import LIMIT_S, Libvirt, Qmp
from billow.agent.probes.pressure import Pressure, full_percent
from billow.agent.probes.timekeeping import Jumps, judge_chrony


def test_a_clock_that_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    offset = [100.0]
    monkeypatch.setattr(timekeeping, "_offset_s", lambda: offset[0])
    probe = Jumps()
    assert list(probe.look(1)) == []
    offset[0] += 0.01
    assert list(probe.look(2)) == [], "what a clock is slewed by is no jump"
    offset[0] += 3600
    assert [each.text for each in probe.look(3)] == ["the clock jumped by +3600.0 s"]
    assert len(list(probe.look(4))) == 1


CHRONY = (
    "A9FEA97B,169.254.169.123,4,1700000000.1,{off},0.000012,0.00002,"
    "-12.3,0.0,0.02,0.0002,0.0001,16.1,{leap}\n"
)


def test_what_chrony_says() -> None:
    good = CHRONY.format(off="-0.000004", leap="Normal")
    assert list(judge_chrony(good, 1)) == []
    assert [e.subject for e in judge_chrony(CHRONY.format(off="0.7", leap="Normal"), 1)] == [
        "offset"
    ]
    lost = CHRONY.format(off="0.0", leap="Not synchronised")
    assert [each.subject for each in judge_chrony(lost, 1)] == ["sources"]
    assert list(judge_chrony("506 Cannot talk to daemon\n", 1)) == []


def test_pressure(tmp_path: Path) -> None:
    some = "some avg10=2.02 avg60=1.78 avg300=6.91 total=148\n"
    quiet = some + "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    assert full_percent(quiet) == 0
    for name in ("memory", "io"):
        (tmp_path / name).write_text(quiet)
    assert list(Pressure(tmp_path).look(1)) == []
    (tmp_path / "memory").write_text(quiet.replace("full avg10=0.00", "full avg10=44.50"))
    assert [each.subject for each in Pressure(tmp_path).look(1)] == ["memory"]
    assert Pressure().missing() == ""
    assert list(Pressure().look(1)) == []


def guest(path: Path, status: str) -> socket.socket:
    """Listen as a QEMU of one state; it hangs when that is empty."""
    listener = socket.socket(socket.AF_UNIX)
    path.parent.mkdir(exist_ok=True)
    listener.bind(str(path))
    listener.listen()

    def answer() -> None:
        line, _ = listener.accept()
        with line, line.makefile("rwb") as stream:
            stream.write(b'{"QMP": {"version": {}, "capabilities": []}}\n')
            stream.flush()
            for reply in ({}, {"status": status, "running": status == "running"}):
                stream.readline()
                stream.write(json.dumps({"return": reply}).encode() + b"\n")
                stream.flush()

    if status:
        threading.Thread(target=answer, daemon=True).start()
    return listener


def test_guests_that_run_stand_still_and_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billow.agent.probes.answers.WAIT_S", 0.3)
    held = [
        guest(tmp_path / name / "qmp", status)
        for name, status in (("i1", "running"), ("i2", "io-error"), ("i3", ""))
    ]
    held[0].getsockname()
    found = {each.instance: each.text for each in Qmp(f"{tmp_path}/*/qmp").look(1)}
    assert found == {
        "i2": "it stands still for an I/O error",
        "i3": "its QEMU does not answer",
    }
    for listener in held:
        listener.close()


def test_a_libvirt_that_hangs_is_told_by_its_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virsh = tmp_path / "virsh"
    virsh.write_text("#!/bin/sh\nexit 0\n")
    virsh.chmod(0o755)
    monkeypatch.setattr("billow.agent.probes.answers.found", lambda name: str(tmp_path / name))
    monkeypatch.setattr("billow.agent.probes.answers.WAIT_S", 0.2)
    probe = Libvirt()
    assert list(probe.look(1)) == []
    [answered] = probe.progress()
    virsh.write_text("#!/bin/sh\nexec sleep 60\n")
    began = time.monotonic()
    assert list(probe.look(2)) == []
    assert time.monotonic() - began < 2
    [hangs] = probe.progress()
    assert hangs.at == answered.at
    assert hangs.limit_s == LIMIT_S
