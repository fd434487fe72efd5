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
POOL, DISK = "pool", "disk"
"""In a node's folder: file systems for its way to the shared storage, and for its own disk."""
_DISK_MIB: Final = 16
_MOUNTED: Final = """\
mount --make-rprivate / 2>/dev/null || true  # in a chroot it is no mount, and private already
mount -t sysfs sysfs /sys
mount -o loop "$1/pool.img" "$1/pool"
mount -o loop "$1/disk.img" "$1/disk"
shift
exec "$@"
"""


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


def with_disks(folder: Path, command: Iterable[str]) -> tuple[str, ...]:
    """Return a command that runs with the node's file systems at `FOLDER/pool` and `FOLDER/disk`.

    It sees its own links in /sys, too. The mounts are the process's own, and go with its end.
    """
    for name in (POOL, DISK):
        image = folder / f"{name}.img"
        (folder / name).mkdir(parents=True, exist_ok=True)
        if not image.exists():
            with image.open("wb") as file:
                file.truncate(_DISK_MIB * 2**20)
            space.run("mkfs.ext4", "-q", "-O", "^has_journal", str(image))
    held = ("unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", _MOUNTED, "disks")
    return (*held, str(folder), *command)


def freeze_disk(folder: Path, number: int, name: str = POOL) -> None:
    """Let every write to a node's file system wait; `number` is a process that has it mounted."""
    (folder / f"frozen-{name}").write_text(str(number))
    _in_mounts(number, "fsfreeze", "--freeze", str(folder / name))


def thaw_disk(folder: Path) -> None:
    """Let writes to a node's file systems go on; nothing frozen is no error."""
    for name in (POOL, DISK):
        note = folder / f"frozen-{name}"
        if note.exists():
            with contextlib.suppress(LabError):
                _in_mounts(int(note.read_text()), "fsfreeze", "--unfreeze", str(folder / name))
            note.unlink()


def write_protect(folder: Path, number: int, name: str = POOL, *, protected: bool) -> None:
    """Mount a node's file system read-only, as a kernel does after an error, or not."""
    options = f"remount,{'ro' if protected else 'rw'}"
    _in_mounts(number, "mount", "-o", options, str(folder / name))


def show(number: int, path: str, text: str, kept: Path) -> None:
    """Let the processes that share mounts with one read a text at a path of /proc or /sys.

    `kept` is the file in which the text is.
    """
    kept.write_text(text)
    _in_mounts(number, "mount", "--bind", str(kept), path)


def unshow(number: int, path: str) -> None:
    """Let them read what is there."""
    _in_mounts(number, "umount", path)


def show_bond(number: int, name: str, text: str, kept: Path) -> None:
    """Let one process read a bond's state, as /proc/net/bonding has it where there are bonds."""
    (kept / "bonding").mkdir(parents=True, exist_ok=True)
    (kept / "bonding" / name).write_text(text)
    for each in ("route", "dev", "if_inet6", "arp", "fib_trie"):
        with contextlib.suppress(OSError):
            (kept / each).write_text(Path(f"/proc/{number}/net/{each}").read_text())
    _in_mounts(number, "mount", "--bind", str(kept), f"/proc/{number}/net")


def pause(numbers: Iterable[int], *, on: bool) -> None:
    """Stop processes with SIGSTOP, or let them go on."""
    space.send(numbers, signal.SIGSTOP if on else signal.SIGCONT)


def _in_mounts(number: int, *command: str) -> None:
    place = Path(f"/proc/{number}/ns")
    kept = (f"--mount={place / 'mnt'}", f"--net={place / 'net'}")
    space.run("nsenter", *kept, f"--root=/proc/{number}/root", *command)  # it may be a chroot


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
