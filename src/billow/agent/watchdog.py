# SPDX-License-Identifier: Apache-2.0
"""What resets a host that is not fed: the kernel's watchdog device, or a stand-in for a lab.

The stand-in is a process of its own that ends every guest with SIGKILL when it gets no food. It
proves nothing about a host whose kernel hangs; it lets a machine without a device show the rest.
"""

import array
import fcntl
import os
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Final, Protocol

from billow.agent.clock import now
from billow.agent.guests import counted, running
from billow.agent.memory import runtime_folder
from billow.agent.options import Options
from billow.errors import Unavailable

STAND_IN: Final = "stand-in"
STAND_IN_S: Final = 2.0
_SET_TIMEOUT: Final = 0xC0045706  # WDIOC_SETTIMEOUT, linux/watchdog.h
_KEEPALIVE: Final = 0x80045705  # WDIOC_KEEPALIVE
_GET_TIMEOUT: Final = 0x80045707  # WDIOC_GETTIMEOUT
_STOP: Final = b"V"  # a device that is closed after this one does not reset, unless `nowayout`
FOOD: Final = struct.Struct("d")
"""The stand-in's food: when it was given, so that the time it lay in the pipe counts."""
_EARLY_S: Final = 0.25
"""The stand-in acts so much before its time is over: to find all guests takes a while."""
_EVERY_S: Final = 0.1
"""How often the stand-in looks for guests once it has acted."""


class Watchdog(Protocol):
    """Acts when it gets no food."""

    timeout_s: float
    """How long it waits for food."""

    def feed(self) -> None:
        """Give it food. Raises OSError when it takes none."""


class Device:
    """The kernel's watchdog.

    Raises Unavailable when it cannot be had: no such device, somebody else holds it, or it does not
    say how long it waits, and then it is stopped again.
    """

    def __init__(self, path: Path, wanted_s: float) -> None:
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unavailable(
                f"there is no watchdog: {path}: {error.strerror}",
                fix="load its module; where systemd holds it, set RuntimeWatchdogSec=0",
            ) from error
        with suppress(OSError):  # some have one time-out only, or other ones: it is read back
            fcntl.ioctl(self._handle, _SET_TIMEOUT, array.array("i", [max(1, int(wanted_s))]))
        try:
            self.timeout_s = self._told_s()
        except OSError as error:
            self._stop()
            raise Unavailable(f"{path} does not say how long it waits: {error.strerror}") from error

    def _told_s(self) -> float:
        seconds = array.array("i", [0])
        fcntl.ioctl(self._handle, _GET_TIMEOUT, seconds)
        return float(seconds[0])

    def _stop(self) -> None:
        with suppress(OSError):
            os.write(self._handle, _STOP)
        os.close(self._handle)

    def feed(self) -> None:
        """Give it food."""
        fcntl.ioctl(self._handle, _KEEPALIVE, array.array("i", [0]))


class StandIn:
    """The process that ends the guests, begun when it is not there yet."""

    def __init__(self, options: Options) -> None:
        self.timeout_s = STAND_IN_S
        self._pipe = runtime_folder(options.state) / "food"
        with suppress(FileExistsError):
            os.mkfifo(self._pipe, 0o600)
        # Held for reading, too: so it opens at once, whether the process is there yet or not.
        self._handle = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        command = [sys.executable, "-m", "billow.agent", "--role", STAND_IN]
        command += ["--state", str(options.state)]
        command += ["--own-namespace"] if options.own_namespace else []
        subprocess.Popen(command, start_new_session=True)  # noqa: S603 (itself)

    def feed(self) -> None:
        """Give it food."""
        with suppress(BlockingIOError):
            os.write(self._handle, FOOD.pack(now()))


def opened(options: Options) -> Watchdog:
    """Return the watchdog that an operator named. Raises Unavailable."""
    name = options.watchdog
    if name == STAND_IN:
        return StandIn(options)
    return Device(Path(name), wanted_s(name, options.lease_s))


def wanted_s(name: str, lease_s: float) -> float:
    """Return how long a watchdog shall wait for food; a device says itself what it will do."""
    return STAND_IN_S if name == STAND_IN else lease_s / 2


def no_way_out(path: Path) -> bool | None:
    """Tell whether a device, once opened, cannot be stopped; None when it does not say."""
    file = Path("/sys/class/watchdog") / path.name / "nowayout"
    with suppress(OSError):
        return file.read_text(encoding="ascii").strip() == "1"
    return None


def stand_in(options: Options) -> int:
    """Be the stand-in: wait for food, and end every guest when none comes. Returns an exit code.

    A second one ends at once. It never stops by itself: a watchdog that can be talked out of it
    is none.
    """
    folder = runtime_folder(options.state)
    net = counted(own_namespace=options.own_namespace)
    with (folder / "stand-in.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        return _watch(os.open(folder / "food", os.O_RDWR | os.O_NONBLOCK), folder, net)


def _watch(food: int, folder: Path, net: int) -> int:
    fed_at, acted = now(), False
    while True:
        left_s = fed_at + STAND_IN_S - _EARLY_S - now()
        if select([food], [], [], _EVERY_S if acted else max(0.0, left_s))[0]:
            ((fed_at,), acted) = FOOD.unpack(os.read(food, 65_536)[-FOOD.size :]), False
            continue
        _end_all(net)
        if not acted:
            (folder / "acted").write_text(f"{now()}\n", encoding="ascii")
        acted = True


def _end_all(net: int) -> None:
    for pid in running(net):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
