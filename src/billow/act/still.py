# SPDX-License-Identifier: Apache-2.0
"""A controller that stands still in the middle of an action is ended by the one that took over.

A process that is stopped keeps its locks, so what it holds is neither done nor free, for as long as
nobody lets it go on. The lease is another's by then, so it may not go on anyway; what it left
half-way is as after a crash, for which everything is made. So its successor ends it, and its locks
fall: a proof, where waiting would be a guess.

While a controller does an action, its event loop writes the time into the date of its file.
"""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

BEAT_S: Final = 0.25
STILL_S: Final = 1.5
"""Without a beat for so long it stands still: less than a lease, so none who took over waits."""


def beat(controller: Path) -> None:
    """Date a controller's file, by the clock that is never set and that all processes share."""
    now = time.monotonic_ns()
    with contextlib.suppress(FileNotFoundError):
        os.utime(controller, ns=(now, now))


def end_still(controller: Path) -> bool:
    """End the process of a controller's file if it has beaten, and stands still now.

    Returns:
        Whether it was told to end. One that may not be ended, of another user, is left alone.
    """
    with contextlib.suppress(OSError, ValueError, OverflowError):
        since_s = time.monotonic() - controller.stat().st_mtime
        number = int(controller.read_text())
        if since_s < STILL_S or number == os.getpid():
            return False
        process = os.pidfd_open(number)
        try:
            if _has_open(number, controller):  # else the number is another process's by now
                signal.pidfd_send_signal(process, signal.SIGKILL)
                log.warning("ended a controller that stood still", pid=number, for_s=since_s)
                return True
        finally:
            os.close(process)
    return False


def _has_open(number: int, file: Path) -> bool:
    """Return whether a process has a file open. Raises OSError: it cannot be seen."""
    return any(each.samefile(file) for each in Path(f"/proc/{number}/fd").iterdir())
