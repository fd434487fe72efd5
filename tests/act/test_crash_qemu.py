# SPDX-License-Identifier: Apache-2.0
"""A controller of real VMs is killed at every journal write; the next one ends its run."""

import asyncio
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from billow.engines.qemu.open import remove_pool
from billow.model.action import Delete
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.run import Run, RunState
from billow.plan.explain import diff
from billow.plan.replay import replay
from billow.store.store import Store
from tests.act.mortal import controller, first_actions, round_of, settings_of

pytestmark = pytest.mark.qemu

STEPS = 4
WRITES = 2 + 2 * STEPS
DEATHS = [(at, when) for at in range(1, WRITES + 1) for when in ("before", "after")]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a state folder with three running machines; at the end nothing of it may be left."""
    folder = tmp_path_factory.mktemp("crash")
    asyncio.run(_begin(folder))
    yield folder
    asyncio.run(_end(folder))
    assert not _processes(folder)
    asyncio.run(remove_pool(settings_of(folder)))


async def _begin(folder: Path) -> None:
    async with controller(folder, "first") as born:
        await born.carry_out(await born.plan(first_actions()))


async def _end(folder: Path) -> None:
    async with controller(folder, "last") as born:
        pool = await born.world.collector.fresh()
        rest = [Delete(instance=each.id, host=each.host) for each in pool.instance_views()]
        await born.carry_out(await born.plan(rest))


async def _look(folder: Path) -> Pool:
    async with controller(folder, "looker") as born:
        return await born.world.collector.fresh()


async def _expire_lease(folder: Path) -> None:
    store = await Store.open(f"sqlite:///{folder / 'billow.db'}")
    lease = await store.lease()
    assert lease is not None
    await store.release(lease)
    await store.aclose()


async def _recover(folder: Path, name: str) -> tuple[Pool, Run | None]:
    """Return the pool after recovery, and the run that was ended by it."""
    await _expire_lease(folder)
    async with controller(folder, name) as born:
        (run,) = await born.store.open_runs() or (None,)
        await born.loop.recover()
        if run is not None:
            await born.loop.wait(run.id)
            run = await born.store.run(run.id)
        return await born.world.collector.fresh(), run


def _die(folder: Path, at: int, when: str) -> None:
    command = [sys.executable, "-m", "tests.act.mortal", str(folder), str(at), when]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("at", "when"), DEATHS)
def test_a_kill_at_any_write_is_recovered(state: Path, at: int, when: str) -> None:
    before = asyncio.run(_look(state))
    _die(state, at, when)
    pool, run = asyncio.run(_recover(state, f"heals-{at}-{when}"))
    ended_by_itself = (at, when) == (WRITES, "after")
    if run is not None:
        phases = {entry.action_id: (entry.phase, entry.error) for entry in run.entries.values()}
        assert run.state is RunState.DONE, phases
    if run is None and not ended_by_itself:
        assert (at, when) == (1, "before")
        assert pool.digest == before.digest
    else:
        assert diff(replay(before, round_of(before)), pool) == ""
    running = [each.id for each in pool.instance_views() if each.state is State.RUNNING]
    assert _processes(state) == Counter(running)


def _processes(folder: Path) -> Counter[str]:
    """Return how many QEMU processes each instance has."""
    found: Counter[str] = Counter()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_text()
        except OSError:
            continue  # it ended while we looked
        if "qemu-system" in words and str(folder) in words:
            found.update(set(re.findall(r"/volumes/([^/]+)/", words)))
    return found
