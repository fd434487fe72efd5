# SPDX-License-Identifier: Apache-2.0
"""The promise of a downtime: a guest goes to and fro, and says itself how long it stood still."""

from collections.abc import AsyncIterator, Iterator, Sequence

from benchmarks.figure import Better, Figure
from benchmarks.migration_cases import tell
from benchmarks.migration_lab import HOSTS, Guest, Lab
from benchmarks.migration_movers import Ours
from benchmarks.migration_pages import bad_pages, dump
from benchmarks.migration_trial import Trial, moved, settled
from billow.engines.qemu.monitor import talk
from billow.model.kinds import MigrationPolicy

PROMISES_S = (0.3, 0.05)


async def to_and_fro(
    lab: Lab, guest: Guest, promise_s: float, moves: int
) -> AsyncIterator[tuple[Trial, int]]:
    """Move one guest so often, from host to host; yield each move and its bad pages."""
    instance = await lab.boot(guest)
    try:
        await settled(lab, instance, guest)
        pages = await dump(lab.residence(HOSTS[0], instance).socket, guest.laid_out)
        for number in range(moves):
            hosts = HOSTS if number % 2 == 0 else (HOSTS[1], HOSTS[0])
            mover = Ours(policy=MigrationPolicy.BALANCED, downtime_s=promise_s, hosts=hosts)
            name = f"promise {1000 * promise_s:.0f} ms, move {number + 1}"
            found = await moved(lab, name, instance, guest, mover, hosts)
            tell(found)
            line = lab.residence(hosts[1] if found.ended else hosts[0], instance).socket
            bad = await bad_pages(line, guest.laid_out, pages) if found.ended else 0
            async with talk(line) as monitor:
                await monitor.execute("cont")
            yield found, bad
            if not found.ended:
                return
    finally:
        await lab.remove(instance)


def downtime_figures(promise_s: float, trials: Sequence[Trial], bad: int) -> Iterator[Figure]:
    """Yield how many moves kept their promise, by the guest and by QEMU."""
    key = f"promise_{1000 * promise_s:.0f}_ms"
    ended = [each for each in trials if each.ended]
    for who, times in (
        ("seen by the guest", [each.downtime_s for each in ended]),
        ("told by the engine", [each.told.downtime_s for each in ended]),
    ):
        kept = 100 * sum(each <= promise_s for each in times) / len(trials)
        yield Figure(
            f"migration_downtime_kept, {key}, {len(trials)} moves, {who}",
            kept,
            "%",
            goal=100,
            better=Better.HIGHER,
        )
        longest = 1000 * max(times, default=float("nan"))
        yield Figure(f"migration_downtime_longest, {key}, {who}", longest, "ms")
    yield Figure(f"migration_bad_pages, {key}", bad, "pages", goal=0)
