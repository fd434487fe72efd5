# SPDX-License-Identifier: Apache-2.0
"""The guests of this host: its hypervisor processes, in whichever network namespace they run.

In a lab, where one machine is many hosts, only those in one namespace count. They are found in
/proc and held by a pidfd, so that the end of one is an event and a number that the kernel gives
anew is never struck. Nothing here touches a guest unless it is told to end it.
"""

import itertools
import os
import select
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WHOLE: Final = -1
"""In place of a network namespace: all of them, the whole machine."""
UNREADABLE: Final = "?"
"""In place of a program's name: there is one, and this agent may not read it."""
_SHORT: Final = 15
"""The kernel's short name of a process has so many characters of its program's."""
_WHOLE_NAMES: Final = frozenset(
    each[:_SHORT] for each in ("qemu-kvm", "kvm", "cloud-hypervisor", "firecracker", "crosvm")
)
"""How programs that run a guest are called."""
_BEGINNINGS: Final = (
    *("qemu-system-", "firecracker-v"),
    *(each[:_SHORT] for each in ("qemu-storage-daemon", "qemu-nbd")),
)
"""How the names of others begin. Those that only write to a guest's disks end with the guests."""
MOST_NAME: Final = 255
"""So many characters of an instance's name are told."""
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
        """End it at once. One that has ended already, or may not be ended, is no error."""
        with suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    @property
    def forbidden(self) -> bool:
        """Whether this agent may not end it."""
        try:
            signal.pidfd_send_signal(self.pidfd, 0)
        except OSError as error:
            return isinstance(error, PermissionError)
        return False

    def release(self) -> None:
        """Let go of it."""
        os.close(self.pidfd)


def namespace(pid: int | str = "self") -> int:
    """Return the number of a process's network namespace; 0 when it cannot be seen.

    Of a process whose first thread has ended, another thread's is read.
    """
    with suppress(OSError):
        return (_PROC / str(pid) / "ns" / "net").stat().st_ino
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                return (task / "ns" / "net").stat().st_ino
    return 0


def counted(*, own_namespace: bool) -> int:
    """Return where guests count: in this process's network namespace, or WHOLE."""
    return namespace() if own_namespace else WHOLE


def runs_guest(program: str) -> bool:
    """Tell whether a program of this name, long or short, runs a guest or writes to its disks."""
    short = program[:_SHORT]
    return short in _WHOLE_NAMES or short.startswith(_BEGINNINGS)


def program_of(pid: int) -> str:
    """Return the name of a process's program; empty when it is gone or has none, or UNREADABLE.

    Reads the link to its file and, failing that, its short name: neither waits for the process's
    memory, which its command line may do for ever.
    """
    with suppress(OSError):
        return (_PROC / str(pid) / "exe").readlink().name.removesuffix(" (deleted)")
    try:
        return (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except PermissionError:
        return UNREADABLE
    except OSError:
        return ""


def instance_of(words: list[str]) -> str:
    """Return the instance that a hypervisor's command line names; empty for none.

    QEMU: `-name guest=NAME,...` or `-name NAME`; the others: `--id NAME` and `--name NAME`.
    """
    for option, value in itertools.pairwise(words):
        if option in {"-name", "--name", "--id"}:
            first = value.split(",", 1)[0]
            return first.removeprefix("guest=")[:MOST_NAME]
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
    """Yield the process numbers of guests that count, of all processes or of some.

    Never waits for a process. Costs about 20 us for each that is looked at.
    """
    for pid in processes() if among is None else among:
        if runs_guest(program_of(pid)) and _is_there(pid, net) and not ended(pid):
            yield pid


def unseen(net: int) -> Iterator[int]:
    """Yield processes that may be guests that count: this agent may not see whether they are.

    Never waits for a process.
    """
    living = processes()
    if 1 not in living:
        yield 1  # the kernel hides the processes of others: /proc is mounted with hidepid
    for pid in living:
        program = program_of(pid)
        nowhere = net != WHOLE and runs_guest(program) and not namespace(pid)
        if (program == UNREADABLE or nowhere) and not ended(pid):
            yield pid


def _is_there(pid: int, net: int) -> bool:
    return net == WHOLE or namespace(pid) == net


def ended(pid: int) -> bool:
    """Tell whether a process has ended with all of its threads, whether or not it was buried."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    try:
        waiting = select.poll()
        waiting.register(pidfd, select.POLLIN)
        return bool(waiting.poll(0))
    finally:
        os.close(pidfd)


def take(pid: int, net: int) -> Guest | None:
    """Hold a guest that counts; None when it has ended or is none.

    May wait: its command line is read.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    # The number may have been given anew between the look and the hold: look once more.
    if not (runs_guest(program_of(pid)) and _is_there(pid, net)):
        os.close(pidfd)
        return None
    return Guest(pid, pidfd, instance_of(command_of(pid)))
