# SPDX-License-Identifier: Apache-2.0
"""File systems that have become read-only by themselves."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Symptom

MOUNTS: Final = Path("/proc/self/mountinfo")
_ON_DISKS: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "reiserfs"})


class Mounts(Probe):
    """Looks for file systems on disks that could be written and no longer can."""

    name = "filesystem"
    period_s = 2.0

    def __init__(self, file: Path = MOUNTS) -> None:
        self._file = file
        self._written: set[str] = set()

    def missing(self) -> str:
        """Return what the host lacks for it."""
        here = read_only(self._file.read_text(encoding="utf-8"))
        return "" if here else "no file system on a disk"

    def look(self, wall: float) -> Iterable[Symptom]:
        """Return each that is read-only, and was not, or whose disk asked for that on errors."""
        mounts = read_only(self._file.read_text(encoding="utf-8"))
        for point, closed in mounts.items():
            if not closed:
                self._written.add(point)
            elif point in self._written:
                text = "the file system has become read-only"
                yield Symptom("filesystem", point, Hardware.HURTING, text, wall)


def read_only(mountinfo: str) -> dict[str, bool]:
    """Return, for each file system on a disk, whether it is read-only.

    What an operator mounted read-only has `ro` in the mount's own options, what the kernel closed
    has it in the file system's.
    """
    found = {}
    for line in mountinfo.splitlines():
        first, _, last = line.partition(" - ")
        words, after = first.split(), last.split()
        if len(words) > 5 and len(after) > 2 and after[0] in _ON_DISKS:
            found[words[4]] = "ro" in after[2].split(",")
    return found
