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
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from billow.errors import Bug

Record = TypeVar("Record")
_LOOK_EVERY_S = 0.01


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    return adapter


def write(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file; when this returns, the new content survives a power cut if `durable`."""
    fresh = path.with_name(f".{path.name}.new")
    handle = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, data)
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)
    fresh.replace(path)
    if durable:
        sync_folder(path.parent)


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


def save(path: Path, record: object) -> None:
    """Write a frozen dataclass as JSON, durably."""
    write(path, _adapter(type(record)).dump_json(record, indent=1))  # type: ignore[arg-type]  # a class


def load(kind: type[Record], path: Path) -> Record | None:
    """Return the record in a file, or None when there is none.

    Raises:
        Bug: the file holds something else.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        record: Record = _adapter(kind).validate_json(data)  # type: ignore[arg-type]  # a class
    except ValidationError as error:
        raise Bug(
            f"{path.name} in the state folder is not a {kind.__name__}",
            details=(str(path), str(error).splitlines()[0]),
            fix="move the file away and report this",
            code="bad-record",
        ) from error
    return record


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
