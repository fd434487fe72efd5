# SPDX-License-Identifier: Apache-2.0
"""Keep a guest from filling this machine's disk through its serial line."""

import os
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 16 * 2**20
KEPT_BYTES: Final = 2**20


def trim(log: Path, most: int = MOST_BYTES, kept: int = KEPT_BYTES) -> bool:
    """Cut a serial log down to its newest lines once it is too long; return whether it was.

    QEMU appends, so it goes on at the new end; what it writes in that instant may be lost.
    """
    try:
        handle = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        size = os.fstat(handle).st_size
        if size <= most:
            return False
        tail = os.pread(handle, kept, size - kept)
        os.ftruncate(handle, 0)
        os.pwrite(handle, tail[tail.find(b"\n") + 1 :], 0)
        return True
    finally:
        os.close(handle)
