# SPDX-License-Identifier: Apache-2.0
"""What stands still and cannot even be killed: frozen control groups, frozen file systems.

Both must be thawed before their processes can end, so whoever ends a node does that first.
"""

import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from labs.ha import space
from labs.ha.space import LabError

CGROUPS: Final = Path("/sys/fs/cgroup")
POOL: Final = "pool"
"""In a node's folder: the file system that stands for its way to the shared storage."""
_DISK_MIB: Final = 16


def freeze_processes(group: str, numbers: Iterable[int]) -> None:
    """Freeze processes in a control group of their own (version 1's freezer)."""
    folder = _group("freezer", group)
    for number in numbers:
        with contextlib.suppress(ProcessLookupError):
            (folder / "cgroup.procs").write_text(str(number))
    (folder / "freezer.state").write_text("FROZEN")
    space.until(lambda: (folder / "freezer.state").read_text().strip() == "FROZEN", "no freeze")


def thaw_processes(group: str) -> None:
    """Let the processes of a group go on; no group is no error."""
    file = CGROUPS / "freezer" / group / "freezer.state"
    if file.exists():
        file.write_text("THAWED")


def starve_processes(group: str, numbers: Iterable[int], share: float) -> None:
    """Give processes no more than a share of one CPU."""
    folder = _group("cpu", group)
    (folder / "cpu.cfs_period_us").write_text("100000")
    (folder / "cpu.cfs_quota_us").write_text(str(max(1000, int(share * 100_000))))
    for number in numbers:
        for thread in _threads(number):
            with contextlib.suppress(OSError):
                (folder / "tasks").write_text(thread)


def feed_processes(group: str) -> None:
    """Let the processes of a group have all the CPU again."""
    file = CGROUPS / "cpu" / group / "cpu.cfs_quota_us"
    if file.exists():
        file.write_text("-1")


def forget(group: str) -> None:
    """Remove a node's control groups; what is still in them goes back to where all are."""
    for kind in ("freezer", "cpu"):
        folder = CGROUPS / kind / group
        if folder.exists():
            for number in (folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (CGROUPS / kind / "cgroup.procs").write_text(number)
            with contextlib.suppress(OSError):
                folder.rmdir()


def with_disk(folder: Path, command: Iterable[str]) -> tuple[str, ...]:
    """Return a command that runs with the node's own file system mounted at `FOLDER/pool`.

    The mount is the process's own, and goes when its last process ends.
    """
    image, place = folder / "pool.img", folder / POOL
    place.mkdir(parents=True, exist_ok=True)
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(_DISK_MIB * 2**20)
        space.run("mkfs.ext4", "-q", "-O", "^has_journal", str(image))
    script = 'mount -o loop "$1" "$2" && shift 2 && exec "$@"'
    held = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "pool")
    return (*held, str(image), str(place), *command)


def freeze_disk(folder: Path, number: int) -> None:
    """Let every write to a node's file system wait; `number` is a process that has it mounted."""
    (folder / "frozen-disk").write_text(str(number))
    _in_mounts(number, "fsfreeze", "--freeze", str(folder / POOL))


def thaw_disk(folder: Path) -> None:
    """Let writes to a node's file system go on; nothing frozen is no error."""
    note = folder / "frozen-disk"
    if note.exists():
        with contextlib.suppress(LabError):
            _in_mounts(int(note.read_text()), "fsfreeze", "--unfreeze", str(folder / POOL))
        note.unlink()


def write_protect(folder: Path, number: int, *, protected: bool) -> None:
    """Mount a node's file system read-only, as a kernel does after an error, or not."""
    options = f"remount,{'ro' if protected else 'rw'}"
    _in_mounts(number, "mount", "-o", options, str(folder / POOL))


def pause(numbers: Iterable[int], *, on: bool) -> None:
    """Stop processes with SIGSTOP, or let them go on."""
    space.send(numbers, signal.SIGSTOP if on else signal.SIGCONT)


def _in_mounts(number: int, *command: str) -> None:
    space.run("nsenter", f"--mount=/proc/{number}/ns/mnt", *command)


def _group(kind: str, name: str) -> Path:
    if not (CGROUPS / kind).is_dir():
        raise LabError(f"this machine has no control groups of version 1 for {kind}")
    folder = CGROUPS / kind / name
    folder.mkdir(exist_ok=True)
    return folder


def _threads(number: int) -> list[str]:
    try:
        return [each.name for each in Path(f"/proc/{number}/task").iterdir()]
    except OSError:
        return []
