# SPDX-License-Identifier: Apache-2.0
"""Run a program of the host that knows something, and give up on it in time."""

import shutil
import subprocess
from typing import Final

TIMEOUT_S: Final = 20.0
_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin"


def found(name: str) -> str:
    """Return the path of a program; empty when the host has none of that name."""
    return shutil.which(name, path=_PATH) or ""


def output(*command: str, timeout_s: float = TIMEOUT_S) -> str:
    """Return what a program prints, whatever its exit code. Raises OSError when it hangs."""
    try:
        done = subprocess.run(  # noqa: S603 (by its full path)
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} does not end within {timeout_s:g} s") from error
    return done.stdout
