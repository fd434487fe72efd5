# SPDX-License-Identifier: Apache-2.0
"""The watchdog: what a device says counts, and it is fed while the lease holds and not after it."""

import array
import errno
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billow.agent import watchdog
from billow.agent.board import Board
from billow.agent.clock import now
from billow.agent.memory import Memory
from billow.agent.options import Options
from billow.agent.parent import Parent
from billow.agent.promise import FAR, Promise
from billow.agent.trust import as_client
from billow.errors import Unavailable
from tests.agent.papers import Authority

Make = Callable[[Options], Parent]


class Driver:
    """A kernel's driver of a watchdog that waits for `timeout_s` whatever is asked of it."""

    def __init__(self, timeout_s: int | None) -> None:
        self.timeout_s = timeout_s
        self.fed = 0
        self.fails = 0
        """How many times it takes no food."""

    def ioctl(self, handle: int, request: int, given: "array.array[int]") -> int:
        """Answer as the kernel does."""
        del handle
        if request == 0x80045707:  # WDIOC_GETTIMEOUT
            if self.timeout_s is None:
                raise OSError(errno.EOPNOTSUPP, "no such thing")
            given[0] = self.timeout_s
        elif request == 0x80045705:  # WDIOC_KEEPALIVE
            if self.fails:
                self.fails -= 1
                raise OSError(errno.EIO, "it takes none")
            self.fed += 1
        else:
            raise OSError(errno.EOPNOTSUPP, "it has one time-out only")
        return 0


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "watchdog"
    path.touch()
    return path


def driven(monkeypatch: pytest.MonkeyPatch, timeout_s: int | None) -> Driver:
    driver = Driver(timeout_s)
    monkeypatch.setattr(fcntl, "ioctl", driver.ioctl)
    return driver


@pytest.fixture
def parent_of() -> Iterator[Callable[[Options], Parent]]:
    """Make parents that begin no children."""
    made: list[Parent] = []

    def make(options: Options) -> Parent:
        made.append(Parent(options, ()))
        return made[-1]

    yield make
    for parent in made:
        parent._ours.close()
        parent._theirs.close()


def options_of(tmp_path: Path, device: Path) -> Options:
    state = tmp_path / "agent"
    state.mkdir(exist_ok=True)
    return Options(host="h1", state=state, boot="b", watchdog=str(device), lease_s=10.0)


def test_a_device_waits_for_as_long_as_it_says(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven(monkeypatch, timeout_s=60)
    assert watchdog.Device(device, 5.0).timeout_s == 60


def test_a_device_that_does_not_say_is_stopped_and_refused(
    device: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven(monkeypatch, timeout_s=None)
    with pytest.raises(Unavailable, match="does not say how long"):
        watchdog.Device(device, 5.0)
    assert device.read_bytes() == b"V"


def test_a_lease_that_the_device_cannot_keep_is_refused_and_resets_nothing(
    tmp_path: Path,
    device: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    parent_of: Make,
) -> None:
    driver = driven(monkeypatch, timeout_s=60)
    options = options_of(tmp_path, device)
    authority.papers(options.state, "host", "h1")
    promise = Promise(options, Memory(options.state, "b"), as_client(options.state))
    parent = parent_of(options)
    order = {"id": "o1", "do": "arm", "lease_s": 10.0}
    assert promise.arm(order, 0) is None, "it has not been fed yet"
    parent._feed()
    said = promise.arm(order, 0)
    assert said == {"ok": False, "text": "10 s is too short for a watchdog of 60 s"}
    assert promise.possible_s == 0
    promise.keep(now())
    assert Board(options.state).feed_until == FAR, "what runs is fed, for nothing is promised"
    fed = driver.fed
    parent._feed()
    assert driver.fed == fed + 1


def test_what_took_no_food_is_kept_and_offered_some_again(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch, parent_of: Make
) -> None:
    driver = driven(monkeypatch, timeout_s=5)
    options = options_of(tmp_path, device)
    parent, board = parent_of(options), Board(options.state)
    board.feed_until = FAR
    parent._feed()
    opened = parent._watchdog
    driver.fails = 1
    parent._feed()
    assert parent._watchdog is opened
    fed_at = board.fed_at
    parent._feed()
    assert (driver.fed, parent._watchdog) == (2, opened)
    assert board.fed_at > fed_at


def test_nothing_is_fed_when_the_lease_ended_while_the_watchdog_was_opened(
    tmp_path: Path, device: Path, monkeypatch: pytest.MonkeyPatch, parent_of: Make
) -> None:
    driver = driven(monkeypatch, timeout_s=5)
    options = options_of(tmp_path, device)
    parent, board = parent_of(options), Board(options.state)
    board.feed_until = now() + 5

    def slowly(given: Options) -> watchdog.Watchdog:
        board.feed_until = now() - 0.001
        return watchdog.Device(Path(given.watchdog), 5.0)

    monkeypatch.setattr("billow.agent.parent.opened", slowly)
    parent._feed()
    assert (driver.fed, board.fed_at) == (0, 0)
