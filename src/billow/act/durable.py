# SPDX-License-Identifier: Apache-2.0
"""Small files that survive a crash at any instant, and locks that live as their holder does.

A file is either the old one or the new one, never half of each. A lock belongs to an open file, so
a process that inherits it holds it until it ends, however it ends: that is how an instance proves
that it is alive.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from billow.errors import BillowError, Refused, Unavailable

Record = TypeVar("Record")
_LOOK_EVERY_S = 0.01


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return adapter


def write(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file; when this returns, the new content survives a power cut if `durable`.

    Raises:
        Unavailable: it cannot be written; the old file is as it was.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        _fill(fresh, data, durable=durable)
        fresh.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise Unavailable(
            f"{path.name} cannot be written: {error.strerror or error}",
            details=(str(path),),
            fix="make room in the state folder and see that it can be written, then try again",
            code="cannot-write",
        ) from error


def _fill(path: Path, data: bytes, *, durable: bool) -> None:
    """Write all of a file; a disk that fills up takes a part at first. Raises OSError."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> Path:
    """Create a folder that only this user may enter, parents included."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def prepare(path: Path, record: object, *, durable: bool = False) -> Callable[[], None]:
    """Write a record durably beside a file; what is returned puts it in the file's place at once.

    For the instant in which a guest stands still. A power cut may undo the change of place, unless
    it is to be `durable`: that waits for the disk once more.

    Raises:
        Unavailable: it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.next")
    write(fresh, _adapter(type(record)).dump_json(record, indent=1))  # type: ignore[arg-type]  # a class

    def put() -> None:
        fresh.replace(path)
        if durable:
            sync_folder(path.parent)

    return put


def save(path: Path, record: object, *, durable: bool = True) -> None:
    """Write a frozen dataclass as JSON, so that it survives a power cut if `durable`."""
    data = _adapter(type(record)).dump_json(record, indent=1)  # type: ignore[arg-type]  # a class
    write(path, data, durable=durable)


def load(kind: type[Record], path: Path) -> Record | None:
    """Return the record in a file, or None when there is none.

    Raises:
        Refused: the file cannot be read, or holds something else.
    """
    try:
        data = path.read_bytes()
        record: Record = _adapter(kind).validate_json(data)  # type: ignore[arg-type]  # a class
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, BillowError) as error:
        raise Refused(
            f"the record {path.name} of {path.parent.name} cannot be read",
            details=(str(path), str(error).splitlines()[0]),
            fix=f"restore {path}; do not remove it: what has no record counts as gone",
            code="bad-record",
        ) from error
    return record


def recall(kind: type[Record], path: Path) -> Record | None:
    """Return a record that can be made again; None when there is none or it cannot be read."""
    with contextlib.suppress(Refused):
        return load(kind, path)
    return None


def take_lock(path: Path) -> int | None:
    """Return an open file that holds the lock, or None when somebody else does; close it."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock; wait for it when somebody else does, so hold it for an instant only."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.asynccontextmanager
async def turn(path: Path) -> AsyncIterator[None]:
    """Hold a lock over waits; meanwhile others, in this process too, wait for their turn."""
    while (handle := take_lock(path)) is None:  # noqa: ASYNC110  # held by another process
        await asyncio.sleep(_LOOK_EVERY_S)
    try:
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Return whether somebody holds the lock of a file; a file that is not there is free."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
