# SPDX-License-Identifier: Apache-2.0
"""A controller of real QEMU machines that kills itself, as a process of its own.

python -m tests.act.mortal STATE AT before|after

It opens the state folder, makes the round's plan, and ends by SIGKILL before or after its AT-th
journal write. Without a death it exits with 0.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from billow.act.clock import SystemClock
from billow.engines.qemu.open import open_engine
from billow.model.action import Action, Delete, Migrate, Place, Start, Stop
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.settings import Settings
from billow.store.store import Store
from tests.act.control import Controller, MortalJournal

SHAPE = Shape("tiny", 100, 64)
HOSTS = ("h1", "h2")


class Killed(MortalJournal):
    """A journal whose death is the process's own, by SIGKILL."""

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def first_actions() -> list[Action]:
    """Return what makes the instances that every round works on."""
    made = (Instance(name, SHAPE, image="firmware") for name in ("mover", "sleeper", "old-0"))
    return [Place(instance=instance, host="h1") for instance in made]


def round_of(pool: Pool) -> list[Action]:
    """Return one round: something new, a move, a stop or start, the end of what was new before."""
    source = pool.instance("mover").host
    target = HOSTS[1 - HOSTS.index(source)]
    sleeper = Stop if pool.instance("sleeper").state is State.RUNNING else Start
    (old,) = (name for name in pool.instances.id if name.startswith("old-"))
    new = f"old-{int(old.removeprefix('old-')) + 1}"
    return [
        Place(instance=Instance(new, SHAPE, image="firmware"), host="h1"),
        Migrate(instance="mover", source=source, target=target),
        sleeper(instance="sleeper", host="h1"),
        Delete(instance=old, host="h1"),
    ]


def settings_of(state: Path) -> Settings:
    """Return the settings of the pool in a state folder."""
    return Settings(engine="qemu", state_dir=state, hosts=len(HOSTS), pool="crash")


@asynccontextmanager
async def controller(
    state: Path, name: str, *, at: int = 0, after: bool = False
) -> AsyncIterator[Controller]:
    """Open a state folder as a controller that holds the lease."""
    settings = settings_of(state)
    store = await Store.open(settings.database_url)
    engine = await open_engine(settings, SystemClock())
    journal = Killed(store, at=at, after=after)
    born = Controller(store, engine, name, journal, Limits())
    assert await born.writer.turn()
    try:
        yield born
    finally:
        await born.loop.aclose()
        await born.writer.release()
        await engine.aclose()
        await store.aclose()


async def carry_out(state: Path, at: int, *, after: bool) -> None:
    """Make and carry out the plan of a round, and die on the way."""
    async with controller(state, f"dies-{at}-{after}", at=at, after=after) as born:
        pool = await born.world.collector.fresh()
        await born.carry_out(await born.plan(round_of(pool)))


def main(arguments: Sequence[str]) -> None:
    """Run one round."""
    state, at, when = arguments
    asyncio.run(carry_out(Path(state), int(at), after=when == "after"))


if __name__ == "__main__":
    main(sys.argv[1:])
