# SPDX-License-Identifier: Apache-2.0
"""What two looks at a process say, on looks that are made up to the second."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from billow.engines.qemu import gauge
from billow.engines.qemu.gauge import Gauge, Use
from billow.engines.qemu.process import Thread


@dataclass
class Machine:
    """A machine on which one process is seen as the test says."""

    now_s: float = 0.0
    cpu_s: float = 0.0
    held_s: float = 0.0
    swapped_mib: float = 0.0
    threads: Sequence[Thread] = field(default_factory=list)

    def look(self, seen: Gauge, **changed: object) -> Use:
        """Let things change, and look."""
        for name, value in changed.items():
            setattr(self, name, value)
        return seen.instance("x", 7, lambda: self.held_s)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr("time.monotonic", lambda: made.now_s)
    monkeypatch.setattr(gauge, "cpu_seconds", lambda _: made.cpu_s)
    monkeypatch.setattr(gauge, "memory_of", lambda _: (64.0, made.swapped_mib))
    monkeypatch.setattr(gauge, "threads", lambda _: tuple(made.threads))
    return made


def vcpu(ran_s: float, waited_s: float, sleeps: int = 0, *, ready: bool = True) -> Thread:
    return Thread(1, True, ran_s, waited_s, sleeps, ready)


def test_the_first_look_tells_amounts_only(machine: Machine) -> None:
    use = machine.look(Gauge(), threads=[vcpu(0, 0)])
    assert use.memory_mib == 64
    assert math.isnan(use.cpu_milli)
    assert math.isnan(use.cpu_wait)


def test_rates_are_of_the_time_between(machine: Machine) -> None:
    seen = Gauge()
    machine.look(seen, threads=[vcpu(0, 0)])
    use = machine.look(
        seen, now_s=4.0, cpu_s=1.0, swapped_mib=8.0, threads=[vcpu(1, 0.5, 9, ready=False)]
    )
    assert (use.cpu_milli, use.cpu_wait, use.runnable) == (250, 0.125, 0.375)
    assert use.swap_mib_s == 2
    assert machine.look(seen, now_s=4.1, cpu_s=1.1) is use, "too soon to tell anything new"


def test_who_never_got_a_turn_waited_all_the_time(machine: Machine) -> None:
    """The kernel adds a wait when it ends; this one has not."""
    seen = Gauge()
    machine.look(seen, threads=[vcpu(0, 0)])
    assert machine.look(seen, now_s=2.0, threads=[vcpu(0, 0)]).cpu_wait == 1.0
    assert machine.look(seen, now_s=4.0, threads=[vcpu(0, 0, ready=False)]).cpu_wait == 0.0


def test_what_the_limit_kept_from_it_is_no_wait(machine: Machine) -> None:
    seen = Gauge()
    machine.look(seen, threads=[vcpu(0, 0)])
    use = machine.look(seen, now_s=10.0, cpu_s=1.0, held_s=7.0, threads=[vcpu(1, 9)])
    assert use.cpu_wait == pytest.approx(0.2)
    assert use.runnable == pytest.approx(0.3)


def test_another_process_begins_anew(machine: Machine) -> None:
    seen = Gauge()
    machine.look(seen, threads=[vcpu(0, 0)])
    machine.now_s = 4.0
    assert math.isnan(seen.instance("x", 8, lambda: 0.0).cpu_milli)
    assert seen.instance("x", None, lambda: 0.0) == Use()


def test_the_load_follows_within_a_minute(machine: Machine) -> None:
    seen, still = Gauge(), (math.nan, math.nan)
    assert seen.host("h", [], still).load == 0
    machine.now_s = 60.0
    use = seen.host("h", [Use(runnable=2.0), Use(cpu_milli=500.0)], (0.5, 0.0))
    assert use.load == pytest.approx(2 * (1 - math.exp(-1)))
    assert (use.cpu_milli, use.cpu_pressure) == (500, 0.5)
    assert math.isnan(Gauge().host("h", [Use()], still).load)
