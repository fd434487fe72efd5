# SPDX-License-Identifier: Apache-2.0
"""A world's file: how it began, and every submission since, one JSON line each, in order.

The file is only ever appended to, or replaced as a whole, under a lock, so several processes may
keep one world. A last line without its end is a write that was cut off, and counts as not written.
Appended lines survive the death of any process at once; they are not forced to the disk, since a
simulated cloud that forgets its last seconds in a power cut is a cloud that never did them.
"""

import fcntl
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from billow.errors import Invalid, Unavailable
from billow.model.action import Action
from billow.model.codec import action_document, action_from_document, pack, unpack
from billow.model.pool import Pool

Read = TypeVar("Read")
FORMAT = "billow-world"
VERSION = 1
_OPENING_BYTES = 128
"""As much of a file as tells it from the one that it replaced: its serial is in it."""


@dataclass(frozen=True)
class Head:
    """A world at rest: where a file begins.

    Attributes:
        now: Seconds since the world began.
        began_at: What the clock said then.
        past: What became of every action: `id -> [action, trace, error or None]`, as documents.
        met: How often each rule of the script has met an action.
        serial: How often the file was begun, so that no two beginnings are alike.
    """

    pool: Pool
    now: float
    began_at: float
    speed: float
    fence: int = 0
    past: Mapping[str, list[Any]] | None = None
    met: tuple[int, ...] = ()
    serial: int = 0


@dataclass(frozen=True)
class Record:
    """One thing that was done to the world from outside.

    Attributes:
        at: When, seconds of the world.
        fence: The fence it came with.
        action: What was submitted and accepted; None when only the fence or the speed rose.
        speed: The new speed from then on, 0 for no change.
        clock_now: What the clock said.
        cancelled: The action that was taken back; empty for none.
        fault: What befell hosts from outside, as its line; empty for nothing.
    """

    at: float
    fence: int = 0
    action: Action | None = None
    speed: float = 0.0
    clock_now: float = 0.0
    cancelled: str = ""
    fault: str = ""


class Ledger:
    """The file of one world, and how far this object has read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0
        self._opening = b""

    def exists(self) -> bool:
        """Return whether a world was begun in this file. Does I/O."""
        return self._path.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing. Does I/O. Raises Unavailable."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.with_suffix(".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise Unavailable(
                f"the simulated world in {self._path.name} cannot be kept: {error.strerror}",
                fix="give the state folder room and rights",
            ) from error

    def begin(self, head: Head) -> None:
        """Replace the file by one that begins here. Does I/O."""
        spare = self._path.with_suffix(".new")
        with spare.open("wb") as file:
            file.write(_line(_head_document(head)))
            file.flush()
            os.fsync(file.fileno())
        spare.replace(self._path)
        self._read_to = 0

    def append(self, record: Record) -> None:
        """Add a record and count it as read. Does I/O; the caller has the lock and read all."""
        line = _line(_record_document(record))
        with self._path.open("r+b") as file:
            file.truncate(self._read_to)
            file.seek(self._read_to)
            file.write(line)
        self._read_to += len(line)

    def was_replaced(self) -> bool:
        """Return whether the file is another one than was read. Does I/O."""
        with self._path.open("rb") as file:
            return file.read(_OPENING_BYTES) != self._opening

    def head(self) -> Head:
        """Read the head from the start. Does I/O. Raises Invalid when the file is none of ours."""
        with self._path.open("rb") as file:
            line = file.readline()
        self._opening = line[:_OPENING_BYTES]
        self._read_to = len(line)
        return _document(line, _head_from)

    def news(self) -> Iterator[Record]:
        """Yield the records written since the last read. Does I/O. Raises Invalid."""
        if self._path.stat().st_size <= self._read_to:
            return
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            lines = file.readlines()
        for line in lines:
            if not line.endswith(b"\n"):
                return
            self._read_to += len(line)
            yield _document(line, _record_from)


def _line(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _document(line: bytes, read: Callable[[Mapping[str, Any]], Read]) -> Read:
    """Read one line as what it should be. Raises Invalid when it is not."""
    try:
        return read(json.loads(line))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Invalid(
            "the file of the simulated world cannot be read",
            (f"{type(error).__name__}: {error}",),
            fix="remove the file to begin a new world",
            code="invalid-world",
        ) from error


def _head_document(head: Head) -> dict[str, object]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "serial": head.serial,
        "now": head.now,
        "began_at": head.began_at,
        "speed": head.speed,
        "fence": head.fence,
        "past": dict(head.past or {}),
        "met": list(head.met),
        "pool": b64encode(pack(head.pool)).decode(),
    }


def _head_from(document: Mapping[str, Any]) -> Head:
    if (document["format"], document["version"]) != (FORMAT, VERSION):
        raise ValueError("it is of another format or version")
    return Head(
        unpack(b64decode(document["pool"])),
        float(document["now"]),
        float(document["began_at"]),
        float(document["speed"]),
        int(document["fence"]),
        document["past"],
        tuple(map(int, document["met"])),
        int(document["serial"]),
    )


def _record_document(record: Record) -> dict[str, object]:
    return {
        "at": record.at,
        "fence": record.fence,
        "action": None if record.action is None else action_document(record.action),
        "speed": record.speed,
        "clock_now": record.clock_now,
        "cancelled": record.cancelled,
        "fault": record.fault,
    }


def _record_from(document: Mapping[str, Any]) -> Record:
    action = document["action"]
    return Record(
        float(document["at"]),
        int(document["fence"]),
        None if action is None else action_from_document(action),
        float(document["speed"]),
        float(document["clock_now"]),
        str(document.get("cancelled", "")),
        str(document.get("fault", "")),
    )
