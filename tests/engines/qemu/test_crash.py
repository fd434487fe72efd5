# SPDX-License-Identifier: Apache-2.0
"""The controller is killed before each single step of each verb; the next one finds a whole world.

A step is whatever changes something outside the process: a file that appears or goes, a process
that is started or killed, a command to QEMU. The killed controller is a real process (a fork) that
ends without any clean-up, so nothing of it can tidy behind itself.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engines.qemu.world import QemuStand, processes_of

from billow.act.premise import unmet
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.monitor import Monitor, talk
from billow.firmware.control import ADDRESS, WORDS, decode
from billow.model.action import (
    Action,
    Allot,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Throttle,
)
from billow.model.kinds import State
from billow.ports import Trace
from billow.testing.stand import do, scenario

pytestmark = [pytest.mark.qemu, pytest.mark.slow, pytest.mark.anyio]
STEPS = (
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "write_text"),
    (shutil, "rmtree"),
    (signal, "pidfd_send_signal"),
    (asyncio, "create_subprocess_exec"),
    (Monitor, "execute"),
)
KILLED, ENDED = 9, 0
PROBED = 60
"""More steps than any verb has."""


def perform_until(stand: QemuStand, action: Action, step: int) -> int:
    """Perform an action in a process that dies before its given step; return how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = step

    def deadly(real: Callable[..., object]) -> Callable[..., object]:
        def step_or_die(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(KILLED)
            return real(*arguments, **options)

        return step_or_die

    async def controller() -> None:
        engine = await stand.open()
        for owner, name in STEPS:
            setattr(owner, name, deadly(getattr(owner, name)))
        await do(engine, action)

    try:
        asyncio.run(controller())
        os._exit(ENDED)
    except BaseException:  # noqa: BLE001  # whatever it was, the child must not go on as pytest
        os._exit(1)


async def work_of(engine: QemuEngine, host: str) -> int:
    """Return how much the guest of `x` has done since it was booted."""
    residence = engine.ground.ledger.folder.residence(host, "x")
    async with talk(residence.socket) as monitor:
        return decode(await monitor.words(ADDRESS, WORDS)).work


async def check_whole(engine: QemuEngine, action: Action, trace: Trace, before: str) -> None:
    """Check that the action was done in full or not at all, and that no process is left over."""
    pool = await engine.sense()
    if trace is Trace.DONE:
        assert unmet(pool, action.achieves) == ()
    else:
        assert pool.digest == before
    live = (State.RUNNING, State.PAUSED)
    alive = [each for each in pool.instance_views() if each.state in live]
    assert len(processes_of(engine.ground.ledger.folder.root)) == len(alive)


LONG = (Migrate, Start, Resize, Evacuate)
"""Their steps are many, or each takes a boot."""


@pytest.mark.parametrize(
    "verb",
    [
        *(Place, Stop, Delete, Fence, Throttle, Suspend, Resume, Allot),
        *(pytest.param(each, marks=pytest.mark.thorough) for each in LONG),
    ],
)
async def test_a_kill_at_any_step_leaves_one_whole_world(
    stand: QemuStand, verb: type[Action]
) -> None:
    tried = scenario(stand, verb)
    for step in range(PROBED):
        for folder in (stand.folder.hosts, stand.folder.volumes, stand.folder.actions):
            shutil.rmtree(folder, ignore_errors=True)
        engine = await stand.open()
        await do(engine, *tried.before)
        before = (await engine.sense()).digest
        worked = await work_of(engine, stand.first) if verb is Migrate else 0
        await engine.aclose()
        ended = await asyncio.to_thread(perform_until, stand, tried.action, step)
        assert ended in (KILLED, ENDED)
        engine = await stand.open()
        trace = await engine.find(tried.action.id)
        assert trace in (Trace.DONE, Trace.UNKNOWN)
        await check_whole(engine, tried.action, trace, before)
        await do(engine, tried.action)
        await check_whole(engine, tried.action, Trace.DONE, before)
        if verb is Migrate:
            assert await work_of(engine, stand.second) >= worked
        await engine.aclose()
        await stand.end_all()
        if ended == ENDED:
            return
    pytest.fail(f"{verb.__name__} has more than {PROBED} steps")
