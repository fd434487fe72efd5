# SPDX-License-Identifier: Apache-2.0
"""What no limit can beat: the least that a writer loses where pages are sent whole.

QEMU copies in rounds: each sends what was written before it began. The move ends when a round has
left no more than goes over within the promise, R. So the round before the last sends what the one
before that left; and one of them sends the writer's whole working set W, which takes W / c over a
link of c. From that round on the writer is held. Let w(n) be written in round n, t(n) its length:
t(n + 1) = w(n) / c, and the last w is R. The writer, which wants d, loses all t(n) - w(n) / d:

    W / c - R / d + (1 / c - 1 / d) * (what is written between the two)

which is least when nothing is written in between: W / c - R / d seconds of its work, however it is
held. Over a copy of T seconds it keeps at most 1 - (W / c - R / d) / T.
"""

from collections.abc import Iterator

from benchmarks.figure import Better, Figure
from benchmarks.migration_cases import Cases
from benchmarks.migration_figures import OURS, SHARES, writer_work
from benchmarks.migration_lab import BATCH_MS, MIB_PAGES, link_mib_s
from benchmarks.migration_trial import Trial
from billow.firmware.control import Role
from billow.plan.steering import allowed_s

PROMISE_S = 0.3
WORK_GOAL = 0.70
CARRIED_SHARE = 0.97
"""Of a link's rate, what is left for memory beside the headers of frames and packets."""


def held_s(cases: Cases, mbit: float) -> float:
    """Return the least time of its work that a guest's heaviest writer loses, seconds."""
    heaviest = max(
        (each for each in cases.guest.orders if each.role is Role.WRITER),
        key=lambda each: each.batch,
    )
    wanted = heaviest.batch / MIB_PAGES / (BATCH_MS / 1000)
    carried = CARRIED_SHARE * link_mib_s(mbit)
    return heaviest.pages / MIB_PAGES / carried - carried * allowed_s(PROMISE_S) / wanted


def bound_figures(whole: Cases, mbit: float, peers: Cases | None) -> Iterator[Figure]:
    """Yield what balanced does where pages are written whole, and what is possible at all.

    Args:
        whole: Moves of a guest that writes whole pages.
        mbit: The link.
        peers: Moves of the same guest by others, to whom the contents of pages are all one.
    """
    higher, lost = Better.HIGHER, held_s(whole, mbit)
    yield Figure("migration_whole_pages_total", whole.total_s(OURS), "s")
    yield Figure("migration_whole_pages_writer_work", writer_work(whole, OURS), "%", better=higher)
    most = 100 * (1 - lost / whole.median(OURS, _copied))
    yield Figure("migration_bound, writer_work in balanced's time", most, "%", better=higher)
    yield Figure("migration_bound, least time in which it keeps 70 %", lost / (1 - WORK_GOAL), "s")
    for peer, share in SHARES if peers else ():
        if peers and peer in peers.trials:
            other = peers.total_s(peer)
            ratio = whole.total_s(OURS) / other
            yield Figure(f"migration_whole_pages_total_vs, {peer}", ratio, "x")
            most = 100 * (1 - lost / (share * other))
            name = f"migration_bound, writer_work within {share} x {peer}"
            yield Figure(name, most, "%", better=higher)


def _copied(each: Trial) -> float:
    return each.told.copied_s
