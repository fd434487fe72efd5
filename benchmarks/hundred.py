# SPDX-License-Identifier: Apache-2.0
"""A hundred real VMs on this machine: created, migrated once each and deleted by one plan."""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figure import Better, Figure, Peer
from benchmarks.qemu_pool import bare_boots_s, instance_folders, instances_of, processes_of
from billow.app import Billow, open_billow
from billow.engines.qemu.open import remove_pool
from billow.errors import Bug
from billow.loop import Wish
from billow.model.action import Action, Delete, Migrate, Place
from billow.model.instance import Instance
from billow.model.plan import Proposal
from billow.model.run import Phase, Run
from billow.model.shape import Shape
from billow.settings import Settings

SHAPE = Shape("tiny", 100, 64)
HOSTS = 3


@dataclass
class Outcome:
    """What the run came to."""

    run: Run
    seconds: float
    most_at_once: int
    phases: dict[Phase, int] = field(default_factory=dict)
    left: int = 0


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how many."""
    parser.add_argument("--instances", type=int, default=100)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield what became of them."""
    count: int = arguments.instances
    bare_s = bare_boots_s(count)
    outcome = asyncio.run(_measure(count))
    done = float(outcome.phases.get(Phase.DONE, 0))
    higher = Better.HIGHER
    yield Figure("steps done of one plan", done, "steps", goal=3.0 * count, better=higher)
    yield Figure(
        "VMs at once, at most",
        outcome.most_at_once,
        "VMs",
        goal=count,
        better=higher,
    )
    yield Figure("orphan processes and files", outcome.left, "pieces", goal=0.0)
    bare = Peer(f"{count} bare QEMU starts to the first serial line, nothing else", bare_s)
    yield Figure("the whole plan", outcome.seconds, "s", peer=bare)


async def _measure(count: int) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix="billow-hundred-"))
    try:
        async with _opened(folder) as billow:
            outcome = await _run(billow, count, folder)
        outcome.left = len(processes_of(folder)) + len(instance_folders(folder))
        return outcome
    finally:
        await remove_pool(_settings(folder))
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[Billow]:
    billow = await open_billow(_settings(folder))
    try:
        yield billow
    finally:
        await billow.aclose()


def _settings(folder: Path) -> Settings:
    return Settings(
        engine="qemu",
        state_dir=folder,
        hosts=HOSTS,
        pool="bench",
        migrations_at_once_per_host=16,
        failures_allowed=3,
    )


async def _run(billow: Billow, count: int, folder: Path) -> Outcome:
    actions = list(_actions(count))
    proposal = Proposal("request", tuple(actions))
    wish = Wish("a hundred", "benchmark")
    plan = await billow.loop.plan(lambda pool: (pool, [proposal]), wish)
    if plan.rejections:
        raise Bug("the plan has rejections", tuple(r.reason for r in plan.rejections[:5]))
    start = time.perf_counter()
    run = await billow.apply(plan.id, actor="benchmark")
    most = 0
    waiting = asyncio.create_task(billow.wait(run.id))
    while not waiting.done():
        most = max(most, len(instances_of(folder)))
        await asyncio.wait([waiting], timeout=0.5)
    ended = waiting.result()
    outcome = Outcome(ended, time.perf_counter() - start, most)
    for entry in ended.entries.values():
        outcome.phases[entry.phase] = outcome.phases.get(entry.phase, 0) + 1
    return outcome


def _actions(count: int) -> Iterator[Action]:
    """Yield all creations, then all moves to the next host, then all deletions."""
    hosts = [f"h{number + 1}" for number in range(HOSTS)]
    names = [f"vm-{number:03}" for number in range(count)]
    homes = [(name, number % HOSTS) for number, name in enumerate(names)]
    for name, home in homes:
        yield Place(instance=Instance(name, SHAPE, image="firmware"), host=hosts[home])
    for name, home in homes:
        target = hosts[(home + 1) % HOSTS]
        yield Migrate(instance=name, source=hosts[home], target=target)
    for name, home in homes:
        yield Delete(instance=name, host=hosts[(home + 1) % HOSTS])
