# SPDX-License-Identifier: Apache-2.0
"""A world in a file: whatever happens to the processes that look at it, it is one world."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.engines.sim.lab import move, place

from billow.act.clock import SystemClock
from billow.engines.sim import keep
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.script import Script
from billow.engines.sim.setting import Setting
from billow.engines.sim.timing import Timing
from billow.errors import Invalid, Refused, Unavailable
from billow.model.action import Action, Cordon, Delete
from billow.model.pool import Pool
from billow.ports import Trace
from billow.testing.clock import VirtualClock
from billow.testing.pools import pool

POOL = pool("3 hosts x 64GiB 16c; a: 6 vms x 10GiB 1c dirty=100 spread")


def never() -> Pool:
    """Stand where a pool is asked for that must not be."""
    raise AssertionError("the world was begun a second time")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "world.log"


class Restarts:
    """Engines on one file that come and go."""

    def __init__(self, path: Path, setting: Setting | None = None) -> None:
        self.clock = VirtualClock()
        self._path = path
        self._setting = setting

    def engine(self, begin: Callable[[], Pool] = never, **changes: object) -> SimEngine:
        """Open an engine."""
        setting = self._setting or Setting(**changes)  # type: ignore[arg-type]
        return SimEngine.open(begin, self.clock, state_path=self._path, setting=setting)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


async def do(engine: SimEngine, action: Action, fence: int = 1) -> None:
    async for _ in engine.perform(action, fence=fence):
        pass


def test_what_is_under_way_goes_on_while_nobody_looks(path: Path) -> None:
    restarts = Restarts(path)

    async def story() -> None:
        reports = restarts.engine(lambda: POOL).perform(move("a1", "h1", "h2"), fence=3)
        await anext(reports)
        await restarts.clock.sleep(5.0)
        again = restarts.engine()
        assert await again.find("move-a1") is Trace.RUNNING
        progress = await anext(again.perform(move("a1", "h1", "h2"), fence=3))
        assert 0.3 < progress.fraction < 0.6
        await restarts.clock.sleep(3600.0)
        last = restarts.engine()
        assert await last.find("move-a1") is Trace.DONE
        assert (await last.sense()).instance("a1").host == "h2"

    asyncio.run(story())


def test_a_replayed_world_is_the_same_world(path: Path) -> None:
    script = Script.parse("at 30 host h3 dies\non 2nd migrate fails at 0.3")
    restarts = Restarts(path, Setting(Timing(throttle=True), script))

    async def story() -> list[object]:
        first = restarts.engine(lambda: POOL)
        moves = [move("a1", "h1", "h2"), move("a2", "h2", "h3"), move("a4", "h1", "h3")]
        await asyncio.gather(*(do(first, each) for each in moves), return_exceptions=True)
        await do(first, place("x", "h1"))
        held, seen = restarts.engine(), []
        for engine in (first, held):
            pool_now = await engine.sense()
            traces = [await engine.find(each.id) for each in moves]
            seen.append((pool_now.digest, pool_now.taken_at, traces))
        return list(seen)

    first, second = asyncio.run(story())
    assert first == second


def test_a_file_begins_anew_when_it_has_grown_and_forgets_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "MOST_RECORDS", 10)
    restarts = Restarts(path)

    async def story() -> None:
        engine, other = restarts.engine(lambda: POOL), restarts.engine()
        for number in range(25):
            await do(engine, place(f"n{number}", "h1"), fence=number)
            if number % 2:
                delete = Delete(id=f"d{number}", instance=f"n{number}", host="h1")
                await do(other, delete, fence=number)
        assert lines(path) < 14
        again = restarts.engine()
        for each in (engine, other, again):
            assert await each.find("place-n0") is Trace.DONE
            assert await each.find("d23") is Trace.DONE
            assert (await each.sense()).digest == (await engine.sense()).digest
        await do(again, place("n1", "h1"), fence=24)  # its known outcome, not a new one
        assert "n1" not in (await again.sense()).instances.row

    asyncio.run(story())


def test_two_beginnings_at_one_moment_are_told_apart(path: Path) -> None:
    restarts = Restarts(path)

    async def story() -> None:
        first = restarts.engine(lambda: POOL)
        for number in range(3):
            await do(first, Cordon(id=f"c{number}", host="h1", why=f"reason-{number}"))
            restarts.engine()  # tidies the file; not a moment has passed
            assert (await first.sense()).host("h1").cordon == f"reason-{number}"

    asyncio.run(story())


def test_a_failure_is_remembered_with_its_reason(path: Path) -> None:
    restarts = Restarts(path, Setting(script=Script.parse("on migrate fails at 0.5")))

    async def story() -> None:
        with pytest.raises(Refused):
            await do(restarts.engine(lambda: POOL), move("a1", "h1", "h2"))
        restarts.engine()  # tidies the file
        last = restarts.engine()
        assert await last.find("move-a1") is Trace.FAILED
        with pytest.raises(Refused, match="script"):
            await do(last, move("a1", "h1", "h2"))

    asyncio.run(story())


def test_a_new_speed_goes_on_from_where_the_world_was(path: Path) -> None:
    restarts = Restarts(path)

    async def story() -> None:
        first = restarts.engine(lambda: POOL)
        await restarts.clock.sleep(100.0)
        task = asyncio.create_task(do(first, move("a1", "h1", "h2")))
        await restarts.clock.sleep(1.0)
        began = restarts.clock.now()
        fast = restarts.engine(speed=1000.0)
        await do(fast, move("a1", "h1", "h2"))
        assert restarts.clock.now() - began < 0.05
        await task
        assert (await first.sense()).digest == (await fast.sense()).digest

    asyncio.run(story())


@pytest.mark.parametrize("torn", [b'{"at":1.0,"fence', b"\x00\x00\x00", b'{"at"'])
def test_a_write_that_was_cut_off_counts_as_not_written(path: Path, torn: bytes) -> None:
    restarts = Restarts(path)

    async def story() -> None:
        await do(restarts.engine(lambda: POOL), place("x", "h1"))
        with path.open("ab") as file:
            file.write(torn)
        again = restarts.engine()
        await do(again, place("y", "h1"))
        seen = await restarts.engine().sense()
        assert {"x", "y"} <= set(seen.instances.id)

    asyncio.run(story())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello\n",
        b"[]\n",
        b'{"format":"billow-world","version":99}\n',
        b'{"format":"billow-world","version":1}\n',
        b'{"format":"billow-world","version":1,"pool":"AAAA","now":0,"began_at":0}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_damaged_file_is_told_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(Invalid):
        Restarts(path).engine(lambda: POOL)
    assert path.read_bytes() == content


def test_a_damaged_record_is_told(path: Path) -> None:
    restarts = Restarts(path)
    asyncio.run(do(restarts.engine(lambda: POOL), place("x", "h1")))
    with path.open("ab") as file:
        file.write(json.dumps({"at": "soon"}).encode() + b"\n")
    with pytest.raises(Invalid):
        restarts.engine()


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable):
        Restarts(tmp_path / "file" / "world.log").engine(lambda: POOL)


def test_a_file_that_went_away_is_unavailable(path: Path) -> None:
    engine = Restarts(path).engine(lambda: POOL)
    path.unlink()
    with pytest.raises(Unavailable):
        asyncio.run(engine.sense())


CHILD = """
import asyncio, sys
from pathlib import Path
from billow.act.clock import SystemClock
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.setting import Setting
from tests.engines.sim.lab import place

async def main(path, name, count):
    engine = SimEngine.open(None, SystemClock(), state_path=Path(path), setting=Setting(speed=50.0))
    for number in range(int(count)):
        async for _ in engine.perform(place(f"{name}{number}", "h1"), fence=1):
            print(f"{name}{number}", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def child(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    """Start a process that places instances one after the other, and says when each has begun."""
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), name, str(count)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )


TINY = pool("1 host x 1024GiB 1000c")


def test_a_killed_controller_loses_nothing(path: Path) -> None:
    clock, setting = SystemClock(), Setting(speed=50.0)
    SimEngine.open(lambda: TINY, clock, state_path=path, setting=setting)
    with child(path, "k", 1000) as process:
        assert process.stdout is not None
        begun = [process.stdout.readline().strip() for _ in range(5)]
        process.send_signal(signal.SIGKILL)
        begun += [line.strip() for line in process.stdout]
    time.sleep(0.2)  # the world goes on; a place takes 0.04 s at this speed

    async def story() -> None:
        engine = SimEngine.open(never, clock, state_path=path, setting=setting)
        for name in dict.fromkeys(begun):
            assert await engine.find(f"place-{name}") is Trace.DONE
            assert (await engine.sense()).instance(name).host == "h1"

    asyncio.run(story())


def test_two_processes_see_one_world(path: Path) -> None:
    clock, setting = SystemClock(), Setting(speed=50.0)
    SimEngine.open(lambda: TINY, clock, state_path=path, setting=setting)
    with child(path, "a", 20) as first, child(path, "b", 20) as second:
        assert (first.wait(30), second.wait(30)) == (0, 0)

    async def names() -> set[str]:
        engine = SimEngine.open(never, clock, state_path=path, setting=setting)
        return set((await engine.sense()).instances.id)

    assert asyncio.run(names()) == {f"{name}{number}" for name in "ab" for number in range(20)}
