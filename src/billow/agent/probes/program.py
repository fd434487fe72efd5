# SPDX-License-Identifier: Apache-2.0
"""Run a program of the host that knows something, and give up on it in time."""

import shutil
import subprocess
from contextlib import suppress
from typing import Final

TIMEOUT_S: Final = 20.0
KILLED_S: Final = 1.0
"""What was killed is gone by then, unless it waits in the kernel."""
_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin"


def found(name: str) -> str:
    """Return the path of a program; empty when the host has none of that name."""
    return shutil.which(name, path=_PATH) or ""


def output(*command: str, timeout_s: float = TIMEOUT_S, must_succeed: bool = False) -> str:
    """Return what a program prints, whatever its exit code unless it `must_succeed`.

    Raises OSError, and TimeoutError when it hangs: nobody waits for its end then, for one that
    waits for a drive cannot be ended.
    """
    process = subprocess.Popen(  # noqa: S603 (by its full path)
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    try:
        printed, complained = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        _give_up(process)
        raise TimeoutError(f"{command[0]} does not end within {timeout_s:g} s") from error
    if must_succeed and process.returncode:
        why = " ".join((complained or printed).split()) or f"exit code {process.returncode}"
        raise OSError(f"{command[0]}: {why}")
    return printed


def _give_up(process: "subprocess.Popen[str]") -> None:
    process.kill()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(KILLED_S)
