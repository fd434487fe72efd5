# SPDX-License-Identifier: Apache-2.0
"""Write an initial RAM disk: a gzipped cpio archive in the kernel's `newc` form. Pure."""

import gzip
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

_TRAILER: Final = "TRAILER!!!"
_DEVICES: Final = (("dev/console", 5, 1), ("dev/null", 1, 3))


@dataclass(frozen=True, slots=True)
class File:
    """A file of the archive, or a link when `link` says where to."""

    path: str
    data: bytes = b""
    executable: bool = False
    link: str = ""


def archive(files: Iterable[File]) -> bytes:
    """Return a gzipped cpio archive of files, their folders, and the two devices that init needs.

    The same files give the same bytes.
    """
    rows = sorted(files, key=lambda file: file.path)
    parts = [_entry(folder, stat.S_IFDIR | 0o755) for folder in _folders(rows)]
    parts += [_entry(name, stat.S_IFCHR | 0o600, device=(a, b)) for name, a, b in _DEVICES]
    parts += [_file(file) for file in rows]
    parts.append(_entry(_TRAILER, 0))
    return gzip.compress(b"".join(parts), compresslevel=6, mtime=0)


def _folders(files: Iterable[File]) -> list[str]:
    found = {
        str(parent)
        for path in [*(file.path for file in files), *(name for name, _, _ in _DEVICES)]
        for parent in PurePosixPath(path).parents
    }
    return sorted(found - {"."})


def _file(file: File) -> bytes:
    if file.link:
        return _entry(file.path, stat.S_IFLNK | 0o777, file.link.encode())
    return _entry(file.path, stat.S_IFREG | (0o755 if file.executable else 0o644), file.data)


def _entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    raw = name.encode() + b"\0"
    # magic, inode, mode, uid, gid, links, mtime, size, device, its own device, name size, checksum
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(header + raw) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
