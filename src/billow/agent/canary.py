# SPDX-License-Identifier: Apache-2.0
"""Canaries: a small write and read on each storage pool, past every cache, again and again.

Each runs in a thread of its own, for one that hangs cannot be ended; what counts is how long ago
the last one came back.
"""

import errno
import mmap
import os
import struct
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from billow.agent.clock import now, wall
from billow.agent.findings import Progress
from billow.agent.options import Place
from billow.agent.threads import begin
from billow.errors import Unavailable
from billow.model.ha.evidence import Hardware, Network, Symptom

BLOCK: Final = 4096
EVERY_S: Final = 1.0
_STAMP: Final = struct.Struct("d")


class Canary:
    """Writes to a place and reads it back, again and again."""

    def __init__(self, place: Place, host: str, window_s: float) -> None:
        self.place = place
        self.went_well_at = now()
        self._file = place.path / f".billow-canary-{host}"
        self._window_s = window_s
        self._failed: tuple[float, str] | None = None
        self._buffer = mmap.mmap(-1, BLOCK)  # O_DIRECT wants a page of its own

    def start(self) -> None:
        """Begin."""
        begin(f"canary-{self.place.name}", self._run)

    @property
    def progress(self) -> Progress:
        """When it last came back."""
        return Progress(
            "storage",
            self.place.name,
            self.went_well_at,
            self._window_s,
            Hardware.HURTING,
            f"no write to {self.place.path} comes back",
            network=self._network,
        )

    @property
    def symptom(self) -> Symptom | None:
        """What its last try failed with; None when it went well or is under way."""
        if (failed := self._failed) is None:
            return None
        since, text = failed
        name = self.place.name
        return Symptom("storage", name, Hardware.HURTING, text, since, network=self._network)

    @property
    def _network(self) -> Network | None:
        return Network.STORAGE if self.place.shared else None

    def _run(self) -> None:
        while True:
            try:
                self.once()
            except (OSError, Unavailable) as error:
                since = self._failed[0] if self._failed else round(wall(), 3)
                self._failed = (since, f"{self.place.path}: {error}")
            threading.Event().wait(EVERY_S)

    def once(self) -> None:
        """Write and read once. Raises OSError, and Unavailable when something else came back."""
        stamp = now()
        _STAMP.pack_into(self._buffer, 0, stamp)
        handle = opened(self._file)
        try:
            os.pwritev(handle, [self._buffer], 0)
            os.preadv(handle, [self._buffer], 0)
        finally:
            os.close(handle)
        if _STAMP.unpack_from(self._buffer, 0)[0] != stamp:
            raise Unavailable("what was written is not what was read")
        self.went_well_at, self._failed = now(), None

    def document(self) -> dict[str, object]:
        """Return its progress for the speaker."""
        return asdict(self.progress)


def opened(file: Path) -> int:
    """Open a canary's file past the cache, or, where the file system cannot, synchronously."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_DSYNC
    with suppress(OSError):
        return os.open(file, flags | os.O_DIRECT, 0o600)
    try:
        return os.open(file, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise Unavailable(f"there is no folder {file.parent}") from error
        raise
