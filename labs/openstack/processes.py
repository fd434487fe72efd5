# SPDX-License-Identifier: Apache-2.0
"""Processes of a lab: started apart from whoever starts them, known by number and start time.

A file in `run` holds the number of a process and when the kernel started it; a stranger that got
the number of one of ours is not taken for it, and so is never ended.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from labs.openstack.places import LabError

PATIENCE_S: Final = 240.0
# The kernel's start time is the 22nd word of stat; the shell and what it becomes share it.
_START: Final = (
    'echo "$$ $(cut -d" " -f22 /proc/$$/stat)" > "$1.new"; mv "$1.new" "$1"; shift; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Process:
    """One process of a lab, with all that it starts: a session of its own.

    Attributes:
        name: Its file in the folder of numbers, and its log, are named so.
        words: The command.
        more: What is added to the environment.
    """

    name: str
    words: Sequence[str]
    run: Path
    logs: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """Where its number is kept."""
        return self.run / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.logs / f"{self.name}.log"

    def number(self) -> int | None:
        """Return its process number, or None when it does not run."""
        return living(self.file)

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.number() is not None:
            return
        self.file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            subprocess.run(
                ["setsid", "--fork", "sh", "-c", _START, "sh", str(self.file), *self.words],
                env={**clean_environment(), **self.more},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )
        until(self.file.exists, lambda: f"{self.name} was not started")

    def signal(self, number: int) -> None:
        """Send a signal to it and all that it started."""
        group = self.number()
        if group is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.signal(signal.SIGKILL)
        until(lambda: self.number() is None, lambda: f"{self.name} does not end")
        self.file.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stop it where it is: it holds its connections and answers nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self.signal(signal.SIGCONT)

    def stop(self, patience_s: float = 20.0) -> None:
        """End it: kindly, and after some seconds by force."""
        self.thaw()
        self.signal(signal.SIGTERM)
        end = time.monotonic() + patience_s
        while self.number() is not None and time.monotonic() < end:
            time.sleep(0.05)
        self.kill()


def living(file: Path) -> int | None:
    """Return the process that a file of ours names, if it lives and is still the same."""
    try:
        number, started = (int(word) for word in file.read_text().split())
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return number if fields[0] not in "ZX" and int(fields[19]) == started else None


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would mislead OpenStack or Python."""
    foreign = ("OS_", "PYTHON", "VIRTUAL_ENV", "COVERAGE", "PYTEST")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


def until(
    true: Callable[[], object], why: Callable[[], str], patience_s: float = PATIENCE_S
) -> None:
    """Wait until something is true. Raises LabError with `why()`."""
    end = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > end:
            raise LabError(why())
        time.sleep(0.05)


def listens(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback."""
    with socket.socket() as line:
        line.settimeout(2.0)
        return line.connect_ex(("127.0.0.1", port)) == 0


def end_of(log: Path, lines: int = 6) -> str:
    """Return the last lines of a log, in one."""
    if not log.exists():
        return "it said nothing"
    return " | ".join(log.read_text(errors="replace").splitlines()[-lines:])
