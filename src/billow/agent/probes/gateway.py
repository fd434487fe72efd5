# SPDX-License-Identifier: Apache-2.0
"""The path to the tenants' gateways: whether they answer, how fast, and whether large packets pass.

An echo asks along the path; where none comes back soon, ARP asks the gateway's own card: either
answer is one. An echo as large as the card allows, that must not be cut, shows a path that swallows
large packets.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from billow.agent.probes.interface import hardware_address, interfaces, mtu
from billow.agent.probes.probe import Probe
from billow.model.ha.evidence import Hardware, Network, Symptom

WAIT_S: Final = 0.8
EVERY_S, SOON_S = 1.0, 0.2
"""Between two rounds: at rest, and while an answer is missed."""
MISSED: Final = 3
"""So many rounds without any answer, and the gateway is out of reach."""
SLOW_S: Final = 0.2
_ARP, _ASK, _ANSWER = 0x0806, 1, 2
_BROADCAST: Final = b"\xff" * 6
_MTU_DISCOVER, _PROBE = 10, 3  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE: linux/in.h
_HEADERS: Final = 28  # IPv4 and ICMP


@dataclass(slots=True)
class Round:
    """What one round of questions brought.

    Attributes:
        took_s: The fastest answer to a small question; None without one.
        large: Whether a large echo came back; None when no small one did.
    """

    took_s: float | None = None
    large: bool | None = None


@dataclass(slots=True)
class Record:
    """What is remembered of one gateway."""

    heard: bool = False
    missed: int = 0
    large_passed: bool = False
    large_missed: int = 0
    slow: int = 0
    rounds: list[Round] = field(default_factory=list)

    def note(self, asked: Round) -> None:
        """Take in a round."""
        self.heard = self.heard or asked.took_s is not None
        self.missed = 0 if asked.took_s is not None else self.missed + 1
        self.slow = self.slow + 1 if (asked.took_s or 0) > SLOW_S else 0
        self.large_passed = self.large_passed or bool(asked.large)
        if asked.large is not None:
            self.large_missed = 0 if asked.large else self.large_missed + 1


class Gateways(Probe):
    """Asks each gateway once a second, from the tenant address."""

    name = "gateway"
    period_s = 1.0

    def __init__(self, local: str, gateways: tuple[str, ...]) -> None:
        self._local, self._gateways = local, gateways
        self._records = {each: Record() for each in gateways}

    def missing(self) -> str:
        """Return what the host lacks for it."""
        if not self._gateways:
            return "no gateway was named: --gateway"
        if not self._local:
            return "this host has no address on the tenant network"
        try:
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
        except OSError as error:
            return f"ARP and echoes are not allowed: {error.strerror} (CAP_NET_RAW)"
        return ""

    def look(self, wall: float) -> Iterable[Symptom]:
        """Ask each gateway, and return what its last rounds mean."""
        found: list[Symptom] = []
        for gateway, record in self._records.items():
            record.note(asked(self._local, gateway))
            found += judge(gateway, record, wall)
        missed = any(each.heard and each.missed for each in self._records.values())
        self.period_s = SOON_S if missed else EVERY_S
        return found


def asked(local: str, gateway: str) -> Round:
    """Ask a gateway by a small and a large echo, and by ARP at need; waits at most `WAIT_S`."""
    card = interfaces().get(local, "")
    if not card:
        return Round()
    took = Round()
    with suppress(OSError):
        took.took_s, large = _echoes(local, gateway, mtu(card) - _HEADERS)
        took.large = None if took.took_s is None else large is not None
    if took.took_s is None or took.took_s > SLOW_S:
        with suppress(OSError):
            by_arp = _arp(card, local, gateway)
            answers = [each for each in (took.took_s, by_arp) if each is not None]
            took.took_s = min(answers, default=None)
    return took


def judge(gateway: str, record: Record, wall: float) -> Iterator[Symptom]:
    """Yield what a gateway's rounds mean. One that never answered says nothing of this host."""
    if not record.heard:
        return
    if record.missed >= MISSED:
        text = "the gateway answers neither ARP nor echoes"
        yield Symptom("gateway", gateway, Hardware.HURTING, text, wall, network=Network.TENANT)
    elif record.large_passed and record.large_missed >= MISSED:
        text = "large packets to the gateway vanish and small ones pass (MTU)"
        yield Symptom("gateway", gateway, Hardware.HURTING, text, wall, network=Network.TENANT)
    elif record.slow >= MISSED:
        text = f"the gateway takes more than {SLOW_S * 1000:g} ms to answer"
        yield Symptom("gateway", gateway, Hardware.PREDICTED, text, wall)


def arp_question(own: bytes, local: str, gateway: str) -> bytes:
    """Return the frame that asks who has the gateway's address."""
    head = _BROADCAST + own + struct.pack("!H", _ARP)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, _ASK)
    return head + body + own + socket.inet_aton(local) + bytes(6) + socket.inet_aton(gateway)


def answers_arp(frame: bytes, gateway: str) -> bool:
    """Tell whether a frame is a gateway's answer."""
    kind = frame[12:14] == struct.pack("!H", _ARP) and frame[20:22] == struct.pack("!H", _ANSWER)
    return kind and frame[28:32] == socket.inet_aton(gateway)


def echo(number: int, sequence: int, size: int) -> bytes:
    """Return an ICMP echo request of `size` bytes behind its header."""
    head = struct.pack("!BBHHH", 8, 0, 0, number, sequence)
    payload = bytes(size)
    words = struct.unpack(f"!{len(head) // 2}H", head)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, number, sequence) + payload


def _arp(card: str, local: str, gateway: str) -> float | None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as line:
        line.bind((card, _ARP))
        began = time.monotonic()
        line.send(arp_question(hardware_address(card), local, gateway))
        while (left_s := began + WAIT_S / 2 - time.monotonic()) > 0:
            if not select.select([line], [], [], left_s)[0]:
                return None
            if answers_arp(line.recv(256), gateway):
                return time.monotonic() - began
    return None


def _echoes(local: str, gateway: str, size: int) -> tuple[float | None, float | None]:
    """Return how long a small and a large echo took, seconds; None for one that is lost."""
    number = os.getpid() & 0xFFFF
    took: dict[int, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as line:
        line.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _PROBE)
        line.bind((local, 0))
        began = time.monotonic()
        for sequence, length in ((1, 16), (2, size)):
            with suppress(OSError):
                line.sendto(echo(number, sequence, length), (gateway, 0))
        while len(took) < 2 and (left_s := began + WAIT_S / 2 - time.monotonic()) > 0:
            if not select.select([line], [], [], left_s)[0]:
                break
            if sequence := answers_echo(line.recv(65_536), number):
                took[sequence] = time.monotonic() - began
    return took.get(1), took.get(2)


def answers_echo(packet: bytes, number: int) -> int:
    """Return which echo an IPv4 packet answers; 0 for none of ours."""
    start = (packet[0] & 15) * 4
    kind, _, _, whose, sequence = struct.unpack_from("!BBHHH", packet, start)
    return int(sequence) if kind == 0 and whose == number else 0
