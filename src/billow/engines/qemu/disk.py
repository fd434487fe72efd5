# SPDX-License-Identifier: Apache-2.0
"""The disk files of instances: where they are, how they are made, how one is copied that rests.

A host's own disk is the true one where the home of its instance is and nowhere else; a file at the
target of a move is worth nothing until the target is the home, and is made anew for each move.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.machine import Machine
from billow.errors import Refused, Unavailable

EMPTY_MIB: Final = 1024
"""What the disk of a built-in guest holds; it takes only what is written."""
_PIECE: Final = 2**24
_BLOCK: Final = 512
"""What `st_blocks` counts in, whatever the file system."""
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What must be equal so that one disk can take the place of another.

    Attributes:
        bytes: What the guest sees.
        backing: The image below it, relative to its folder; empty for none.
        form: The image's form.
    """

    bytes: int
    backing: str = ""
    form: str = ""


def disk_of(folder: StateFolder, machine: Machine, host: str) -> Path:
    """Return where the disk of a machine is when the machine is on a host."""
    if machine.has_own_disk:
        return folder.residence(host, machine.instance).disk
    return folder.volume(machine.instance).disk


def stored_mib(path: Path) -> float:
    """Return what a disk file takes; 0 when there is none."""
    try:
        return path.stat().st_blocks * _BLOCK / _MIB
    except FileNotFoundError:
        return 0.0


async def run_img(program: str, *words: str | Path) -> str:
    """Run qemu-img and return what it wrote. Raises Refused, Unavailable."""
    if not program:
        raise Unavailable(
            "qemu-img is missing: no instance can have a disk",
            fix="apt-get install --no-install-recommends qemu-utils",
        )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(program, *words), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    answer, said = await process.communicate()
    if process.returncode:
        raise Refused("qemu-img failed", details=(str(words[0]), said.decode(errors="replace")))
    return answer.decode()


async def make(program: str, path: Path, layout: Layout) -> None:
    """Make an empty disk; one that is there is made anew. Raises Refused, Unavailable."""
    backing = ("-F", layout.form, "-b", layout.backing) if layout.backing else ()
    await run_img(program, "create", "-q", "-f", "qcow2", *backing, path, str(layout.bytes))


async def layout_of(program: str, path: Path) -> Layout:
    """Look at a disk that a process may be using. Raises Refused, Unavailable."""
    answer = await run_img(program, "info", "--force-share", "--output=json", path)
    facts = json.loads(answer)
    return Layout(
        bytes=int(facts["virtual-size"]),
        backing=str(facts.get("backing-filename", "")),
        form=str(facts.get("backing-filename-format", "")),
    )


async def make_like(program: str, path: Path, pattern: Path) -> None:
    """Make an empty disk that can take another's place, on the same image.

    Both lie equally deep in the state folder, so that the image's relative path holds for both.

    Raises:
        Refused: the other one cannot be read, or there is no room.
        Unavailable: qemu-img is not installed.
    """
    await make(program, path, await layout_of(program, pattern))


async def copy(source: Path, target: Path) -> AsyncIterator[tuple[float, float]]:
    """Copy the file of a disk that nobody uses, durably; yield MiB copied and in all.

    Holes stay holes, and a file system that can share blocks does. Raises OSError.
    """
    extents = await asyncio.to_thread(_extents, source)
    whole, done = sum(end - start for start, end in extents), 0
    ours, theirs = os.open(source, os.O_RDONLY | os.O_CLOEXEC), -1
    try:
        theirs = os.open(target, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        for start, end in extents:
            for place in range(start, end, _PIECE):
                length = min(_PIECE, end - place)
                await asyncio.to_thread(_copy_piece, ours, theirs, place, length)
                done += length
                yield done / _MIB, whole / _MIB
        os.truncate(theirs, os.fstat(ours).st_size)
        await asyncio.to_thread(os.fsync, theirs)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def _copy_piece(source: int, target: int, place: int, length: int) -> None:
    end = place + length
    while place < end:
        copied = os.copy_file_range(source, target, end - place, place, place)
        if not copied:
            raise OSError("the disk became shorter while it was copied")
        place += copied


def _extents(path: Path) -> list[tuple[int, int]]:
    """Return where a file has data, as bytes from and to."""
    found, place = [], 0
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        length = os.fstat(handle).st_size
        while place < length:
            try:
                start = os.lseek(handle, place, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole is left
                break
            place = os.lseek(handle, start, os.SEEK_HOLE)
            found.append((start, place))
    finally:
        os.close(handle)
    return found
