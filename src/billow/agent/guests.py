# SPDX-License-Identifier: Apache-2.0
"""The guests of this host: hypervisor processes in the agent's own network namespace.

They are found in /proc and held by a pidfd, so that the end of one is an event and a number that
the kernel gives anew is never struck. Nothing here touches a guest unless it is told to end it.
"""

import itertools
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HYPERVISORS: Final = (
    "qemu-system-",
    "qemu-kvm",
    "kvm",
    "cloud-hypervisor",
    "firecracker",
    "crosvm",
)
"""How programs that run a guest are called."""
WRITERS: Final = ("qemu-storage-daemon", "qemu-nbd")
"""Programs that write to a guest's disks, too: they end with the guests."""
_WHOLE: Final = frozenset({"qemu-kvm", "kvm", "firecracker", "crosvm", "cloud-hypervisor"})
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Guest:
    """A hypervisor's process.

    Attributes:
        pidfd: Holds it; becomes readable when it has ended with all of its threads and files.
        instance: Empty for a program that only writes to disks.
    """

    pid: int
    pidfd: int
    instance: str

    def kill(self) -> None:
        """End it at once. One that has ended already is no error."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def release(self) -> None:
        """Let go of it."""
        os.close(self.pidfd)


def namespace(pid: int | str = "self") -> int:
    """Return the number of a process's network namespace; 0 when it cannot be seen."""
    try:
        return (_PROC / str(pid) / "ns" / "net").stat().st_ino
    except OSError:
        return 0


def runs_guest(program: str) -> bool:
    """Tell whether a program of this name runs a guest or writes to its disks."""
    if program in _WHOLE:
        return True
    return program.startswith((HYPERVISORS[0], *WRITERS))


def program_of(pid: int) -> str:
    """Return the name of a process's program; empty when it is gone or has none.

    Reads the link to its file and, failing that, its short name: neither waits for the process's
    memory, which its command line may do for ever.
    """
    with suppress(OSError):
        return (_PROC / str(pid) / "exe").readlink().name.removesuffix(" (deleted)")
    with suppress(OSError):
        return (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""


def instance_of(words: list[str]) -> str:
    """Return the instance that a hypervisor's command line names; empty for none.

    QEMU: `-name guest=NAME,...` or `-name NAME`; the others: `--id NAME` and `--name NAME`.
    """
    for option, value in itertools.pairwise(words):
        if option in {"-name", "--name", "--id"}:
            first = value.split(",", 1)[0]
            return first.removeprefix("guest=")
    return ""


def command_of(pid: int) -> list[str]:
    """Return a process's command line. May wait for ever for one that hangs: use a thread."""
    with suppress(OSError):
        text = (_PROC / str(pid) / "cmdline").read_bytes()
        return [word.decode(errors="replace") for word in text.split(b"\0")]
    return []


def processes() -> frozenset[int]:
    """Return the numbers of all processes."""
    names = os.listdir(_PROC)  # noqa: PTH208 (called often: names are enough)
    return frozenset(int(name) for name in names if name.isdecimal())


def running(net: int, among: Iterable[int] | None = None) -> Iterator[int]:
    """Yield the process numbers of guests in a network namespace, of all processes or of some.

    Never waits for a process. Costs about 20 us for each that is looked at.
    """
    for pid in processes() if among is None else among:
        if runs_guest(program_of(pid)) and namespace(pid) == net and not ended(pid):
            yield pid


def ended(pid: int) -> bool:
    """Tell whether a process has ended, though its parent has not asked for its end yet."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] in {"Z", "X"}


def take(pid: int, net: int) -> Guest | None:
    """Hold a guest; None when it has ended or is none. May wait: its command line is read."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    # The number may have been given anew between the look and the hold: look once more.
    if not (runs_guest(program_of(pid)) and namespace(pid) == net):
        os.close(pidfd)
        return None
    return Guest(pid, pidfd, instance_of(command_of(pid)))
