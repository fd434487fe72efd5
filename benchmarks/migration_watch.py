# SPDX-License-Identifier: Apache-2.0
"""Watch a firmware guest from outside while it moves: the work and the stalls of each vCPU.

QEMU talks to one client at a time, and that is the one who moves the guest. So the guest's control
pages are read out of the two processes' memory. A page that is not there yet is never touched:
under post-copy that would put an empty one in its place.
"""

import os
import re
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from billow.engines.qemu.process import threads
from billow.firmware.control import ADDRESS, PAGE

EVERY_S = 0.02
_WAITS_EVERY = 10
_WORDS = struct.Struct("<9Q")
_GAP, _STAMP = 7, 8
_PRESENT = 1 << 63
_SIZE = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Mark:
    """What one vCPU says at one moment: units done, the longest pause and now, in its ticks."""

    work: int
    gap: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What all vCPUs say on one host; `at` is this machine's monotonic clock."""

    at: float
    host: str
    marks: tuple[Mark, ...]


class GuestMemory:
    """The memory of the guest in one QEMU process. Close it when done.

    Attributes:
        begin: Where the guest's first byte is in the process.
        handle: The process's memory, as an open file.
    """

    def __init__(self, process: int, memory_mib: int) -> None:
        """Find it. Raises LookupError when it is not (or no longer) there."""
        self.begin = _base(process, memory_mib * 2**20)
        try:
            self.handle = os.open(f"/proc/{process}/mem", os.O_RDWR | os.O_CLOEXEC)
            self._map = os.open(f"/proc/{process}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise LookupError(process) from error

    def close(self) -> None:
        """Let go of the process."""
        os.close(self.handle)
        os.close(self._map)

    def mark(self, cpu: int) -> Mark | None:
        """Return what a vCPU says; None while its page is not there."""
        place = ADDRESS + cpu * PAGE
        try:
            entry = os.pread(self._map, 8, (self.begin + place) // PAGE * 8)
            if len(entry) < 8 or not _SIZE.unpack(entry)[0] & _PRESENT:
                return None
            found = os.pread(self.handle, _WORDS.size, self.begin + place)
        except OSError:
            return None
        if len(found) < _WORDS.size:
            return None
        words = _WORDS.unpack(found)
        return Mark(words[0], words[_GAP], words[_STAMP])

    def forget_pauses(self, cpus: int) -> None:
        """Let each vCPU look for its longest pause anew."""
        for cpu in range(cpus):
            place = self.begin + ADDRESS + cpu * PAGE + _GAP * 8
            os.pwrite(self.handle, bytes(8), place)


class Watch(threading.Thread):
    """Samples a guest on the hosts that have a process of it, until `end` is called."""

    def __init__(self, pids: Mapping[str, Path], cpus: int, memory_mib: int) -> None:
        super().__init__(name="watch", daemon=True)
        self.samples: list[Sample] = []
        self._pids, self._cpus, self._memory_mib = dict(pids), cpus, memory_mib
        self._found: dict[str, GuestMemory] = {}
        self._waits: dict[str, list[tuple[float, float]]] = {}
        self._over = threading.Event()

    def run(self) -> None:
        """Sample until it is over."""
        while not self._over.wait(EVERY_S):
            for host in self._pids:
                self._sample(host)
        for memory in self._found.values():
            memory.close()

    def end(self) -> None:
        """Stop sampling, and wait until it is so."""
        self._over.set()
        self.join()

    def _sample(self, host: str) -> None:
        memory = self._found.get(host)
        if memory is None:
            memory = self._look_for(host)
            if memory is None:
                return
            self._found[host] = memory
        marks = [memory.mark(cpu) for cpu in range(self._cpus)]
        known = tuple(mark for mark in marks if mark is not None)
        if len(known) == self._cpus:
            self.samples.append(Sample(time.monotonic(), host, known))
            if len(self.samples) % _WAITS_EVERY == 0:
                self._look_at_waits(host)

    def waited(self, host: str) -> float:
        """Return the share of time in which the busiest vCPU on a host wanted a CPU in vain."""
        seen = self._waits.get(host, [])
        passed = seen[-1][0] - seen[0][0] if seen else 0.0
        return (seen[-1][1] - seen[0][1]) / passed if passed > 0 else float("nan")

    def _look_at_waits(self, host: str) -> None:
        try:
            found = threads(int(self._pids[host].read_text()))
        except (OSError, ValueError):
            return  # it is gone
        waits = [thread.waited_s for thread in found if thread.is_vcpu]
        if waits:
            self._waits.setdefault(host, []).append((time.monotonic(), max(waits)))

    def _look_for(self, host: str) -> GuestMemory | None:
        try:
            return GuestMemory(int(self._pids[host].read_text()), self._memory_mib)
        except (OSError, ValueError, LookupError):
            return None  # it has not said so yet


def on_host(samples: Sequence[Sample], host: str) -> list[Sample]:
    """Return the samples of one host."""
    return [sample for sample in samples if sample.host == host]


def arrival(samples: Sequence[Sample], source: str, target: str) -> Sample | None:
    """Return the first sample in which the guest works on the target; None when it does not."""
    last = on_host(samples, source)[-1].marks
    for sample in on_host(samples, target):
        if any(now.stamp > then.stamp for now, then in zip(sample.marks, last, strict=True)):
            return sample
    return None


def rate(first: Mark, last: Mark) -> float:
    """Return units per tick between two marks of a vCPU; not a number when no time passed."""
    passed = last.stamp - first.stamp
    return (last.work - first.work) / passed if passed > 0 else float("nan")


def courses(
    samples: Sequence[Sample], rates_s: Sequence[float], step_s: float
) -> list[list[tuple[float, float]]]:
    """Return, for each vCPU, its work over time in % of its rate, from the first sample on."""
    found: list[list[tuple[float, float]]] = [[] for _ in rates_s]
    if not samples:
        return found
    most, steps = _most(samples), [samples[0]]
    for sample in most:
        if sample.at - steps[-1].at >= step_s:
            for cpu, each in enumerate(rates_s):
                done = sample.marks[cpu].work - steps[-1].marks[cpu].work
                passed = sample.at - steps[-1].at
                middle = (sample.at + steps[-1].at) / 2 - samples[0].at
                found[cpu].append((middle, 100 * done / passed / each))
            steps.append(sample)
    return found


def _most(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples with each vCPU's furthest work: the copy that is not home lags behind."""
    best, found = list(samples[0].marks), []
    for sample in samples:
        best = [max(a, b, key=_work) for a, b in zip(best, sample.marks, strict=True)]
        found.append(Sample(sample.at, sample.host, tuple(best)))
    return found


def _work(mark: Mark) -> int:
    return mark.work


def _base(process: int, size: int) -> int:
    """Return where the guest's memory begins in a process. Raises LookupError."""
    try:
        text = Path(f"/proc/{process}/maps").read_text()
    except OSError as error:
        raise LookupError(process) from error
    for begin, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", text, re.MULTILINE):
        if int(end, 16) - int(begin, 16) == size:
            return int(begin, 16)
    raise LookupError(process)
