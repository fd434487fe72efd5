# SPDX-License-Identifier: Apache-2.0
"""Did any instance run twice? Asked of the disks, of the network and of the kernel's processes.

Nothing here reads what Billow wrote down of itself. A finding is a sentence with both lives and the
time that they shared; no finding is the good answer. Each auditor says how much it saw, since an
auditor that saw nothing has no opinion.
"""

import contextlib
import itertools
import json
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from labs.ha import space

Life = tuple[float, float]
"""From when to when something was seen alive, monotonic seconds."""

_SEEN_OFTEN: Final = 40
_GUEST: Final = re.compile(r"guest=([^,\s]+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """What an audit came to.

    Attributes:
        seen: How many lives were seen.
        doubles: Every pair of lives of one instance that overlapped, one sentence each.
    """

    what: str
    seen: int
    doubles: tuple[str, ...]


def of_disks(folder: Path) -> Finding:
    """Judge the writer logs of disks (`NAME.disk`): two lives of one may never overlap."""
    lives: dict[str, dict[str, Life]] = defaultdict(dict)
    order: dict[str, list[str]] = defaultdict(list)
    for file in sorted(folder.glob("*.disk")):
        for entry in _lines(file):
            name, life = str(entry["instance"]), str(entry["life"])
            _extend(lives[name], life, float(str(entry["at"])))
            if not order[name] or order[name][-1] != life:
                order[name].append(life)
    doubles = [*_overlaps(lives), *_returned(order)]
    return Finding("disks", sum(map(len, lives.values())), tuple(doubles))


def of_network(file: Path, names: Mapping[str, str]) -> Finding:
    """Judge what was heard: one address, two hardware addresses at one time, is a double run.

    Args:
        file: What the listener wrote.
        names: Instances by address; who else spoke is no instance.
    """
    lives: dict[str, dict[str, Life]] = defaultdict(dict)
    for entry in _lines(file):
        name = names.get(str(entry["address"]))
        if name is not None:
            _extend(lives[name], str(entry["hardware"]), float(str(entry["at"])))
    return Finding("network", sum(map(len, lives.values())), tuple(_overlaps(lives)))


def of_serial(volumes: Path) -> Finding:
    """Judge what firmware guests wrote on the serial line, a file that all their lives share.

    A life begins with `up` and counts its beats from 1; a beat that does not follow the last one of
    the newest life was written by an older life beside it.
    """
    doubles, seen = [], 0
    for file in sorted(volumes.glob("*/serial.log")):
        last = -1
        for line in file.read_text(errors="replace").splitlines():
            if "firmware up" in line:
                last, seen = 0, seen + 1
            elif found := re.search(r"beat=([0-9A-Fa-fx]+)", line):
                beat = int(found[1], 0) if found[1].startswith("0x") else int(found[1])
                if last >= 0 and beat not in {last, last + 1}:
                    doubles.append(f"{file.parent.name}: beat {beat} after {last}")
                last = beat
    return Finding("serial lines", seen, tuple(doubles))


@dataclass
class Watch:
    """Look at the kernel's processes many times a second: which instance runs in which namespace.

    A process that waits for a migration (`-incoming`) is no second run while the first is there:
    what moves live is in two places for a while, and QEMU runs it in one. Once it was seen alone it
    is the instance, for good.

    Attributes:
        spaces: Host by the inode of its network namespace.
    """

    spaces: Mapping[int, str]
    every_s: float = 0.05
    seen: int = 0
    doubles: list[str] = field(default_factory=list)
    first: dict[tuple[str, str], float] = field(default_factory=dict)
    """When an instance was first seen running on a host, monotonic."""
    last: dict[tuple[str, str], float] = field(default_factory=dict)
    _others: dict[int, int] = field(default_factory=dict)
    """How often a process was seen that is no guest: after a while it is not looked at any more."""
    _arrived: set[tuple[int, int]] = field(default_factory=set)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def finding(self) -> Finding:
        """What it came to."""
        return Finding("processes", self.seen, tuple(dict.fromkeys(self.doubles)))

    def started_elsewhere(self, name: str, source: str, since: float) -> float | None:
        """Return when an instance was first seen on another host after a time; None for never."""
        found = (
            at
            for (instance, host), at in self.first.items()
            if instance == name and host != source and at >= since
        )
        return min(found, default=None)

    def _run(self) -> None:
        while not self._end.wait(self.every_s):
            self.look()

    def look(self) -> None:
        """Look once."""
        at, places = time.monotonic(), defaultdict(list)
        for number, name, incoming in guests(self._others):
            with contextlib.suppress(OSError):
                host = self.spaces.get(Path(f"/proc/{number}/ns/net").stat().st_ino)
                if host is not None:
                    places[name].append((host, number, incoming))
        for name, found in places.items():
            self._judge(name, found, at)

    def _judge(self, name: str, found: list[tuple[str, int, bool]], at: float) -> None:
        """Take in the processes of one instance."""
        if len(found) == 1:
            self._arrived.add((found[0][1], space.started(found[0][1])))
        running = {
            host
            for host, number, incoming in found
            if not incoming or (number, space.started(number)) in self._arrived
        }
        for host in running:
            self.seen += (name, host) not in self.first
            self.first.setdefault((name, host), at)
            self.last[name, host] = at
        if len(running) > 1:
            self.doubles.append(f"{name} runs on {' and '.join(sorted(running))}")


def guests(others: dict[int, int] | None = None) -> Iterator[tuple[int, str, bool]]:
    """Yield the processes of guests: number, instance, and whether it waits for a migration.

    Args:
        others: Kept from look to look, it saves looking again at what is no guest; a
            process may still become one in its first moments.
    """
    others = {} if others is None else others
    numbers = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
    for gone in others.keys() - numbers:
        del others[gone]
    for number in numbers:
        if others.get(number, 0) >= _SEEN_OFTEN:
            continue
        words = space.words_of(number)
        if not words or not Path(words[0]).name.startswith("qemu-system"):
            others[number] = others.get(number, 0) + 1
            continue
        found = _GUEST.search(" ".join(words))
        if found and space.state(number) not in {"Z", ""}:
            yield number, found[1], "-incoming" in words


def spaces_of(nodes: Iterable[tuple[str, str]]) -> dict[int, str]:
    """Return hosts by the inode of their namespaces, from pairs of host and namespace."""
    return {(space.NETNS / netns).stat().st_ino: host for host, netns in nodes}


def _extend(lives: dict[str, Life], life: str, at: float) -> None:
    first, last = lives.get(life, (at, at))
    lives[life] = (min(first, at), max(last, at))


def _overlaps(lives: Mapping[str, Mapping[str, Life]]) -> Iterator[str]:
    for name, found in lives.items():
        ordered = sorted(found.items(), key=lambda each: each[1])
        for (one, before), (other, after) in itertools.pairwise(ordered):
            if after[0] <= before[1]:
                shared = min(before[1], after[1]) - after[0]
                yield f"{name}: lives {one} and {other} overlap for {shared:.3f} s"


def _returned(order: Mapping[str, list[str]]) -> Iterator[str]:
    for name, found in order.items():
        if len(found) != len(set(found)):
            yield f"{name}: a life wrote again after another one had written"


def _lines(file: Path) -> Iterator[dict[str, object]]:
    if not file.exists():
        return
    for line in file.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry
