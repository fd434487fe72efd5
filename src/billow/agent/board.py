# SPDX-License-Identifier: Apache-2.0
"""A few numbers that the agent's processes share in memory: until when the watchdog may be fed.

Each is eight bytes. They outlive every process of the agent, but not the boot.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Final

from billow.agent.memory import runtime_folder

_NUMBER: Final = struct.Struct("d")


class _Number:
    """A number at a place of its own on a board."""

    def __init__(self, position: int) -> None:
        self._at = position * _NUMBER.size

    def __get__(self, board: "Board", kind: type) -> float:
        value: float = _NUMBER.unpack_from(board.bytes, self._at)[0]
        return value

    def __set__(self, board: "Board", value: float) -> None:
        _NUMBER.pack_into(board.bytes, self._at, value)


class Board:
    """The numbers; all times are of `clock.now`."""

    feed_until = _Number(0)
    """The watchdog may be fed before this instant; 0 while no lease binds."""
    fed_at = _Number(1)
    """When it was fed last; 0 for never."""
    device_s = _Number(2)
    """After so long without food it resets; 0 for none that works."""
    spoke_at = _Number(3)
    """When the speaker last went round its loop."""

    def __init__(self, state: Path) -> None:
        file = runtime_folder(state) / "board"
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(handle, mmap.PAGESIZE)
            self.bytes = mmap.mmap(handle, mmap.PAGESIZE)
        finally:
            os.close(handle)
