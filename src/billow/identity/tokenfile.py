# SPDX-License-Identifier: Apache-2.0
"""The file with the first admin's token: for its owner only, written whole or not at all."""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from billow.errors import Invalid
from billow.identity.secret import is_secret


@asynccontextmanager
async def alone(folder: Path) -> AsyncIterator[None]:
    """Keep other processes out of a folder's token file; waits for its turn."""
    opened = _opened(folder)
    try:
        await asyncio.to_thread(fcntl.flock, opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def read_token(path: Path) -> str:
    """Return the token in a file; empty when there is no file, or no token in it.

    Raises:
        Invalid: the file is a link, another's, or others may read it: its token may be known.
    """
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise _unsafe(path, str(error)) from error
    try:
        state = os.fstat(opened)
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
            raise _unsafe(path, "it is not a file of this user")
        if state.st_mode & 0o077:
            raise _unsafe(path, f"its mode is {stat.S_IMODE(state.st_mode):o}")
        text = os.read(opened, 1000).decode("ascii", "replace").strip()
    finally:
        os.close(opened)
    return text if is_secret(text) else ""


def write_token(path: Path, secret: str) -> None:
    """Put a token into a file with mode 0600, in the place of what was there."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        os.write(opened, f"{secret}\n".encode())
        os.fsync(opened)
    finally:
        os.close(opened)
    fresh.replace(path)


def remove_token(path: Path) -> None:
    """Remove a token file that was written for nothing."""
    path.unlink(missing_ok=True)


def _opened(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


def _unsafe(path: Path, why: str) -> Invalid:
    return Invalid(
        f"the token file {path} is not safe",
        details=(why,),
        fix="remove it, and revoke its token if others may have read it; then start again",
        code="token-file-unsafe",
    )
