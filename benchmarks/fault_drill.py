# SPDX-License-Identifier: Apache-2.0
"""One move with a fault: strike it, wait for what comes of it, and look at everything."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.fault_kinds import Fault, Scene, nothing
from benchmarks.fault_pool import Damage, FaultPool
from benchmarks.machine import ROOT
from benchmarks.migration_proof import stood_still_s
from billow.act.clock import SystemClock
from billow.engines.qemu.migration.order import FETCHING, WAITING
from billow.engines.qemu.open import open_engine
from billow.errors import BillowError
from billow.model.action import Migrate, Start
from billow.model.codec import action_document, action_from_document
from billow.model.run import Progress
from billow.ports import Trace
from billow.settings import Settings

FENCE: Final = 1
_PATIENCE_S: Final = 180.0
_LIMITED: Final = "limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A fault that strikes the move of a guest.

    Attributes:
        fraction: How far the move must be, 0 to 1, ...
        after_s: ... and how long ago that must be.
        chance: From 0 to 1, for what else of a fault is random.
    """

    number: int
    fault: Fault
    guest: str
    fraction: float
    after_s: float
    chance: float = 0.5

    def is_due(self, fraction: float, phase: str, *, held: bool) -> bool:
        """Return whether a move has come as far as it must before the fault strikes."""
        if self.fault.later:
            return phase in {FETCHING, WAITING}
        return held if self.fault.held else fraction >= self.fraction


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of a drill.

    Attributes:
        moved: Whether the guest is at home on the target now.
        ended: Whether it ended with its host, was reported as failed, and was started again.
        limited: Whether vCPUs were held to a limit before the fault struck.
        reason: The code and the words that the move was ended with; empty when it was done.
        still_s: The longest silence of a guest that beats by ARP.
    """

    drill: Drill
    moved: bool = False
    ended: bool = False
    limited: bool = False
    reason: str = ""
    seconds: float = 0.0
    still_s: float = 0.0
    damage: Damage = field(default_factory=Damage)

    def __str__(self) -> str:
        """Say on one line what happened."""
        drill = self.drill
        what = f"moved{self.reason and f' ({self.reason})'}"
        if self.ended or not self.moved:
            what = f"{'ended' if self.ended else 'stayed'} ({self.reason})"
        still = f", still {self.still_s:.1f} s" if self.still_s else ""
        verdict = str(self.damage) or "whole"
        return (
            f"{drill.number}: {drill.fault.name} at {drill.fraction:.2f} + {drill.after_s:.2f} s, "
            f"{drill.guest} {what} in {self.seconds:.1f} s{still}: {verdict}"
        )


async def run(pool: FaultPool, drill: Drill, dice: random.Random) -> Result:
    """Move a guest to another host, strike, heal, and look."""
    source = pool.home(drill.guest)
    target = dice.choice([host for host in pool.hosts if host != source])
    action = Migrate(
        id=f"drill-{drill.number}",
        instance=drill.guest,
        source=source,
        target=target,
        policy=drill.fault.policy,
    )
    result = Result(drill=drill)
    pool.open_window()
    began = asyncio.get_running_loop().time()
    perform = _perform_apart if drill.fault.apart else _perform_here
    result.reason = await perform(pool, result, action)
    result.seconds = asyncio.get_running_loop().time() - began
    await _until_it_ended(pool, action)
    if drill.fault.ends and await pool.ended(drill.guest):
        result.ended = True
        await _start_again(pool, drill)
    result.damage = await pool.look(drill.guest)
    result.moved = pool.home(drill.guest) == target
    result.still_s = stood_still_s(pool.heard(drill.guest))
    return result


async def _perform_here(pool: FaultPool, result: Result, action: Migrate) -> str:
    """Move in this process, with the fault beside; return why it failed, or nothing."""
    drill = result.drill
    scene, due = _scene(pool, drill, action), asyncio.Event()
    await drill.fault.prepare(scene)
    striking = asyncio.create_task(_strike(drill, scene, due))
    reason = ""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            async for progress in pool.engine.perform(action, fence=FENCE):
                held = _limits(progress)
                result.limited = result.limited or (held and not striking.done())
                if drill.is_due(progress.fraction, progress.phase, held=held):
                    due.set()
    except BillowError as error:
        reason = f"{error.code}: {error.brief}"
    except TimeoutError:
        reason = f"it did not end within {_PATIENCE_S:g} s"
    finally:
        due.set()
        await striking
        await drill.fault.heal(scene)
    return reason


async def _perform_apart(pool: FaultPool, result: Result, action: Migrate) -> str:
    """Move in a process of its own, with the fault beside; then let a new controller take over."""
    drill = result.drill
    order = json.dumps([pool.settings.model_dump(mode="json"), action_document(action)])
    controller = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.fault_drill"),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert controller.stdin
    assert controller.stdout
    controller.stdin.write(order.encode() + b"\n")
    await controller.stdin.drain()
    async for line in controller.stdout:
        fraction, limited, phase = line.decode().rstrip("\n").split(" ", 2)
        held = limited == _LIMITED
        result.limited = result.limited or held
        if drill.is_due(float(fraction), phase, held=held):
            break
    scene, due = _scene(pool, drill, action, controller.pid), asyncio.Event()
    due.set()
    await _strike(drill, scene, due)
    ended = await controller.wait()
    await pool.reopen()
    return "controller-killed" if ended == -signal.SIGKILL else f"controller ended with {ended}"


def _scene(pool: FaultPool, drill: Drill, action: Migrate, controller: int = 0) -> Scene:
    return Scene(
        pool=pool,
        action_id=action.id,
        guest=action.instance,
        source=action.source,
        target=action.target,
        controller=controller,
        chance=drill.chance,
    )


def _limits(progress: Progress) -> bool:
    """Return whether a move holds vCPUs to a limit now."""
    return progress.flow is not None and bool(progress.flow.limits_mib_s)


async def _start_again(pool: FaultPool, drill: Drill) -> None:
    """Start a guest that ended with its host, where it is at home."""
    host = pool.home(drill.guest)
    pool.open_window()
    action = Start(id=f"again-{drill.number}", instance=drill.guest, host=host)
    async for _ in pool.engine.perform(action, fence=FENCE):
        pass
    await pool.wait_alive(drill.guest, patience_s=_PATIENCE_S)


async def _strike(drill: Drill, scene: Scene, due: asyncio.Event) -> None:
    await due.wait()
    if drill.fault.strike is not nothing:
        await asyncio.sleep(drill.after_s)
    await drill.fault.strike(scene)


async def _until_it_ended(pool: FaultPool, action: Migrate) -> None:
    """Wait until nobody does the action any more; who finds it left brings it to its end."""
    with contextlib.suppress(TimeoutError):  # what is looked at then shows that it did not
        async with asyncio.timeout(_PATIENCE_S):
            while await _is_running(pool, action):  # noqa: ASYNC110  # on disk
                await asyncio.sleep(0.2)


async def _is_running(pool: FaultPool, action: Migrate) -> bool:
    """Return whether an action is under way, or cannot be brought to its end yet."""
    try:
        return await pool.engine.find(action.id) is Trace.RUNNING
    except BillowError as error:
        print(f"  not settled yet: {error.brief}: {error.details}", file=sys.stderr, flush=True)
        return True


async def _controller(settings: Settings, action: Migrate) -> None:
    """Perform a move, as a controller that may be killed at any instant."""
    engine = await open_engine(settings, SystemClock())
    async for progress in engine.perform(action, fence=FENCE):
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more
            limited = _LIMITED if _limits(progress) else "-"
            print(progress.fraction, limited, progress.phase, flush=True)
    await engine.aclose()


def _main() -> None:
    raw, document = json.loads(sys.stdin.readline())
    settings = Settings.model_validate({**raw, "state_dir": Path(raw["state_dir"])})
    action = action_from_document(document)
    assert isinstance(action, Migrate)
    asyncio.run(_controller(settings, action))


if __name__ == "__main__":
    _main()
