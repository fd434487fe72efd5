# SPDX-License-Identifier: Apache-2.0
"""Which moves are compared: what the machine can keep, who moves, in turns, and the medians."""

import asyncio
import math
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.migration_lab import HOSTS, Guest, Lab, link_mib_s, reader, writer
from benchmarks.migration_movers import (
    AGGRESSIVE,
    AUTO_CONVERGE,
    DELTAS,
    PLAIN,
    POST_COPY,
    can_dirty_limit,
    dirty_limit,
    ours,
)
from benchmarks.migration_trial import Mover, Trial, settled, trial
from benchmarks.migration_watch import GuestMemory
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.process import process_id
from billow.errors import Bug, Unavailable
from billow.model.kinds import MigrationPolicy

LEAST_MBIT, MOST_MBIT = 300.0, 840.0
"""What issue 4 lets the link be."""
SPARE = 0.8
"""Share of what a vCPU can write that the writer shall write: its CPU must not hold it."""
SETTINGS = tuple((mib_s, 1000) for mib_s in (10, 20, 35, 50))
PERIODS_MS = (500,)
"""Further periods, tried with the best limit."""
_LOGGED_S = 3

Mode = tuple[str, Mover]
BALANCED, SHORTEST, OWN_POST_COPY, OWN_AUTO_CONVERGE = (
    ours(policy)
    for policy in (
        MigrationPolicy.BALANCED,
        MigrationPolicy.SHORTEST,
        MigrationPolicy.POST_COPY,
        MigrationPolicy.AUTO_CONVERGE,
    )
)
DIRTY_LIMIT = "dirty-limit, best setting"


@dataclass
class Cases:
    """What became of each mode; a mode's name is its key."""

    guest: Guest
    trials: dict[str, list[Trial]] = field(default_factory=dict)

    def median(self, mode: str, value: Callable[[Trial], float]) -> float:
        """Return the median of a value; NaN where a mode was not tried or did not end."""
        found = [value(each) for each in self.trials.get(mode, ())]
        return statistics.median(found) if found else math.nan

    def total_s(self, mode: str) -> float:
        """Return the median of the total time."""
        return self.median(mode, _total)

    def speeds(self, mode: str, role: str) -> list[float]:
        """Return the work during the copy, %, of every vCPU with a role in every trial."""
        return [x for each in self.trials.get(mode, ()) for x in each.of(role, each.speeds)]

    def stalls_beyond_s(self, mode: str, role: str) -> list[float]:
        """Return the longest stall of every vCPU with a role, the downtime taken off."""
        return [
            stall - each.told.downtime_s
            for each in self.trials.get(mode, ())
            for stall in each.of(role, each.stalls_s)
        ]

    @property
    def all(self) -> list[Trial]:
        """Every trial of every mode."""
        return [each for trials in self.trials.values() for each in trials]


async def keepable_mbit(lab: Lab) -> float:
    """Return the fastest link of which this machine's vCPU can write twice as much, logged."""
    guest = Guest((replace(writer(1, 128), period_ns=0), reader(20, 4)))
    instance = await lab.boot(guest)
    try:
        await settled(lab, instance, guest)
        line = lab.residence(HOSTS[0], instance)
        async with talk(line.socket) as monitor:
            how = {"calc-time": _LOGGED_S, "mode": "dirty-ring"}
            await monitor.execute("calc-dirty-rate", how)
        process = process_id(line)
        assert process is not None
        memory = GuestMemory(process, guest.memory_mib)
        await asyncio.sleep(0.5)
        first = memory.mark(0)
        await asyncio.sleep(_LOGGED_S - 1)
        last = memory.mark(0)
        memory.close()
    finally:
        await lab.remove(instance)
    if first is None or last is None:
        raise Unavailable("the guest does not work")
    mib_s = (last.work - first.work) / 256 / (_LOGGED_S - 1)
    say(f"a vCPU writes {mib_s:.0f} MiB/s to pages that are logged")
    mbit = SPARE * mib_s / 2 / link_mib_s(1)
    return min(MOST_MBIT, max(LEAST_MBIT, 20 * (mbit // 20)))


async def best_limit(lab: Lab, guest: Guest) -> Mode | None:
    """Return QEMU's own dirty limit at its best setting for a guest; None when it has none."""
    if not await can_dirty_limit(lab):
        say(f"QEMU {lab.findings.version} has no capability dirty-limit: that peer is left out")
        return None
    times: dict[tuple[int, int], float] = {}
    for setting in SETTINGS:
        times[setting] = await _total_of(lab, guest, setting)
    best = min(times, key=times.__getitem__)
    for period in PERIODS_MS:
        times[best[0], period] = await _total_of(lab, guest, (best[0], period))
    best = min(times, key=times.__getitem__)
    say(f"QEMU's dirty limit is best at {best[0]} MB/s with a period of {best[1]} ms")
    return DIRTY_LIMIT, replace(dirty_limit(*best), name=DIRTY_LIMIT)


async def _total_of(lab: Lab, guest: Guest, setting: tuple[int, int]) -> float:
    peer = replace(dirty_limit(*setting), patience_s=45.0)
    found = await trial(lab, peer.name, guest, peer)
    tell(found)
    return found.total_s if found.ended else math.inf


async def compared(lab: Lab, guest: Guest, modes: Sequence[Mode], runs: int) -> Cases:
    """Move a guest in every mode, in turns, so often."""
    found = Cases(guest)
    for _ in range(runs):
        for name, mover in modes:
            one = await trial(lab, name, guest, mover)
            tell(one)
            found.trials.setdefault(name, []).append(one)
    return found


def peers(best: Mode | None) -> list[Mode]:
    """Return QEMU alone in every way that is compared."""
    plain = [PLAIN, DELTAS, AUTO_CONVERGE, AGGRESSIVE, POST_COPY]
    return [*((each.name, each) for each in plain), *([best] if best else [])]


def check_pages(trials: Sequence[Trial]) -> Iterator[tuple[str, int]]:
    """Yield the modes after which pages were wrong. Raises Bug when one was never checked."""
    for each in trials:
        if each.ended and each.bad_pages < 0:
            raise Bug(f"the pages of a move by {each.name} were not checked")
        if each.bad_pages > 0:
            yield each.name, each.bad_pages


def tell(found: Trial) -> None:
    """Say what a trial came to on stderr: a long run shows what it has."""
    speeds = "/".join(f"{each:.1f}" for each in found.speeds)
    stalls = "/".join(f"{1000 * each:.0f}" for each in found.stalls_s)
    how = f"{found.total_s:.2f} s" if found.ended else "not there"
    before, took = 1000 * found.stall_before_s, 100 * found.waited
    say(
        f"{found.name}: {how} (flow {found.told.copied_s:.2f} s), sent {found.sent_mib:.0f} MiB, "
        f"downtime {1000 * found.told.downtime_s:.0f} ms, work {speeds} %, stalls {stalls} ms "
        f"(without a move {before:.0f}), bad pages {found.bad_pages}, machine took {took:.0f} %; "
        f"{found.told.words}"
    )


def say(text: str) -> None:
    """Talk on stderr."""
    print(f"    {text}", file=sys.stderr, flush=True)


def values(row: Mapping[str, float]) -> str:
    """Return numbers by name as a line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())


def _total(each: Trial) -> float:
    return each.total_s if each.ended else math.inf
