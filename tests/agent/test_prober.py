# SPDX-License-Identifier: Apache-2.0
"""Probes that begin late, that cannot look and that find too much; the prober goes on."""

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from billow.agent import prober
from billow.agent.check import check
from billow.agent.findings import Findings
from billow.agent.options import Options
from billow.agent.prober import Prober, Running, blind_probes
from billow.agent.probes.probe import Probe
from billow.agent.report import MOST_DATAGRAM, MOST_SYMPTOMS, MOST_TEXT, Report
from billow.model.ha.evidence import Hardware, Symptom
from billow.model.ha.wire import MOST_BYTES
from tests.agent.test_memory import until

Make = Callable[..., Prober]


def symptom(number: int, text: str = "ill", grade: Hardware = Hardware.HURTING) -> Symptom:
    return Symptom("drive", f"sd{number:05}", grade, text, 1.0)


class Doubtful(Probe):
    """Finds what it is told to, or stumbles."""

    name = "doubtful"
    period_s = 0.01

    def __init__(self) -> None:
        self.lacks = ""
        self.finds: list[Symptom] = []
        self.stumbles: Exception | None = None
        self.looks = 0

    def missing(self) -> str:
        if isinstance(self.stumbles, KeyError):
            raise self.stumbles
        return self.lacks

    def look(self, wall: float) -> Iterable[Symptom]:
        del wall
        self.looks += 1
        yield from self.finds
        if self.stumbles:
            raise self.stumbles


class Other(Doubtful):
    """Another one."""

    name = "other"


class Ears:
    """A speaker's end of the line to the prober."""

    def __init__(self) -> None:
        self.socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)

    def heard(self) -> dict[str, list[dict[str, object]]]:
        data = self.socket.recv(1 << 20)
        assert len(data) <= MOST_DATAGRAM
        document: dict[str, list[dict[str, object]]] = json.loads(data)
        return document


@pytest.fixture
def ears() -> Iterator[Ears]:
    made = Ears()
    yield made
    made.socket.close()
    made.theirs.close()


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(host="h1", state=tmp_path, boot="b")


@pytest.fixture
def make(ears: Ears, options: Options, monkeypatch: pytest.MonkeyPatch) -> Make:
    def made(*probes: Probe) -> Prober:
        monkeypatch.setattr(prober, "all_probes", lambda _: probes)
        return Prober(options, ears.theirs)

    return made


def test_what_comes_after_the_agent_is_looked_at(make: Make) -> None:
    probe = Doubtful()
    probe.lacks = "its daemon does not run"
    made = make(probe)
    made.seek()
    assert made._running == []
    probe.lacks = ""
    made.seek()
    until(lambda: probe.looks > 2)
    made.seek()
    assert len(made._running) == 1


def test_a_probe_that_stumbles_keeps_what_it_had_found_and_looks_on(make: Make) -> None:
    probe = Doubtful()
    probe.finds = [symptom(1)]
    made = make(probe)
    made.seek()
    until(lambda: list(made._found()) == [symptom(1)])
    probe.finds, probe.stumbles = [], ZeroDivisionError("of nothing")
    looks = probe.looks
    until(lambda: probe.looks > looks + 5)
    running = made._running[0]
    assert list(made._found()) == [symptom(1)]
    assert running.blind == "ZeroDivisionError: of nothing"
    came_back_at = running.came_back_at
    until(lambda: running.came_back_at > came_back_at)
    probe.stumbles = None
    until(lambda: not list(made._found()) and not running.blind)


def test_which_probe_cannot_look_is_said_once_and_kept_for_the_check(
    make: Make,
    options: Options,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probe = Doubtful()
    made = make(probe)
    running = Running(probe, made._ring)
    made._running.append(running)
    made.admit()
    probe.stumbles = OSError(5, "Input/output error")
    running.once()
    for _ in range(3):
        made.admit()
    why = "[Errno 5] Input/output error"
    assert capsys.readouterr().err == f"billow agent: the probe of doubtful cannot look: {why}\n"
    assert blind_probes(options.state) == {"doubtful": why}
    monkeypatch.setattr("billow.agent.check.all_probes", lambda _: (probe,))
    check(options, as_json=False)
    assert f"WARNING doubtful         the running agent cannot look: {why}\n" in (
        capsys.readouterr().out
    )
    probe.stumbles = None
    running.once()
    made.admit()
    assert capsys.readouterr().err == "billow agent: the probe of doubtful looks again\n"
    assert blind_probes(options.state) == {}


def test_a_probe_that_stumbles_over_what_it_lacks_keeps_no_other_from_beginning(
    make: Make, options: Options
) -> None:
    first, second = Doubtful(), Other()
    first.stumbles = KeyError("HardwareCorrupted")
    made = make(first, second)
    made.seek()
    until(lambda: second.looks > 0)
    made.admit()
    assert blind_probes(options.state) == {"doubtful": "KeyError: 'HardwareCorrupted'"}


def test_of_too_much_the_worst_is_told(make: Make, ears: Ears, options: Options) -> None:
    made = make()
    running = Running(Doubtful(), made._ring)
    made._running.append(running)
    running.found = (
        *(symptom(number, "\N{SNOWMAN}" * 5000) for number in range(3000)),
        symptom(9999, "worst", Hardware.FATAL),
    )
    made.tell()
    heard = ears.heard()
    assert heard["symptoms"][0]["text"] == "worst"
    assert 20 < len(heard["symptoms"]) <= MOST_SYMPTOMS
    findings = Findings(options)
    assert findings.take(heard, 0.0) == "worst"


def test_what_the_kernel_does_not_take_is_said_again(
    make: Make, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prober, "MOST_DATAGRAM", 1 << 30)
    ears.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    made = make()
    running = Running(Doubtful(), made._ring)
    made._running.append(running)
    running.found = tuple(symptom(number, "x" * MOST_TEXT) for number in range(60))
    made.tell()
    assert made._told_at == 0
    running.found = (symptom(1),)
    made.tell()
    assert len(ears.heard()["symptoms"]) == 1


def test_a_part_that_fits_into_no_frame_is_cut() -> None:
    report = Report()
    report.symptoms(symptom(number, "\N{SNOWMAN}" * 5000) for number in range(3000))
    report.put("guests", [f"{number:036}" for number in range(5000)])
    report.died("i" * 10, 1.0, "x" * 5000)
    seen: dict[str, int] = {}
    told: dict[str, list[object]] = {}
    while body := report.body(seen):
        assert len(body) <= MOST_BYTES
        told |= json.loads(body)
    assert told.keys() == {"symptoms", "guests", "died"}
    assert len(told["symptoms"]) >= 20
    assert len(told["guests"]) == 1250
