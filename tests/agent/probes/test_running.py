# SPDX-License-Identifier: Apache-2.0
"""Clocks, pressure, and those who run the guests: whether they still answer."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from labs.ha.patience import until

from billow.agent.probes import timekeeping
from billow.agent.probes.answers import LIMIT_S, Libvirt, Qmp, asked, holds_line
from billow.agent.probes.pressure import Pressure, full_percent
from billow.agent.probes.standstill import WAITS_S, Standstill
from billow.agent.probes.timekeeping import Jumps, judge_chrony
from billow.engines.qemu.monitor import listen
from billow.model.ha.evidence import Hardware


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


def test_guests_that_stand_still_and_that_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billow.agent.probes.answers.WAIT_S", 0.3)
    held = [
        guest(tmp_path / name / "qmp", status)
        for name, status in (("i1", "running"), ("i2", "io-error"), ("i3", ""))
    ]
    found = {each.instance: each.text for each in Qmp(f"{tmp_path}/*/qmp").look(1)}
    assert found == {"i2": "it stands still for an I/O error"}, "i3 has no process any more"
    for listener in held:
        listener.close()
    assert list(Qmp(f"{tmp_path}/*/qmp").look(1)) == []


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[str, Path, subprocess.Popen[bytes]]]:
    """A real QEMU that has not begun to run, at a path longer than a socket's address."""
    name = f"agent-test-{os.getpid()}"
    path = tmp_path / ("long" * 25) / name / "qmp"
    path.parent.mkdir(parents=True)
    server = listen(path)
    process = subprocess.Popen(
        [
            *("qemu-system-x86_64", "-name", f"guest={name},debug-threads=on", "-machine", "none"),
            *("-display", "none", "-nodefaults", "-S", "-mon", "chardev=qmp,mode=control"),
            *("-chardev", f"socket,id=qmp,fd={server.fileno()},server=on,wait=off"),
        ],
        pass_fds=[server.fileno()],
    )
    server.close()
    yield name, path, process
    process.kill()
    process.wait()


def stands_still(pid: int) -> bool:
    """Return whether every thread of a process is stopped."""
    stats = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(each.rpartition(")")[2].split()[0] == "T" for each in stats)


def test_a_guest_that_begins_later_and_stands_still_is_told_until_it_ends(tmp_path: Path) -> None:
    program = tmp_path / "qemu-system-x86_64"
    shutil.copy(shutil.which("dash") or "/bin/sh", program)
    standstill, wall = Standstill(), itertools.count(1)

    def told() -> list[str]:
        found = list(standstill.look(next(wall)))
        return [each.text for each in found if each.instance == tmp_path.name]

    assert told() == []
    command = [str(program), "-c", "read line", "-name", f"guest={tmp_path.name}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        os.kill(process.pid, signal.SIGSTOP)
        assert until(lambda: told() == ["its process is stopped"], 20) < 20
        os.kill(process.pid, signal.SIGCONT)
        assert until(lambda: told() == [], 20) < 20
        process.kill()
    assert told() == []
    kept = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert Path(f"/proc/{process.pid}/stat") not in kept


@pytest.mark.qemu
def test_a_real_qemu_that_answers_is_spoken_to_and_is_stopped(
    machine: tuple[str, Path, subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, path, process = machine
    assert asked(path) == "prelaunch"
    monkeypatch.setattr("billow.agent.probes.answers.WAIT_S", 2.0)
    probe, standstill = Qmp(f"{path.parents[1]}/*/qmp"), Standstill()
    assert list(probe.look(1)) == []
    with socket.socket(socket.AF_UNIX) as other:
        folder = os.open(path.parent, os.O_RDONLY)
        other.connect(f"/proc/self/fd/{folder}/qmp")
        os.close(folder)
        assert other.recv(1000).startswith(b'{"QMP"')
        assert asked(path) is None
        assert list(probe.look(2)) == [], "somebody else speaks with it"
    assert until(lambda: asked(path) == "prelaunch", 20) < 20  # those who waited had their turn
    assert until(lambda: not holds_line(process.pid, "qmp"), 20) < 20
    mine = [each for each in standstill.look(3) if each.instance == name]
    os.kill(process.pid, signal.SIGSTOP)
    assert until(lambda: stands_still(process.pid), 20) < 20  # each thread stops when it has a turn
    assert [each.text for each in probe.look(4)] == ["its QEMU does not answer"]
    assert mine == [each for each in standstill.look(5) if each.instance == name] == []
    [found] = [each for each in standstill.look(5 + WAITS_S) if each.instance == name]
    assert (found.text, found.grade) == ("its process is stopped", Hardware.HURTING)
    os.kill(process.pid, signal.SIGCONT)
    went_on = until(lambda: name not in {each.instance for each in standstill.look(9)}, 20)
    assert went_on < 20
    assert until(lambda: list(probe.look(9)) == [], 20) < 20


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


def test_a_libvirt_that_refuses_has_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    virsh = tmp_path / "virsh"
    refuses = "#!/bin/sh\necho 'error: failed to connect to the hypervisor' >&2; exit 1\n"
    virsh.write_text(refuses)
    virsh.chmod(0o755)
    monkeypatch.setattr("billow.agent.probes.answers.found", lambda name: str(tmp_path / name))
    probe = Libvirt()
    with pytest.raises(OSError, match="failed to connect"):
        probe.look(1)
    assert list(probe.progress()) == [], "it never answered: it may run no guests at all"
    virsh.write_text("#!/bin/sh\nexit 0\n")
    assert list(probe.look(2)) == []
    [answered] = probe.progress()
    virsh.write_text(refuses)
    assert list(probe.look(3)) == []
    assert [each.at for each in probe.progress()] == [answered.at]
