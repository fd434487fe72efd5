# SPDX-License-Identifier: Apache-2.0
"""Jobs that tests run as processes of their own, to race and to be killed.

Each says words, one line per thing that has happened, in a file that outlives it. The processes are
forked from one that has imported everything, so that a start takes milliseconds.
"""

import asyncio
import os
import time
from collections.abc import Callable
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from tests.store.examples import a_plan, a_pool, a_run

from billow.errors import Conflict
from billow.model.event import Event, EventKind
from billow.model.run import Entry, Phase
from billow.store import Store

ACTIONS = 2000
PATIENCE_S = 60.0
Say = Callable[[str], None]

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.store.workers"])


class Worker:
    """A job in a process of its own; it begins when the folder has a file `go`."""

    def __init__(self, job: str, url: str, name: str, folder: Path) -> None:
        self._said = folder / f"{name}.said"
        self.process = _FORKS.Process(target=_work, args=(job, url, name, folder))
        self.process.start()

    def said(self) -> list[str]:
        """Return the whole lines that it has said so far."""
        text = self._said.read_text() if self._said.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def wait_until_said(self, what: str, times: int) -> None:
        """Return when so many lines begin with a word."""
        end = time.monotonic() + PATIENCE_S
        while sum(line.startswith(what) for line in self.said()) < times:
            assert self.process.is_alive()
            assert time.monotonic() < end
            time.sleep(0.001)

    def result(self) -> list[str]:
        """Return what it said when it is done. Fails when it did."""
        self.process.join(PATIENCE_S)
        assert self.process.exitcode == 0
        return self.said()


def _work(job: str, url: str, name: str, folder: Path) -> None:
    words = os.open(folder / f"{name}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(line: str) -> None:
        os.write(words, f"{line}\n".encode())

    while not (folder / "go").exists():
        time.sleep(0.001)
    asyncio.run(_with_store(job, url, name, say))


async def _with_store(job: str, url: str, name: str, say: Say) -> None:
    store = await Store.open(url)
    await JOBS[job](store, name, say)
    await store.aclose()


async def acquire(store: Store, name: str, say: Say) -> None:
    """Ask for the lease once; say who has it, or `none`."""
    lease = await store.acquire(name, 1e6, now=1.0)
    say(f"{lease.holder} {lease.fence}" if lease else "none")


async def begin(store: Store, name: str, say: Say) -> None:
    """Begin the plan `p` under the lease that is there; say `won` or `lost`."""
    lease = await store.lease()
    assert lease is not None
    plan = a_plan(a_pool())
    try:
        await store.begin(a_run(plan, lease.fence, name), plan)
    except Conflict:
        say("lost")
    else:
        say("won")


async def tell(store: Store, name: str, say: Say) -> None:
    """Tell 200 events, several at a time."""
    for part in range(20):
        texts = [f"{name} {part * 10 + number}" for number in range(10)]
        events = (Event(EventKind.CONTROLLER, 1.0, text, (f"host/{name}",)) for text in texts)
        await asyncio.gather(*(store.tell(event) for event in events))
    say("done")


async def carry_out(store: Store, name: str, say: Say) -> None:
    """Carry out a plan, eight actions at a time; say how it goes.

    `deed N` is said when action N is performed, `durable N` when its outcome is known to be kept.
    """
    lease = await store.acquire(name, 1e6, now=1.0)
    assert lease is not None
    pool = a_pool(ACTIONS)
    plan = a_plan(pool)
    await store.save_plan(plan, pool, actor="ada")
    run = a_run(plan, lease.fence)
    await store.begin(run, plan)
    places = count()

    async def perform() -> None:
        while (place := next(places)) < ACTIONS:
            action = plan.steps[place].action.id
            await store.intend(run.id, action, fence=lease.fence, at=3.0)
            say(f"deed {action}")
            await store.conclude(run.id, Entry(action, Phase.DONE, 3.0, 4.0), fence=lease.fence)
            say(f"durable {action}")

    await asyncio.gather(*(perform() for _ in range(8)))


JOBS = {"acquire": acquire, "begin": begin, "tell": tell, "carry_out": carry_out}
