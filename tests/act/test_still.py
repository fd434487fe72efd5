# SPDX-License-Identifier: Apache-2.0
"""A controller that stands still over an action is ended by its successor, and nobody else is."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from billow.act.deed import Deed, Deeds, Standing
from billow.act.durable import take_lock
from billow.act.performer import Performer
from billow.act.still import STILL_S, beat, end_still
from billow.errors import Leased
from billow.model.action import Action, Start
from billow.model.run import Progress
from billow.ports import Blocker, Trace

ACTION: Final = Start(id="a1", instance="web", host="h1")
OTHER: Final = Start(id="a2", instance="db", host="h1")
EARLIER: Final = """
import asyncio, sys
from pathlib import Path
from tests.act.test_still import ACTION, Work, following, performer

async def main():
    mine = performer(Path(sys.argv[1]), Work(float(sys.argv[2]), loud=True))
    await following(mine, ACTION, 1)

asyncio.run(main())
"""
LONG_S: Final = 60.0


class Work:
    """An engine's craft that takes its time, and counts what it did."""

    past_recall: frozenset[str] = frozenset()

    def __init__(self, takes_s: float = 0.0, *, loud: bool = False) -> None:
        self._takes_s = takes_s
        self._loud = loud
        self.did: list[str] = []
        self.mended: list[str] = []

    async def do(self, action: Action) -> AsyncGenerator[Progress, None]:
        """Do it, after a while."""
        if self._loud:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
        await asyncio.sleep(self._takes_s)
        self.did.append(action.id)
        yield Progress(1.0)

    async def mend(self, action: Action) -> bool:
        """Take back what somebody left."""
        self.mended.append(action.id)
        return False

    async def blockers(self, action: Action, under_way: Sequence[Action]) -> Sequence[Blocker]:
        """Refuse nothing."""
        return ()

    def left(self) -> Collection[str]:
        """Nothing is left beside the deeds."""
        return ()

    async def settle(self, subject: str) -> None:
        """Never asked."""

    def changed(self) -> None:
        """Nothing is remembered."""


def performer(folder: Path, work: Work) -> Performer:
    """Return one controller's performer over a state folder."""
    return Performer("test", work, Deeds(folder))


async def following(mine: Performer, action: Action, fence: int) -> None:
    """Do an action to its end."""
    async for _ in mine.perform(action, fence=fence):
        pass


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A controller in a process of its own that does the action for a minute."""
    yield from _controller(tmp_path, LONG_S)


def _controller(folder: Path, takes_s: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", EARLIER, str(folder), str(takes_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


async def _succeed(folder: Path, action: Action, fence: int = 2) -> Work:
    """Do an action as the writer that came after; return what it took."""
    mine = performer(folder, work := Work())
    try:
        async with asyncio.timeout(LONG_S / 2):
            await following(mine, action, fence)
        assert await mine.find(action.id) is Trace.DONE
    finally:
        await mine.aclose()
    return work


@pytest.mark.parametrize("action", [ACTION, OTHER], ids=["the same action", "another action"])
def test_who_stands_still_is_ended_and_what_it_left_is_brought_to_its_end(
    tmp_path: Path, earlier: subprocess.Popen[str], action: Start
) -> None:
    earlier.send_signal(signal.SIGSTOP)
    work = asyncio.run(_succeed_when_still(tmp_path, action))
    assert earlier.wait(5) == -signal.SIGKILL
    assert work.mended == [ACTION.id]
    assert work.did[-1:] == [action.id]


async def _succeed_when_still(folder: Path, action: Action) -> Work:
    await asyncio.sleep(STILL_S + 0.1)  # the lease, which is longer
    return await _succeed(folder, action)


def test_it_is_ended_as_well_if_it_stops_only_while_its_successor_waits(
    tmp_path: Path, earlier: subprocess.Popen[str]
) -> None:
    async def stop_meanwhile() -> Work:
        succeeding = asyncio.create_task(_succeed(tmp_path, ACTION))
        await asyncio.sleep(0.5)
        earlier.send_signal(signal.SIGSTOP)
        return await succeeding

    with pytest.raises(Exception, match="died"):  # the guard asks again, and does it
        asyncio.run(stop_meanwhile())
    assert earlier.wait(5) == -signal.SIGKILL
    assert asyncio.run(_succeed(tmp_path, ACTION)).did == [ACTION.id]


def test_who_goes_on_is_waited_for(tmp_path: Path) -> None:
    for process in _controller(tmp_path, STILL_S + 1.0):
        assert asyncio.run(_succeed(tmp_path, ACTION, fence=1)).did == []
        assert process.wait(5) == 0


def test_who_waits_for_another_stops_when_the_lease_is_a_third_ones(
    tmp_path: Path, earlier: subprocess.Popen[str]
) -> None:
    async def overtaken() -> None:
        mine = performer(tmp_path, Work())
        waiting = asyncio.create_task(following(mine, ACTION, 2))
        await asyncio.sleep(0.3)
        with closing(Deeds(tmp_path)) as third:
            third.check_fence(3)
        try:
            async with asyncio.timeout(LONG_S / 2):
                await waiting
        finally:
            await mine.aclose()

    with pytest.raises(Leased):
        asyncio.run(overtaken())
    assert earlier.poll() is None


@pytest.fixture
def token(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A controller's file that this process holds, with the number of one that does not."""
    handle = take_lock(file := tmp_path / "token")
    assert handle is not None
    with subprocess.Popen(["sleep", str(LONG_S)]) as stranger:
        file.write_text(str(stranger.pid))
        yield file, stranger.pid
        assert stranger.poll() is None
        stranger.kill()
    os.close(handle)


def _age(file: Path, age_s: float) -> None:
    beat(file)
    at = file.stat().st_mtime_ns - int(age_s * 1e9)
    os.utime(file, ns=(at, at))


@pytest.mark.parametrize("said", ["", "none", "0", "-1", str(2**40), "stranger", "own"])
def test_nobody_is_ended_by_a_number_alone(token: tuple[Path, int], said: str) -> None:
    file, stranger = token
    file.write_text({"stranger": str(stranger), "own": str(os.getpid())}.get(said, said))
    _age(file, 2 * STILL_S)
    assert not end_still(file)


def test_who_never_beat_is_left_alone(tmp_path: Path) -> None:
    command = ["sh", "-c", f"exec 9>'{tmp_path}/token'; echo $$ >&9; echo open; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert not end_still(tmp_path / "token")
        _age(tmp_path / "token", STILL_S / 2)
        assert not end_still(tmp_path / "token")
        _age(tmp_path / "token", 2 * STILL_S)
        assert end_still(tmp_path / "token")
        assert holder.wait(5) == -signal.SIGKILL
    assert not end_still(tmp_path / "token")
    assert not end_still(tmp_path / "gone")


def test_only_an_action_under_way_ends_its_controller(tmp_path: Path) -> None:
    with closing(Deeds(tmp_path)) as deeds:
        begun = deeds.begin(ACTION)
        done = Deed(document=begun.document, standing=Standing.DONE, owner=deeds.token)
        assert not deeds.end_still(done)
        assert not deeds.end_still(begun)  # its own
