# SPDX-License-Identifier: Apache-2.0
"""QEMU processes that outlive the controller and are found again by their lock.

The lock is taken before the process is started and inherited by it. It is the proof of life: it
cannot be held by a process that took over an old process id, it needs no clean-up, and a second
start of the same residence fails.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.act.durable import is_locked, take_lock
from billow.engines.qemu.folder import Residence
from billow.engines.qemu.ledger import Ledger
from billow.errors import Conflict, Lost, Unavailable

KILL_TIMEOUT_S: Final = 20.0
"""A killed process that writes back memory or sits in a disk wait may take that long to go."""
_STEP_S: Final = 0.005
_WAKES: Final = 5
_WAKE_EVERY_S: Final = 1.0
"""For so long may a process clean up by itself."""


@contextlib.contextmanager
def claimed(residence: Residence) -> Iterator[int]:
    """Hold a residence's lock, for a process to inherit.

    Raises:
        Conflict: a process lives there.
    """
    handle = take_lock(residence.lock)
    if handle is None:
        raise Conflict(
            f"{residence.path.name} already has a process on {residence.path.parent.name}",
            details=(f"lock {residence.lock} is held",),
            code="already-running",
        )
    try:
        yield handle
    finally:
        os.close(handle)


async def launch(
    command: Sequence[str], residence: Residence, inherited: Sequence[int], netns: str = ""
) -> None:
    """Start a process that belongs to nobody, with its output in the residence's log.

    It may still fail after this returns: only its QMP greeting says that it is up.

    Args:
        command: The program and its arguments.
        residence: Where its files go.
        inherited: Open files that it keeps, the lock among them.
        netns: Name of the network namespace to run in; empty for this one.

    Raises:
        Unavailable: the tools to start it are missing.
    """
    residence.pid.unlink(missing_ok=True)
    enter = ("nsenter", f"--net=/run/netns/{netns}") if netns else ()
    log = os.open(residence.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        starter = await asyncio.create_subprocess_exec(
            *("setsid", "--fork", *enter, *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=inherited,
        )
        await starter.wait()
    except OSError as error:
        raise Unavailable(
            "a process cannot be started on this machine",
            details=(str(error),),
            fix="apt-get install util-linux",
        ) from error
    finally:
        os.close(log)


def alive(residence: Residence) -> bool:
    """Return whether a process lives in a residence."""
    return is_locked(residence.lock)


def any_process(ledger: Ledger) -> bool:
    """Return whether any instance has a living process on any host."""
    folder = ledger.folder
    return any(alive(folder.residence(host, name)) for host, name in ledger.residences())


def process_id(residence: Residence) -> int | None:
    """Return the id of the living process, or None when there is none or it has not said so yet."""
    if not alive(residence):
        return None
    try:
        return int(residence.pid.read_text())
    except (FileNotFoundError, ValueError):
        return None


def ended_by_itself(residence: Residence) -> bool:
    """Return whether the last process, now gone, ended in order: not killed, not crashed."""
    return not residence.pid.exists()


async def gone(residence: Residence, timeout_s: float) -> bool:
    """Wait until no process lives in a residence; return whether that is so within the time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while alive(residence):
                with _handle(residence) as handle:
                    await (asyncio.sleep(_STEP_S) if handle is None else _readable(handle))
    return not alive(residence)


async def ended(residence: Residence) -> None:
    """Wait for the end of a process whose guest has ended; one that is late is killed.

    QEMU 7.2 sleeps for ever when somebody speaks to its monitor while it cleans up; its disks are
    closed by then. Any signal that it handles wakes it.

    Raises:
        Lost: it would not go.
    """
    for _ in range(_WAKES):
        if await gone(residence, _WAKE_EVERY_S):
            return
        with _handle(residence) as handle, contextlib.suppress(ProcessLookupError):
            if handle is not None:
                signal.pidfd_send_signal(handle, signal.SIGTERM)
    await kill(residence)


async def kill(residence: Residence) -> None:
    """End the process of a residence at once. Done when it is gone; no process is no error.

    Raises:
        Lost: it would not go.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILL_TIMEOUT_S):
            while alive(residence):
                await _kill_once(residence)
    if alive(residence):
        raise Lost(
            f"the QEMU process of {residence.path.name} does not end",
            details=(f"process {process_id(residence)} holds {residence.lock}",),
            fix="look at the process's state in /proc; a disk that does not answer can cause this",
        )


async def _kill_once(residence: Residence) -> None:
    with _handle(residence) as handle:
        if handle is None:
            await asyncio.sleep(_STEP_S)
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        await _readable(handle)


@contextlib.contextmanager
def _handle(residence: Residence) -> Iterator[int | None]:
    """Open the living process; the handle cannot turn into another process, as its number can."""
    number = process_id(residence)
    handle = None
    with contextlib.suppress(ProcessLookupError):
        handle = None if number is None else os.pidfd_open(number)
    try:
        yield handle if number is not None and process_id(residence) == number else None
    finally:
        if handle is not None:
            os.close(handle)


async def _readable(handle: int) -> None:
    """Wait until a process handle says that its process has ended."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)


def last_words(residence: Residence, lines: int = 3) -> tuple[str, ...]:
    """Return the end of what QEMU said."""
    with contextlib.suppress(FileNotFoundError):
        return tuple(residence.log.read_text(errors="replace").splitlines()[-lines:])
    return ()


@dataclass(frozen=True, slots=True)
class Thread:
    """One thread of a process.

    Attributes:
        ran_s: CPU seconds that it had since it began.
        waited_s: Seconds in which it could have run and was given no CPU; those since it was last
            given one are added only when it is given the next.
        sleeps: How often it gave its CPU away to wait for something else than a CPU.
        ready: Whether it runs, or could.
    """

    number: int
    is_vcpu: bool
    ran_s: float
    waited_s: float
    sleeps: int
    ready: bool


def threads(number: int) -> tuple[Thread, ...]:
    """Return the threads of a process; none when it is gone."""
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for folder in Path(f"/proc/{number}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.append(_thread(folder))
    return tuple(found)


def _thread(folder: Path) -> Thread:
    said = _fields(folder / "status")
    ran, waited, _ = map(int, (folder / "schedstat").read_text().split())
    return Thread(
        number=int(folder.name),
        is_vcpu=said["Name"].startswith("CPU "),
        ran_s=ran / 1e9,
        waited_s=waited / 1e9,
        sleeps=int(said["voluntary_ctxt_switches"]),
        ready=said["State"].startswith("R"),
    )


def _fields(file: Path) -> dict[str, str]:
    """Return what a status file of /proc says, by name. Raises OSError."""
    rows = (line.partition(":") for line in file.read_text(errors="replace").splitlines())
    return {name: value.strip() for name, _, value in rows}


def cpu_seconds(number: int) -> float:
    """Return the CPU seconds that a process used; NaN when it is gone."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(number: int) -> tuple[float, float]:
    """Return what a process has in memory and what of it is swapped out, MiB; NaN when gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        said = _fields(Path(f"/proc/{number}/status"))
        if "VmRSS" in said:
            return _mib(said["VmRSS"]), _mib(said["VmSwap"])
    return float("nan"), float("nan")


def _mib(text: str) -> float:
    return int(text.removesuffix(" kB")) / 1024
