# SPDX-License-Identifier: Apache-2.0
"""What instances and hosts really use, from two looks at their processes. Changes nothing.

A rate needs two looks, so the first one tells amounts only; looks that follow closely repeat what
was told. A host of this engine is a share of this machine: what is told of it is told of the
processes of its instances, not of the whole machine.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from billow.engines.qemu.process import Thread, cpu_seconds, memory_of, threads

_SHORTEST_S: Final = 0.5
"""CPU use over less than that says nothing."""
_LOAD_S: Final = 60.0
"""Over how long a load is averaged, as the kernel's first load average is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one instance uses.

    Attributes:
        cpu_milli: Thousandths of a CPU.
        memory_mib: What its process has in this machine's memory.
        cpu_wait: Share of time in which its vCPUs could have run and got no CPU, averaged; what
            its own limit kept from it is not counted.
        ballooned_mib: What its guest gave back.
        runnable: Threads that ran or wanted to, on average.
        swap_mib_s: To and from disk.
        disk_mib: What its disk takes.
    """

    cpu_milli: float = math.nan
    memory_mib: float = math.nan
    cpu_wait: float = math.nan
    ballooned_mib: float = math.nan
    runnable: float = math.nan
    swap_mib_s: float = math.nan
    disk_mib: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """What the instances of one host use; as the columns of `Host` say."""

    cpu_milli: float = 0.0
    memory_mib: float = 0.0
    load: float = math.nan
    cpu_pressure: float = math.nan
    memory_pressure: float = math.nan
    swap_mib_s: float = math.nan


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at one process: totals since it began."""

    process: int
    at_s: float
    cpu_s: float
    held_s: float
    threads: dict[int, Thread]
    memory_mib: float
    swapped_mib: float


@dataclass(slots=True)
class Gauge:
    """Remembers the last look at each process, and the load of each host."""

    _looks: dict[str, tuple[_Look, Use]] = field(default_factory=dict)
    _loads: dict[str, tuple[float, float]] = field(default_factory=dict)

    def instance(self, name: str, process: int | None, held_s: Callable[[], float]) -> Use:
        """Return what an instance with this process uses; `held_s` tells how long it was held."""
        if process is None:
            return Use()
        last = self._looks.get(name)
        if last is not None and last[0].process != process:
            last = None
        if last is not None and time.monotonic() - last[0].at_s < _SHORTEST_S:
            return last[1]
        look = _look(process, held_s())
        use = Use(memory_mib=look.memory_mib) if last is None else _between(last[0], look)
        self._looks[name] = (look, use)
        return use

    def forget_others(self, names: Iterable[str]) -> None:
        """Remember these instances only."""
        self._looks = {name: self._looks[name] for name in self._looks.keys() & set(names)}

    def host(self, name: str, uses: Iterable[Use], pressure: tuple[float, float]) -> HostUse:
        """Return what a host's instances use together; what was not seen counts as nothing."""
        mine = list(uses)
        swapped = [use.swap_mib_s for use in mine]
        return HostUse(
            cpu_milli=_sum(use.cpu_milli for use in mine),
            memory_mib=_sum(use.memory_mib for use in mine),
            load=self._load(name, [use.runnable for use in mine]),
            cpu_pressure=pressure[0],
            memory_pressure=pressure[1],
            swap_mib_s=_sum(swapped) if _any_seen(swapped) else math.nan,
        )

    def _load(self, host: str, runnable: list[float]) -> float:
        """Let the load follow what runs now, as fast as the kernel's load average does."""
        now, last = time.monotonic(), self._loads.get(host)
        if last is not None and now - last[0] < _SHORTEST_S:
            return last[1]
        if not _any_seen(runnable):
            return math.nan if last is None else last[1]
        current, load = _sum(runnable), 0.0
        if last is None:
            load = current
        else:
            load = current + (last[1] - current) * math.exp((last[0] - now) / _LOAD_S)
        self._loads[host] = (now, load)
        return load


def _look(process: int, held_s: float) -> _Look:
    memory_mib, swapped_mib = memory_of(process)
    return _Look(
        process=process,
        at_s=time.monotonic(),
        cpu_s=cpu_seconds(process),
        held_s=held_s,
        threads={thread.number: thread for thread in threads(process)},
        memory_mib=memory_mib,
        swapped_mib=swapped_mib,
    )


def _between(before: _Look, now: _Look) -> Use:
    """Return the use between two looks at one process."""
    passed_s = now.at_s - before.at_s
    cpus = max(0.0, (now.cpu_s - before.cpu_s) / passed_s)
    waits = {
        number: min(1.0, max(0.0, _waited_s(before.threads[number], thread, passed_s) / passed_s))
        for number, thread in now.threads.items()
        if number in before.threads
    }
    held = max(0.0, (now.held_s - before.held_s) / passed_s)
    vcpus = [wait for number, wait in waits.items() if now.threads[number].is_vcpu]
    return Use(
        cpu_milli=1000 * cpus,
        memory_mib=now.memory_mib,
        cpu_wait=max(0.0, math.fsum(vcpus) - held) / len(vcpus) if vcpus else math.nan,
        runnable=cpus + max(0.0, math.fsum(waits.values()) - held),
        swap_mib_s=abs(now.swapped_mib - before.swapped_mib) / passed_s,
    )


def _waited_s(before: Thread, now: Thread, passed_s: float) -> float:
    """Return how long a thread waited; one that never slept waited whenever it did not run."""
    if now.sleeps == before.sleeps and now.ready and before.ready:
        return passed_s - (now.ran_s - before.ran_s)
    return now.waited_s - before.waited_s


def _any_seen(values: list[float]) -> bool:
    """Return whether there is nothing to see, or something of it was seen."""
    return not values or not all(map(math.isnan, values))


def _sum(values: Iterable[float]) -> float:
    return math.fsum(value for value in values if not math.isnan(value))
