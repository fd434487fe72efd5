# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: commands run in them, processes that live in them, and their end.

Nothing here knows what a lab is. A process is ended only when it lives in the namespace named.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

NETNS: Final = Path("/run/netns")
KILL: Final = signal.SIGKILL
_PATIENCE_S: Final = 10.0
_STEP_S: Final = 0.02
_NEWNET: Final = 0x40000000


class LabError(Exception):
    """The lab cannot do what it was asked."""


def missing(*programs: str) -> list[str]:
    """Return those programs that are not installed."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [each for each in programs if not shutil.which(each, path=path)]


def run(*command: str, given: str = "", timeout_s: float = 60.0) -> str:
    """Run a command and return what it printed. Raises LabError with what it said."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def within(netns: str) -> tuple[str, ...]:
    """Return what to put before a command that shall run in a namespace.

    `ip netns exec` would mount /sys anew, which a chroot does not allow.
    """
    return ("nsenter", f"--net={NETNS / netns}")


def inside(netns: str, *command: str, given: str = "") -> str:
    """Run a command in a namespace and return what it printed. Raises LabError."""
    return run(*within(netns), *command, given=given)


def batch(netns: str, lines: Iterable[str]) -> None:
    """Run lines of `ip`'s batch language in a namespace. Raises LabError at one that fails."""
    inside(netns, "ip", "-batch", "-", given="".join(f"{line}\n" for line in lines))


def exists(netns: str) -> bool:
    """Return whether there is a namespace of this name."""
    return (NETNS / netns).exists()


def links(netns: str) -> set[str]:
    """Return the names of a namespace's network links."""
    rows = inside(netns, "ip", "-brief", "link", "show").splitlines()
    return {row.split()[0].partition("@")[0] for row in rows if row.strip()}


def spawn(
    netns: str, command: Iterable[str], log: Path, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a namespace, in a session of its own, with its output in a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            [*within(netns), *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env={**os.environ, **(variables or {})},
        )


@contextlib.contextmanager
def entered(netns: str) -> Iterator[None]:
    """Let this thread, and no other, be in a namespace: its sockets are that namespace's.

    Raises LabError when the kernel refuses.
    """
    with Path("/proc/thread-self/ns/net").open() as here, (NETNS / netns).open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def _enter(handle: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(handle, _NEWNET):
        raise LabError(f"no way into the namespace: {os.strerror(ctypes.get_errno())}")


def entered_by(number: int, netns: str) -> bool:
    """Return whether a process that was spawned has entered its namespace and become itself."""
    with contextlib.suppress(OSError):
        inside_it = Path(f"/proc/{number}/ns/net").stat().st_ino == (NETNS / netns).stat().st_ino
        if state(number) not in {"Z", ""}:
            return inside_it and words_of(number)[:1] not in {("nsenter",), ("",)}
    return True  # it has ended already


def processes(netns: str) -> list[int]:
    """Return the processes that live in a namespace; the dead that nobody buried do not count."""
    return [number for number in _within_net(netns) if state(number) not in {"Z", "X", ""}]


def state(number: int) -> str:
    """Return the letter that /proc gives a process: R, S, D, T, Z; empty when it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def started(number: int) -> int:
    """Return when a process was started, in ticks since boot; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19])
    return 0


def group_of(number: int) -> int:
    """Return the process group of a process; 0 when it is gone."""
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(number)
    return 0


def words_of(number: int) -> tuple[str, ...]:
    """Return the command line of a process; empty when it is gone."""
    with contextlib.suppress(OSError):
        return tuple(Path(f"/proc/{number}/cmdline").read_text(errors="replace").split("\0"))
    return ()


def send(numbers: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes; one that is gone is no error."""
    for each in numbers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, number)


def kill_all(netns: str) -> None:
    """End every process of a namespace at once. Raises LabError when one stays."""
    until(lambda: not _killed(netns), f"processes of {netns} do not end: {processes(netns)}")


def until(true: Callable[[], bool], why: str, patience_s: float = _PATIENCE_S) -> None:
    """Wait until a function returns true. Raises LabError."""
    end = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > end:
            raise LabError(why)
        time.sleep(_STEP_S)


def _killed(netns: str) -> list[int]:
    living = processes(netns)
    send(living, signal.SIGKILL)
    return living


def _within_net(netns: str) -> Iterator[int]:
    try:
        wanted = (NETNS / netns).stat().st_ino
    except FileNotFoundError:
        return
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            if path.stat().st_ino == wanted:
                yield int(path.parts[2])
