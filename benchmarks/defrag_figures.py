# SPDX-License-Identifier: Apache-2.0
"""The figures D1 to D6 of defragmentation, each with the bound or the peer of the same run."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks.defrag_churn import arrivals_per_second_and_instance, churned
from benchmarks.defrag_peer import two_stage
from benchmarks.defrag_pools import Recipe, document
from benchmarks.defrag_replay import replayed
from benchmarks.defrag_run import Run, planned, run, written
from benchmarks.figure import Better, Figure, Peer
from benchmarks.machine import ROOT, in_fresh_process
from billow.capabilities.defrag.repair import repair
from billow.errors import NotFound
from billow.model.action import Migrate
from billow.sense.bytes_in import json_of, read_bytes
from billow.sense.vmr import vmr_pool

DATA = ROOT.parent / "shared" / "data"
FLEX = tuple(f"medium_flex{share}_s{seed}" for share in ("05", "10", "15") for seed in range(1, 5))
PROVEN = {
    ("medium", 25): 24, ("medium", 50): 37, ("medium", 100): 62,
    ("medium_flex05_s1", 25): 65, ("medium_flex05_s1", 50): 81, ("medium_flex05_s1", 100): 106,
    ("medium_flex10_s1", 25): 109, ("medium_flex10_s1", 50): 130, ("medium_flex10_s1", 100): 155,
    ("medium_flex10_s2", 25): 122, ("medium_flex10_s2", 50): 141, ("medium_flex10_s2", 100): 166,
    ("medium_flex10_s3", 25): 122, ("medium_flex10_s3", 50): 137, ("medium_flex10_s3", 100): 162,
    ("medium_flex15_s1", 25): 178, ("medium_flex15_s1", 50): 202, ("medium_flex15_s1", 100): 228,
}  # fmt: skip
"""Optima that a plain integer model proved before, by another road: a check of the bound itself."""
SMALL = (
    Recipe(200, 1000, seed=11),
    Recipe(200, 1000, seed=12, clusters=3, churn=0.08),
    Recipe(200, 1000, seed=13, mix=0.75, ratios=(2, 4), clusters=2),
    Recipe(200, 1000, seed=14, mix=0.6, ratios=(4,)),
    Recipe(200, 1000, seed=15, mix=0.6, ratios=(2, 4, 8)),
)
LARGE = (
    Recipe(800, 4000, seed=21),
    Recipe(800, 4000, seed=22, clusters=3, churn=0.08),
    Recipe(800, 4000, seed=23, mix=0.75, ratios=(2, 4), clusters=2),
    Recipe(800, 4000, seed=24, mix=0.6, ratios=(4,)),
    Recipe(800, 4000, seed=25, mix=0.6, ratios=(2, 4, 8)),
)
HUGE_MOVES = 2000
HUGE = """
import json
from benchmarks.defrag_figures import huge
print(json.dumps(huge()))
"""


@dataclass(frozen=True)
class Timed:
    """A run, checked by the independent replay, and its seconds."""

    run: Run
    wall_s: float
    cpu_s: float

    @property
    def short(self) -> int:
        """Slots below the bound."""
        return self.run.bound - self.run.slots


def figures_of(only: str | None) -> Iterator[Figure]:
    """Yield the figures of one part, or of all."""
    for name, part in PARTS.items():
        if only in (None, name):
            yield from part()


def timed(pool: dict[str, Any], name: str, moves: int, limit_s: float) -> Timed:
    """Plan for a document, replay the plan, and return both. Raises AssertionError on a fault."""
    wall, cpu = time.monotonic(), time.process_time()
    found = run(pool, name, moves, limit_s)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    checked = replayed(pool, written(found.plan))
    assert not checked.faults, checked.faults[:3]
    assert (checked.slots, checked.moves) == (found.slots, len(found.plan.steps))
    assert checked.moves <= moves
    return Timed(found, wall, cpu)


def _real() -> Iterator[Figure]:
    """D1: the medium pool and the twelve made from it."""
    found: list[Timed] = []
    peers = 0
    for name in ("medium", *FLEX):
        pool = _vmr(name)
        for moves in (25, 50, 100):
            each = timed(pool, name, moves, 30.0)
            assert PROVEN.get((name, moves), each.run.slots) <= each.run.bound, (name, moves)
            found.append(each)
            peers += each.run.bound - two_stage(pool, moves).slots
    peer = Peer("two-stage heuristic, mean", peers / len(found))
    yield Figure("D1 slots short of the bound, worst of 39", _most_short(found), "slots", goal=0)
    yield Figure(
        "D1 slots short of the bound, mean of 39",
        sum(each.short for each in found) / len(found),
        "slots",
        goal=0,
        peer=peer,
    )
    walls = sorted(each.wall_s for each in found)
    yield Figure("D1 file to plan, 90 % of 39", walls[int(0.9 * len(walls))], "s", goal=5)
    yield Figure("D1 file to plan, slowest of 39", walls[-1], "s", goal=30)
    yield _cpu("D1", found)
    idle = timed(_vmr("large_c1"), "large_c1", 100, 30.0)
    proof = float(idle.short == 0 and not idle.run.plan.steps)
    yield Figure("D1 large_c1: an empty plan with its proof", proof, "", 1, Better.HIGHER)


def _small() -> Iterator[Figure]:
    """D2: pools of 200 hosts that nobody has seen."""
    found = [
        timed(document(recipe), f"seed {recipe.seed}", moves, 10.0)
        for recipe in SMALL
        for moves in (50, 100)
    ]
    yield Figure("D2 slots short of the bound, worst of 10", _most_short(found), "slots", goal=1)
    yield Figure("D2 file to plan, slowest of 10", max(e.wall_s for e in found), "s", goal=10)
    yield _cpu("D2", found)


def _large() -> Iterator[Figure]:
    """D3: pools of 800 hosts that nobody has seen."""
    for moves, goal in ((50, 4.3), (100, 2.7)):
        found, peers = [], []
        for recipe in LARGE:
            pool = document(recipe)
            found.append(timed(pool, f"seed {recipe.seed}", moves, 30.0))
            bound = found[-1].run.bound
            peers.append(100 * (bound - two_stage(pool, moves).slots) / bound)
        gap = max(100 * each.short / each.run.bound for each in found)
        peer = Peer("two-stage heuristic, worst", max(peers))
        yield Figure(f"D3 gap to the bound, {moves} moves, worst of 5", gap, "%", goal, peer=peer)
        walls = [each.wall_s for each in found]
        yield Figure(f"D3 file to plan, {moves} moves, slowest of 5", max(walls), "s", goal=30)
        yield _cpu(f"D3, {moves} moves", found)


def huge() -> dict[str, float]:
    """Plan for 10,000 hosts and 100,000 instances; called in a process of its own."""
    pool = document(Recipe(10_000, 100_000, seed=31, clusters=4, small=0.4, churn=0.08))
    each = timed(pool, "huge", HUGE_MOVES, 50.0)
    started = time.monotonic()
    peer = two_stage(pool, HUGE_MOVES)
    return {
        "slots": each.run.slots,
        "bound": each.run.bound,
        "moves": len(each.run.plan.steps),
        "wall_s": each.wall_s,
        "cpu_s": each.cpu_s,
        "before": each.run.proposal.gain["slots_before"],
        "peer": peer.slots,
        "peer_s": time.monotonic() - started,
    }


def _huge() -> Iterator[Figure]:
    """D4: a large pool."""
    found, peak = in_fresh_process(HUGE)
    won, peer = found["slots"] - found["before"], found["peer"] - found["before"]
    yield Figure(
        f"D4 slots won with {HUGE_MOVES} moves, 10,000 hosts",
        won,
        "slots",
        goal=peer + 1,
        better=Better.HIGHER,
        peer=Peer("two-stage heuristic", peer),
    )
    yield Figure("D4 slots short of the bound", found["bound"] - found["slots"], "slots")
    peer_time = Peer("two-stage heuristic", found["peer_s"])
    yield Figure("D4 file to plan", found["wall_s"], "s", goal=60, peer=peer_time)
    yield Figure("D4 file to plan, CPU", found["cpu_s"], "s")
    yield Figure("D4 peak memory, pool and peer included", peak, "MiB", goal=4096)


def _theoretical() -> Iterator[Figure]:
    """D5: the number that would fit if nothing were fragmented."""
    each = timed(_vmr("medium"), "medium", 200, 30.0)
    free = int(each.run.pool.free[:, 0].sum())
    most = free // 16_000
    before = 100 * (most - each.run.proposal.gain["slots_before"]) / most
    yield Figure(
        "D5 short of the theoretical number, at most 200 moves",
        100 * (most - each.run.slots) / most,
        "%",
        goal=0.68,
        peer=Peer("at the start", before),
    )
    yield Figure("D5 moves", len(each.run.plan.steps), "moves", goal=200)


def _churn() -> Iterator[Figure]:
    """D6: instances come and go for 60 s while the plan is made."""
    rate = arrivals_per_second_and_instance(_file("azure_v1", "azure_v1_dev.csv.gz"))
    valid, repaired, total, came = 0, 0, 0, 0
    for name in ("medium", "medium_flex10_s1", "medium_flex15_s1"):
        pool = vmr_pool(_vmr(name), name)
        moves = [s.action for s in planned(pool, 100, 30.0).plan.steps]
        wanted = [each for each in moves if isinstance(each, Migrate)]
        for seed in range(5):
            now, count = churned(pool, rate, 60.0, seed)
            again = repair(now, wanted, 100)
            assert (again.after.free_nodes >= 0).all()
            assert len(again.moves) <= 100
            came += count
            total += len({each.instance for each in wanted})
            valid += len(again.kept)
            repaired += len(again.redirected)
    yield Figure("D6 moves still valid after 60 s", 100 * valid / total, "%", 95, Better.HIGHER)
    yield Figure("D6 moves sent elsewhere", 100 * repaired / total, "%")
    yield Figure("D6 instances that came, and as many left, a run", came / 15, "instances")


def _most_short(found: list[Timed]) -> int:
    return max(each.short for each in found)


def _cpu(name: str, found: list[Timed]) -> Figure:
    return Figure(f"{name} CPU, slowest", max(each.cpu_s for each in found), "s")


def _vmr(name: str) -> dict[str, Any]:
    found = json_of(read_bytes(_file("vmr", f"{name}.json.gz")), name)
    return cast(dict[str, Any], found)


def _file(folder: str, name: str) -> Path:
    path = DATA / folder / name
    if not path.exists():
        raise NotFound(
            f"the data of this benchmark is not there: {folder}/{name}",
            fix="put it into shared/data beside the repository, or use --only D2, D3 or D4",
        )
    return path


PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    "D1": _real,
    "D2": _small,
    "D3": _large,
    "D4": _huge,
    "D5": _theoretical,
    "D6": _churn,
}
