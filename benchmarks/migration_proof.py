# SPDX-License-Identifier: Apache-2.0
"""What guests themselves prove of a move: how many copies lived, and what was lost or said twice.

Three witnesses, and none of them asks Billow or QEMU: heartbeats by ARP, heard where the networks
of all hosts' guests meet; the log that a guest writes to its disk; the firmware guest's beats on
its serial line. A second copy shows as a beat from a second host, or as a number that comes twice
or goes back; a lost write shows as a number that is missing.
"""

import ctypes
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

from billow.errors import Unavailable

SECTOR: Final = 512
NUMBERS: Final = 2**17
"""Heartbeats are counted in the addresses of 198.18.0.0/15, and begin anew after so many."""
_NET: Final = 0x40000000
_EVERYTHING: Final = 0x0003
_ARP: Final = 0x0806
_OUTGOING: Final = 4
_TIMESTAMPS: Final = 35
"""SO_TIMESTAMPNS: the kernel says when a frame came, so that nobody must wait for it."""
_ROOM: Final = 8 * 2**20
_FRAME: Final = struct.Struct("!12x2x8x6x4s6x4s")
"""The addresses that an ARP frame is from, and asks for."""
_BEAT = re.compile(r"\bbeat=(\d+)\b")


@dataclass(frozen=True, slots=True, order=True)
class Beat:
    """One heartbeat: when it was heard, from which host, of whom (an address), and its number."""

    at_s: float
    host: str
    guest: str
    number: int


@dataclass(frozen=True, slots=True)
class Line:
    """One record of a guest's log.

    Attributes:
        boot: Names the boot that wrote it.
        number: The guest's own count, from 1 in each boot.
        memory: What the guest makes of a part of its memory that never changes; or empty.
    """

    boot: str
    number: int
    uptime_s: float
    memory: str = ""


class Listener:
    """Hear the heartbeats of all guests of a pool until it is closed.

    Args:
        namespace: Where the ports are.
        ports: The port of each host, by the host's name.
    """

    def __init__(self, namespace: str, ports: Mapping[str, str]) -> None:
        self._sockets = {host: _ear(namespace, port) for host, port in ports.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._sockets.values():
            each.close()

    def heard(self) -> list[Beat]:
        """Return what was heard since the last call, in order of time."""
        return sorted(beat for host, ear in self._sockets.items() for beat in _beats(host, ear))


def _ear(namespace: str, port: str) -> socket.socket:
    """Return a socket that keeps what comes in at a port, made by a thread that goes there."""
    made: list[socket.socket] = []

    def work() -> None:
        handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not ctypes.CDLL(None, use_errno=True).setns(handle, _NET):
                made.append(_listening(port))
        finally:
            os.close(handle)

    thread = threading.Thread(target=work, name=f"in {namespace}")
    thread.start()
    thread.join()
    if not made:
        raise Unavailable(f"nobody can listen at {port} in {namespace}")
    return made[0]


def _listening(port: str) -> socket.socket:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
    ear.setsockopt(socket.SOL_SOCKET, 33, _ROOM)  # SO_RCVBUFFORCE
    ear.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
    ear.bind((port, _EVERYTHING))
    ear.setblocking(False)
    return ear


def _beats(host: str, ear: socket.socket) -> Iterator[Beat]:
    while True:
        try:
            frame, extra, _, where = ear.recvmsg(128, 64)
        except BlockingIOError:
            return
        if where[2] == _OUTGOING or where[1] != _ARP or len(frame) < _FRAME.size:
            continue
        sender, asked = _FRAME.unpack_from(frame)
        if (asked[0], asked[1] & ~1) == (198, 18) and extra:
            seconds, rest = struct.unpack("qq", extra[0][2])
            number = int.from_bytes(asked, "big") % NUMBERS
            yield Beat(seconds + rest / 1e9, host, socket.inet_ntoa(sender), number)


def copies(beats: Sequence[Beat]) -> int:
    """Return how many copies of one guest lived at once, at most, while it was moved at most once.

    A copy lives on a host from the first to the last beat that came from there.
    """
    spans = {
        host: (mine[0].at_s, mine[-1].at_s)
        for host in {beat.host for beat in beats}
        if (mine := [beat for beat in beats if beat.host == host])
    }
    return max(
        (sum(first <= beat.at_s <= last for first, last in spans.values()) for beat in beats),
        default=0,
    )


def twice(beats: Sequence[Beat]) -> list[str]:
    """Return what two copies of one guest would have said: numbers that repeat or go back."""
    return [
        f"beat {late.number} from {late.host} came after {early.number} from {early.host}"
        for early, late in pairwise(beats)
        if not 0 < (late.number - early.number) % NUMBERS < NUMBERS // 2
    ]


def stood_still_s(beats: Sequence[Beat]) -> float:
    """Return the longest time in which nothing was heard between two beats."""
    return max((late.at_s - early.at_s for early, late in pairwise(beats)), default=0.0)


def read_log(disk: Path, qemu_img: str = "qemu-img") -> list[Line]:
    """Return what a guest wrote to its disk so far, in order of place. The guest may run."""
    with tempfile.TemporaryDirectory(prefix="billow-log-") as scratch:
        plain = Path(scratch) / "log"
        command = [qemu_img, "convert", "-U", "-O", "raw", str(disk), str(plain)]
        subprocess.run(command, check=True, capture_output=True)
        with plain.open("rb") as log:
            first = log.read(SECTOR)
            return parsed(first + log.read(_count(first) * SECTOR))


def _count(sector: bytes) -> int:
    return int(sector[:SECTOR].strip(b"\0 \n") or 0)


def parsed(data: bytes) -> list[Line]:
    """Return the records of a log: the first sector says how many, then there is one in each."""
    count = _count(data)
    return [_line(data[at * SECTOR : (at + 1) * SECTOR]) for at in range(1, count + 1)]


def _line(sector: bytes) -> Line:
    words = sector.decode(errors="replace").split()
    try:
        return Line(words[0], int(words[1]), float(words[2]), *words[3:4])
    except (IndexError, ValueError):
        return Line("", 0, 0.0)


def contradictions(lines: Sequence[Line]) -> list[str]:
    """Return what in a log cannot be of one guest that ran once at a time and lost nothing."""
    found, last = [], {"": 0}
    memory: dict[str, str] = {}
    for place, (before, line) in enumerate(pairwise((Line("", 0, 0.0), *lines)), 1):
        if line.boot == "":
            found.append(f"record {place} cannot be read")
        elif line.boot != before.boot and line.boot in last:
            found.append(f"record {place}: an older boot wrote again")
        elif line.number != last.get(line.boot, 0) + 1:
            found.append(f"record {place} has number {line.number} after {last.get(line.boot, 0)}")
        if line.memory != memory.setdefault(line.boot, line.memory):
            found.append(f"record {place}: the guest's memory changed")
        last[line.boot] = line.number
    return found


def spoken(serial: str) -> list[int]:
    """Return the numbers of the beats on a serial line."""
    return [int(number) for number in _BEAT.findall(serial)]


def repeated(numbers: Sequence[int]) -> list[str]:
    """Return where beats of one boot do not rise by one; a new boot begins with 1."""
    return [
        f"beat {late} came after {early} on the serial line"
        for early, late in pairwise(numbers)
        if late not in (early + 1, 1)
    ]
