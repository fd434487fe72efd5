# SPDX-License-Identifier: Apache-2.0
"""Control groups: what CPU a host's instances share, and how it is shared between them.

A host has a group that gets the host's CPUs and no more; an instance has one within it. A batch
instance's group runs only when nothing else of its host wants to. Hosts of whole CPUs that this
machine has get these CPUs to themselves; others share all of them and are held to their amount by a
quota, which a batch instance may use up before another one wakes. Everything here can be made again
from the records, so nothing of it is remembered. Version 2 is used where it has the CPU controller,
else version 1; pressure is told by version 2 only, which many machines have beside version 1.
"""

import asyncio
import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.engines.qemu.process import threads
from billow.errors import Refused
from billow.model.kinds import Service

WEIGHT: Final = 100
"""Weight of a CPU in version 2; version 1 counts 1024 for it."""
_SHARES: Final = 1024
_MOST_WEIGHT: Final = 10_000
_MOST_SHARES: Final = 262_144
_LEAST_QUOTA_US: Final = 1000
_PERIODS_US: Final = (20_000, 100_000, 1_000_000)
_REMOVE_TRIES: Final = 50
_REMOVE_EVERY_S: Final = 0.004
_ENTER: Final = (
    'while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """Where control groups can be made on this machine.

    Attributes:
        cpu: Folder below which groups have a CPU controller; empty when there is none.
        version: Of that folder, 1 or 2.
        pressure: Folder below which groups tell their pressure; empty when none does.
    """

    cpu: str = ""
    version: int = 2
    pressure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What CPU an instance gets beside the others of its host.

    Attributes:
        limit_milli: Most that it may use, thousandths of a CPU; 0 for no limit.
    """

    cpus: int
    service: Service = Service.LATENCY
    limit_milli: int = 0


def find_hierarchy(
    mounts: Path = Path("/proc/self/mounts"), own: Path = Path("/proc/self/cgroup")
) -> Hierarchy:
    """Return where groups can be made, found by making one."""
    try:
        rows = [line.split() for line in mounts.read_text().splitlines()]
        paths = _own_paths(own.read_text())
    except OSError:
        return Hierarchy()
    second = _first(rows, "cgroup2", paths.get("", "/"), "cgroup.procs")
    with_cpu = _first(rows, "cgroup2", paths.get("", "/"), "cpu.max")
    if with_cpu:
        return Hierarchy(cpu=with_cpu, version=2, pressure=with_cpu)
    first = _first(rows, "cgroup", paths.get("cpu", "/"), "cpu.cfs_quota_us")
    return Hierarchy(cpu=first, version=1 if first else 2, pressure=second)


def _own_paths(text: str) -> dict[str, str]:
    """Return this process's own group by controller; the one of version 2 has no name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, names, path = line.split(":", 2)
        found |= dict.fromkeys(names.split(","), path)
    return found


def _first(rows: list[list[str]], kind: str, own: str, needed: str) -> str:
    """Return the first folder in whose groups a file is there and can be written."""
    for row in rows:
        if len(row) > 2 and row[2] == kind:
            for folder in dict.fromkeys((Path(row[1] + own), Path(row[1]))):
                if _has(folder, needed):
                    return str(folder)
    return ""


def _has(folder: Path, needed: str) -> bool:
    """Make a group and look whether it has a file that can be written."""
    trial = folder / f"billow-probe-{os.getpid()}"
    try:
        with contextlib.suppress(OSError):
            _grant(folder)
        trial.mkdir()
    except OSError:
        return False
    try:
        return os.access(trial / needed, os.W_OK)
    finally:
        with contextlib.suppress(OSError):
            trial.rmdir()


def _grant(folder: Path) -> None:
    """Let the groups below a folder of version 2 have the CPU controller. Raises OSError."""
    switch = folder / "cgroup.subtree_control"
    if switch.exists() and "cpu" not in switch.read_text().split():
        switch.write_text("+cpu")


class Groups:
    """The groups of one pool."""

    def __init__(self, hierarchy: Hierarchy, tag: str, capacity: Mapping[str, int]) -> None:
        """Remember where; `capacity` is CPU in thousandths by host."""
        self._hierarchy = hierarchy
        self._tag = f"billow-{tag}"
        self._capacity = capacity
        self._own = own_cpus(capacity, sorted(os.sched_getaffinity(0)))

    @property
    def limits(self) -> bool:
        """Whether a CPU limit can be held."""
        return bool(self._hierarchy.cpu)

    def entering(self, host: str, name: str, cpus: int) -> tuple[str, ...]:
        """Return what to put before a command, so that it begins its life in its groups.

        It begins there without limit, whatever its class: a process that gets no CPU does not come
        up, and cannot be managed.

        Raises:
            Refused: the groups cannot be made.
        """
        paths = self.regulate(host, name, Share(cpus=cpus), None)
        pin = ("taskset", "--cpu-list", self._own[host]) if host in self._own else ()
        return (*pin, "sh", "-c", _ENTER, "sh", *map(str, paths), "--") if paths else pin

    def regulate(self, host: str, name: str, share: Share, number: int | None) -> tuple[Path, ...]:
        """Give an instance its weight and limit, with its process `number`; return its groups.

        Raises:
            Refused: the machine does not take it.
        """
        paths = self._make(host, name)
        if number is not None and not _is_in(number, paths):
            for path in paths:
                self._write(path / "cgroup.procs", str(number))
        if self._hierarchy.cpu:
            folder = self._folder(Path(self._hierarchy.cpu), host, name)
            self._weigh(folder, share.cpus * 1000, batch=share.service is Service.BATCH)
            self._limit(folder, min(share.limit_milli, self._capacity[host]))
        elif number is not None:
            _class(number, batch=share.service is Service.BATCH)
        return paths

    async def remove(self, host: str, name: str) -> None:
        """Remove the groups of an instance without a process; what is not there is no error."""
        for root in self._roots():
            await _remove(self._folder(root, host, name))

    async def tear_down(self) -> None:
        """Remove every group of the pool in which nothing runs."""
        for root in self._roots():
            for host in self._capacity:
                for path in _folders(self._folder(root, host)):
                    await _remove(path)
                await _remove(self._folder(root, host))
            await _remove(root / self._tag)

    def held_s(self, host: str, name: str) -> float:
        """Return for how many seconds an instance was held back by its own limit, ever."""
        if not self._hierarchy.cpu:
            return 0.0
        told = _read(self._folder(Path(self._hierarchy.cpu), host, name) / "cpu.stat")
        rows = dict(line.split() for line in told.splitlines())
        return int(rows.get("throttled_time", 0)) / 1e9 + int(rows.get("throttled_usec", 0)) / 1e6

    def pressure(self, host: str) -> tuple[float, float]:
        """Return in what share of the last 10 s something on a host waited: for CPU, for memory."""
        if not self._hierarchy.pressure:
            return math.nan, math.nan
        folder = self._folder(Path(self._hierarchy.pressure), host)
        if not folder.exists():
            return 0.0, 0.0  # nothing has run there yet
        return _some(folder / "cpu.pressure"), _some(folder / "memory.pressure")

    def _folder(self, root: Path, host: str, name: str = "") -> Path:
        """Return a group; its name is no word that the kernel has for a file in it."""
        folder = root / self._tag / f"host-{host}"
        return folder / f"vm-{name}" if name else folder

    def _roots(self) -> list[Path]:
        roots = dict.fromkeys((self._hierarchy.cpu, self._hierarchy.pressure))
        return [Path(root) for root in roots if root]

    def _make(self, host: str, name: str) -> tuple[Path, ...]:
        """Make the groups of an instance and return them. Raises Refused."""
        return tuple(self._make_below(root, host, name) for root in self._roots())

    def _make_below(self, root: Path, host: str, name: str) -> Path:
        folder = self._folder(root, host, name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self._hierarchy.version == 2 and str(root) == self._hierarchy.cpu:
                for parent in (root, root / self._tag, folder.parent):
                    _grant(parent)
        except OSError as error:
            raise _refused(folder, error) from error
        if str(root) == self._hierarchy.cpu:
            self._weigh(folder.parent, self._capacity[host], batch=False)
            self._limit(folder.parent, 0 if host in self._own else self._capacity[host])
        return folder

    def _weigh(self, folder: Path, cpu_milli: int, *, batch: bool) -> None:
        """Let a group compete with as much weight as its CPUs, or only for what is left."""
        idle = folder / "cpu.idle"
        whole = WEIGHT if self._hierarchy.version == 2 else _SHARES
        most = _MOST_WEIGHT if self._hierarchy.version == 2 else _MOST_SHARES
        name = "cpu.weight" if self._hierarchy.version == 2 else "cpu.shares"
        if idle.exists():
            self._write(idle, "1" if batch else "0")
        if not batch:
            self._write(folder / name, str(min(most, max(2, cpu_milli * whole // 1000))))
        elif not idle.exists():
            self._write(folder / name, "1" if name == "cpu.weight" else "2")

    def _limit(self, folder: Path, limit_milli: int) -> None:
        """Hold a group to a limit, or to none with 0."""
        period = _period_us(limit_milli)
        quota = limit_milli * period // 1000
        if self._hierarchy.version == 2:
            self._write(folder / "cpu.max", f"{quota or 'max'} {period}")
        elif self._standing(folder) != (quota or -1, period):
            self._write(folder / "cpu.cfs_quota_us", "-1")  # else the new period could be refused
            self._write(folder / "cpu.cfs_period_us", str(period))
            with contextlib.suppress(Refused):  # a group above it is held to less already
                self._write(folder / "cpu.cfs_quota_us", str(quota or -1))

    def _standing(self, folder: Path) -> tuple[int, int]:
        """Return quota and period of a group of version 1 as they are."""
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        quota, period = (int(_read(folder / name) or 0) for name in names)
        return quota, period

    def _write(self, path: Path, text: str) -> None:
        """Let a file say something, unless it does. Raises Refused."""
        try:
            if path.name == "cgroup.procs" or _read(path) != text:
                path.write_text(text)
        except ProcessLookupError:
            return  # a process that has just ended needs no group
        except OSError as error:
            raise _refused(path, error) from error


def own_cpus(capacity: Mapping[str, int], cpus: Sequence[int]) -> dict[str, str]:
    """Return which CPUs each host has to itself, as lists for `taskset`; none if not all can."""
    if any(milli % 1000 for milli in capacity.values()):
        return {}
    if not 0 < sum(capacity.values()) <= len(cpus) * 1000:
        return {}
    left = iter(cpus)
    return {
        host: ",".join(str(next(left)) for _ in range(milli // 1000))
        for host, milli in capacity.items()
        if milli
    }


def _period_us(limit_milli: int) -> int:
    """Return the shortest period in which a limit is a quota that the kernel takes."""
    for period in _PERIODS_US:
        if limit_milli * period >= _LEAST_QUOTA_US * 1000:
            return period
    return _PERIODS_US[-1] if limit_milli else _PERIODS_US[1]


def _is_in(number: int, groups: Sequence[Path]) -> bool:
    """Return whether a process is in all of these groups: to move it there stalls it, and us."""
    rows = _read(Path(f"/proc/{number}/cgroup")).splitlines()
    there = [row.partition(":")[2].partition(":")[2] for row in rows]
    return all(
        sum(path.endswith(f"/{_tail(each)}") for path in there) >= len(groups) for each in groups
    )


def _tail(group: Path) -> str:
    return "/".join(group.parts[-3:])


def _class(number: int, *, batch: bool) -> None:
    """Without groups, let the vCPUs of a batch instance run when nothing else wants to."""
    policy = os.SCHED_IDLE if batch else os.SCHED_OTHER
    for thread in threads(number):
        if thread.is_vcpu:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(thread.number, policy, os.sched_param(0))


def _folders(path: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from [each for each in path.iterdir() if each.is_dir()]


async def _remove(folder: Path) -> None:
    """Remove a group; a process that has just died holds it for an instant longer."""
    for _ in range(_REMOVE_TRIES):
        if _is_removed(folder):
            return
        await asyncio.sleep(_REMOVE_EVERY_S)


def _is_removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _some(file: Path) -> float:
    """Read "some avg10" of a pressure file as a share; NaN when the kernel keeps none."""
    try:
        words = file.read_text().split()
    except OSError:
        return math.nan
    return float(words[1].removeprefix("avg10=")) / 100 if words[:1] == ["some"] else math.nan


def _refused(path: Path, error: OSError) -> Refused:
    return Refused(
        f"the control group {path.parent.name}/{path.name} does not take what is wanted",
        details=(f"{path}: {error.strerror or error}",),
        fix="see that Billow may write below the cgroup folder, then try again",
        code="no-group",
    )
