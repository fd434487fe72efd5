# SPDX-License-Identifier: Apache-2.0
"""A guest that costs nothing: it locks its disk, writes to it, and speaks on the tenant network.

It is what the auditors need of an instance, and nothing more: a writer of a disk, and an address.
It imports the standard library only, since forty of them start at once. Run as
`python -IS stub.py NAME DISK LINK ADDRESS`, it runs until it is killed.

On the disk: one line of JSON for each beat, appended. On the wire: a gratuitous ARP request for its
address with each beat, and an answer to who asks for it; its hardware address is its life's own, so
that two lives of one instance show as two hardware addresses for one address.
"""

import contextlib
import fcntl
import json
import os
import socket
import struct
import sys
import time

BEAT_S = 0.1
ARP = 0x0806
_HEAD = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_EVERYONE = b"\xff" * 6
_NOBODY = b"\0" * 6


def frame(hardware: bytes, address: bytes, to: bytes, asked: bytes, *, reply: bool) -> bytes:
    """Return an ARP packet: who has `asked`, or that `address` is at `hardware`."""
    operation = 2 if reply else 1
    target = to if reply else _NOBODY
    return _HEAD.pack(
        to, hardware, ARP, 1, 0x0800, 6, 4, operation, hardware, address, target, asked
    )


def asked_by(packet: bytes, address: bytes) -> bytes | None:
    """Return the hardware address that asks for `address` with this packet, or None."""
    if len(packet) < _HEAD.size:
        return None
    fields = _HEAD.unpack_from(packet)
    sender, operation, source, wanted = fields[8], fields[7], fields[9], fields[11]
    return sender if operation == 1 and wanted == address and source != address else None


def main() -> int:
    """Live: take the disk, or say that somebody else has it; then beat until killed."""
    name, path, link, written = sys.argv[1:5]
    disk = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(disk, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        print(f"{name}: its disk has a writer", file=sys.stderr)
        return 3
    line = _line(link)
    hardware = b"\x02" + os.urandom(5)
    address = socket.inet_aton(written)
    beat = 0
    while True:
        beat += 1
        _write(disk, name, hardware, beat)
        with contextlib.suppress(OSError):
            line.send(frame(hardware, address, _EVERYONE, address, reply=False))
        _answer_until(line, time.monotonic() + BEAT_S, hardware, address)


def _write(disk: int, name: str, hardware: bytes, beat: int) -> None:
    at = time.clock_gettime(time.CLOCK_MONOTONIC)
    record = {"instance": name, "life": hardware.hex(), "beat": beat, "at": at}
    os.write(disk, json.dumps(record).encode() + b"\n")


def _line(link: str) -> socket.socket:
    line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
    line.bind((link, ARP))
    return line


def _answer_until(line: socket.socket, end: float, hardware: bytes, address: bytes) -> None:
    while (left := end - time.monotonic()) > 0:
        line.settimeout(left)
        try:
            packet = line.recv(2048)
            sender = asked_by(packet, address)
            if sender is not None:
                line.send(frame(hardware, address, sender, address, reply=True))
        except OSError:  # the link is down, or it is time for the next beat
            time.sleep(max(0.0, min(0.01, end - time.monotonic())))


if __name__ == "__main__":
    sys.exit(main())
