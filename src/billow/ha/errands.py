# SPDX-License-Identifier: Apache-2.0
"""What other threads want done in an event loop's own thread: put down by any, done by that one."""

import contextlib
import os
from collections import deque
from collections.abc import Callable

import structlog

log = structlog.get_logger()


class Errands:
    """Commands, and a bell that an event loop can wait for.

    Attributes:
        bell: The handle to wait for.
    """

    def __init__(self) -> None:
        self._commands: deque[Callable[[], None]] = deque()
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, command: Callable[[], None]) -> None:
        """Let the loop's thread do something."""
        self._commands.append(command)
        with contextlib.suppress(OSError):  # it has ended
            os.eventfd_write(self.bell, 1)

    def run(self) -> None:
        """Do all of it; one that fails is logged, and stops no other."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.bell)
        while self._commands:
            command = self._commands.popleft()
            try:
                command()
            except Exception:
                log.exception("unexpected error in what another thread wanted")

    def close(self) -> None:
        """Let go of the bell."""
        os.close(self.bell)
