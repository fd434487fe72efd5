# SPDX-License-Identifier: Apache-2.0
"""Build the firmware guest from its source: `python -m billow.firmware.build`.

Only who changes `payload.S` needs this (and GNU binutils): the image is kept beside it, packed. The
result depends on nothing but the source.
"""

import gzip
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
SOURCE: Final = HERE / "payload.S"
PACKED: Final = HERE / "payload.bin.gz"
SIZE: Final = 65536


def build() -> bytes:
    """Return the image, assembled and linked. Raises CalledProcessError when that fails."""
    with tempfile.TemporaryDirectory() as folder:
        code, image = Path(folder, "payload.o"), Path(folder, "payload.bin")
        subprocess.run(["as", "--64", "-o", code, SOURCE], check=True)  # noqa: S603,S607  # named tool
        link = ["ld", "-m", "elf_x86_64", "--oformat", "binary", "-Ttext", "0", "-e", "_start"]
        subprocess.run([*link, "-o", image, code], check=True)  # noqa: S603  # named tool
        return image.read_bytes()


def pack(image: bytes) -> bytes:
    """Return the image as it is kept."""
    return gzip.compress(image, mtime=0)


if __name__ == "__main__":
    PACKED.write_bytes(pack(build()))
    sys.stdout.write(f"{PACKED.name}: {PACKED.stat().st_size} bytes\n")
