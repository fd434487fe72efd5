# SPDX-License-Identifier: Apache-2.0
"""The built firmware guest, unpacked where QEMU can read it."""

import gzip
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path

from billow.act.durable import make_folder, write


@cache
def image() -> bytes:
    """Return the 64 KiB image."""
    return gzip.decompress(resources.files(__package__).joinpath("payload.bin.gz").read_bytes())


def unpack(folder: Path) -> str:
    """Put the image into a folder; return its file name, which names its content.

    An older image stays beside it, for machines that were made with it.
    """
    name = f"firmware-{hashlib.sha256(image()).hexdigest()[:12]}.bin"
    if not (make_folder(folder) / name).exists():
        write(folder / name, image())
    return name
