# SPDX-License-Identifier: Apache-2.0
"""Canaries: a small write and read on each storage pool, past every cache, again and again.

Each runs in a thread of its own, for one that hangs cannot be ended; what counts is how long ago
the last one came back.

Guests are ended where the path to their storage is lost, so it must not say that lightly. A pool
that never went well since the agent began is no lost path: it is a typing error in `--pool`, a
share that is yet to be mounted or that does not let this host write. It is told and grades nothing.
"""

import errno
import mmap
import os
import struct
import threading
from contextlib import suppress
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

LOST: Final = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ESHUTDOWN),
        *(errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.ENOLINK),
        *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED),
    }
)
"""Nobody behind the path answered, or the folder is gone though it was there: guests cannot read
either. Any other error is an answer. One that is not in `REFUSED` hurts the guests (EROFS: a mount
that closed itself after errors can still be read), and so they are moved and not ended."""
REFUSED: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM})
"""A pool that lives says no, to this file or to everybody: no host would be better off."""


class Canary:
    """Writes to a place and reads it back, again and again."""

    def __init__(self, place: Place, host: str, window_s: float) -> None:
        self.place = place
        self._answered_at = now()
        self._file = place.path / f".billow-canary-{host}"
        self._window_s = window_s
        self._failed: Symptom | None = None
        self._device = 0  # where it went well; none as long as it never did
        self._mount = Path("/")
        self._buffer = mmap.mmap(-1, BLOCK)  # O_DIRECT wants a page of its own

    def start(self) -> None:
        """Begin."""
        begin(f"canary-{self.place.name}", self._run)

    @property
    def progress(self) -> Progress:
        """When it was last answered: no answer for long is a lost path, as a time-out is."""
        grade, network = self._graded(errno.ETIMEDOUT)
        text = self._worded(f"no write to {self.place.path} comes back")
        name = self.place.name
        return Progress(
            "storage", name, self._answered_at, self._window_s, grade, text, network=network
        )

    @property
    def symptom(self) -> Symptom | None:
        """What its last try failed with; None when it went well or is under way."""
        return self._failed

    def _run(self) -> None:
        while True:
            self.look()
            threading.Event().wait(EVERY_S)

    def look(self) -> None:
        """Write and read once, and note how it went."""
        try:
            self._once()
        except OSError as error:
            self._note(error.errno or 0, error.strerror or str(error))
        except Unavailable as error:
            self._note(0, str(error))
        else:
            self._answered_at, self._failed = now(), None

    def _once(self) -> None:
        """Write and read once. Raises OSError, and Unavailable when something else came back."""
        stamp = now()
        _STAMP.pack_into(self._buffer, 0, stamp)
        handle = opened(self._file)
        try:
            device = os.fstat(handle).st_dev
            self._stay(device)
            os.pwritev(handle, [self._buffer], 0)
            os.preadv(handle, [self._buffer], 0)
        finally:
            os.close(handle)
        if _STAMP.unpack_from(self._buffer, 0)[0] != stamp:
            raise Unavailable("what was written is not what was read")
        if device != self._device:
            self._mount, self._device = mounted_at(self.place.path), device

    def _stay(self, device: int) -> None:
        """Raise OSError when a share was unmounted and the folder below it would be written.

        A share that is mounted later, or once more, is another device as well: that is no loss.
        """
        if self._device and device != self._device:
            here = mounted_at(self.place.path)
            if here in self._mount.parents:
                raise OSError(errno.ENODEV, f"nothing is mounted at {self._mount} any more")

    def _note(self, code: int, text: str) -> None:
        if code not in LOST:
            self._answered_at = now()
        grade, network = self._graded(code)
        known = self._failed
        same = known is not None and (known.grade, known.network) == (grade, network)
        since = known.since if known is not None and same else round(wall(), 3)
        text = self._worded(f"{self.place.path}: {text}")
        self._failed = Symptom("storage", self.place.name, grade, text, since, network=network)

    def _graded(self, code: int) -> tuple[Hardware, Network | None]:
        shared = self.place.shared
        if not self._device or (shared and code in REFUSED):
            return Hardware.SOUND, None
        return Hardware.HURTING, Network.STORAGE if shared and code in LOST else None

    def _worded(self, text: str) -> str:
        if self._device:
            return text
        option = "--pool" if self.place.shared else "--disk"
        return f"never written since the agent began, look at {option}: {text}"


def mounted_at(folder: Path) -> Path:
    """Return where the file system that carries a folder is mounted. Does I/O; may hang with it."""
    real = folder.resolve()
    return next(each for each in (real, *real.parents) if each.is_mount())


def opened(file: Path) -> int:
    """Open a canary's file past the cache, or, where the file system cannot, synchronously."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_DSYNC
    with suppress(OSError):
        return os.open(file, flags | os.O_DIRECT, 0o600)
    return os.open(file, flags, 0o600)
