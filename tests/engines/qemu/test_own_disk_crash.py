# SPDX-License-Identifier: Apache-2.0
"""The controller is killed before each step of a move with a disk: one disk is the true one."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.engines.qemu import test_crash
from tests.engines.qemu.owning import OwningStand, Written, check_holds, write, write_at_rest
from tests.engines.qemu.test_crash import ENDED, KILLED, STEPS, perform_until
from tests.engines.qemu.world import processes_of

from billow.act.durable import save
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.probe import Findings
from billow.model.action import Migrate, Stop
from billow.ports import Trace
from billow.testing.stand import do, place

pytestmark = [pytest.mark.qemu, pytest.mark.thorough, pytest.mark.anyio]
PROBED = 200
"""More steps than a move has."""


@pytest.fixture
async def stand(tmp_path: Path, findings: Findings) -> AsyncIterator[OwningStand]:
    """Build a world whose instances have disks of their host's own, and clear it away."""
    stand = OwningStand(tmp_path / "state", findings)
    stand.folder.root.mkdir()
    save(stand.folder.settings, stand.plan)
    yield stand
    await stand.clear()
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("runs", [True, False])
async def test_a_kill_at_any_step_leaves_one_true_disk(
    stand: OwningStand, monkeypatch: pytest.MonkeyPatch, *, runs: bool
) -> None:
    monkeypatch.setattr(test_crash, "STEPS", (*STEPS, (os, "copy_file_range")))
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    if not runs:
        await do(engine, Stop(id="stop", instance="x", host=stand.first, grace_s=0.0))
    await engine.aclose()
    home, other, ended = stand.first, stand.second, KILLED
    written: dict[float, Written] = {}
    for step in range(PROBED):
        part = Written(step % 7, 1, 1 + step)
        written[part.at] = part
        if runs:
            async with talk(stand.folder.residence(home, "x").socket) as monitor:
                await write(monitor, part)
        else:
            await write_at_rest(stand.disk(home), part)
        action = Migrate(id=f"move-{step}", instance="x", source=home, target=other)
        ended = await asyncio.to_thread(perform_until, stand, action, step)
        assert ended in (KILLED, ENDED)
        arrived = await look(stand, action, runs=runs)
        home, other = (other, home) if arrived else (home, other)
        await check_holds(stand.disk(home), written.values())
        if ended == ENDED:
            assert arrived
            return
    pytest.fail(f"a move has more than {PROBED} steps")


async def look(stand: OwningStand, action: Migrate, *, runs: bool) -> bool:
    """Return whether a move was done; check that nothing of it is left where it is not."""
    engine = await stand.open()
    trace = await engine.find(action.id)
    assert trace in (Trace.DONE, Trace.UNKNOWN)
    arrived = trace is Trace.DONE
    home, left = action.hosts[arrived], action.hosts[not arrived]
    assert (await engine.sense()).instance("x").host == home
    assert not stand.folder.residence(left, "x").path.exists()
    assert len(processes_of(stand.folder.root)) == runs
    if runs:
        async with talk(stand.folder.residence(home, "x").socket) as monitor:
            assert await monitor.status() == "running"
            assert await monitor.execute("query-block-jobs") == []
    await engine.aclose()
    return arrived
