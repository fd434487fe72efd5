# SPDX-License-Identifier: Apache-2.0
"""What an agent and a controller say to each other: small frames over a mutually proved TLS line.

One line per network and controller. A frame is a header of 20 bytes and, where its kind has one, a
JSON body. Beats have a body only when something has changed, so that a thousand hosts cost little.
This module must not do I/O, and imports the standard library only: the agent carries it.

Header, big-endian: kind (1 byte), network (1: position in NETWORKS), body length (2), number (8:
rises with each frame of a sender), at (8: float64, the sender's monotonic seconds).
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from billow.errors import Invalid
from billow.model.ha.evidence import NETWORKS, Network

_HEADER: Final = struct.Struct("!BBHQd")
HEADER_BYTES: Final = _HEADER.size
MOST_BYTES: Final = 65_535


class Frame(IntEnum):
    """What a frame is."""

    HELLO = 1
    """Agent: who I am. Body: `boot` (id of this boot), `lease_s`, `version`, `fence` (the highest
    that it has obeyed), `quarantined`."""
    BEAT = 2
    """Agent: I live. A body, when something changed: `symptoms`, `acked` (controller -> network ->
    age in seconds of the last acknowledged send), `progress` (what -> age in seconds)."""
    ACK = 3
    """Controller: number and at are those of the beat that it answers."""
    ORDER = 4
    """Controller: do this. Body: `id`, `do` (`fence`, `clean`, `look`), `fence`, `instances`."""
    ANSWER = 5
    """Agent: body `id`, `ok`, `text`, `gone` (instances that no longer run here)."""
    GASP = 6
    """Agent or its kernel: nothing will run here any more. Body: `text`."""
    BYE = 7
    """Agent: I end in order (an upgrade, a restart); my instances run on."""


_BEAT: Final = int(Frame.BEAT)


@dataclass(frozen=True, slots=True)
class Message:
    """One frame, read."""

    kind: Frame
    network: Network
    number: int
    at: float
    body: dict[str, object]

    def stamped(self, kind: Frame) -> bytes:
        """Return the bytes of a frame without a body that answers this one by its number."""
        return _HEADER.pack(kind, NETWORKS.index(self.network), 0, self.number, self.at)


def encode(message: Message) -> bytes:
    """Return the bytes of a frame. Raises Invalid when its body is too long."""
    body = packed(message.body) if message.body else b""
    return framed(message.kind, message.network, (message.number, message.at), body)


def packed(body: dict[str, object]) -> bytes:
    """Return the bytes of a body, to be sent in one frame or in several."""
    return json.dumps(body, separators=(",", ":")).encode()


def framed(kind: Frame, network: Network, stamp: tuple[int, float], body: bytes = b"") -> bytes:
    """Return the bytes of a frame with a packed body; `stamp` is its number and when.

    Raises Invalid when the body is too long.
    """
    if len(body) > MOST_BYTES:
        raise Invalid(f"a frame's body has {len(body)} bytes, more than {MOST_BYTES}")
    return _HEADER.pack(kind, NETWORKS.index(network), len(body), *stamp) + body


def decode(data: bytearray) -> Iterator[Message]:
    """Take every whole frame from the front of `data` and yield it; the rest stays.

    Raises Invalid for what is no frame: the line is of no more use then.
    """
    while len(data) >= _HEADER.size:
        kind, network, length, number, at = _HEADER.unpack_from(data)
        end = _HEADER.size + length
        if len(data) < end:
            return
        raw = bytes(data[_HEADER.size : end])
        del data[:end]
        yield Message(_kind(kind), _network(network), number, at, _body(raw))


def plain_beat(data: bytearray, network: int) -> int:
    """Return the number of a beat without a body that is at the front of `data`; else 0.

    For who reads fifteen thousand of them in a second: nothing else is made of it.

    Args:
        data: At least the 20 bytes of one frame.
        network: The line's, as a position in NETWORKS.
    """
    kind, over, length, number, _ = _HEADER.unpack_from(data)
    plain = kind == _BEAT and over == network and not length
    return number if plain else 0


def _kind(code: int) -> Frame:
    try:
        return Frame(code)
    except ValueError:
        raise Invalid(f"{code} is no kind of frame") from None


def _network(code: int) -> Network:
    if code >= len(NETWORKS):
        raise Invalid(f"{code} is no network")
    return NETWORKS[code]


def _body(raw: bytes) -> dict[str, object]:
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise Invalid("a frame's body is no JSON") from None
    if not isinstance(body, dict):
        raise Invalid("a frame's body is no JSON object")
    return body
