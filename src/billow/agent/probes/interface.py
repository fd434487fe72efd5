# SPDX-License-Identifier: Apache-2.0
"""Which card has which address: asked of the kernel, without a program."""

import array
import fcntl
import socket
import struct
from contextlib import suppress
from typing import Final

_GET_ADDRESS: Final = 0x8915  # SIOCGIFADDR, linux/sockios.h
_GET_MTU: Final = 0x8921
_GET_HARDWARE: Final = 0x8927
_LIST: Final = 0x8912  # SIOCGIFCONF
_ENTRY: Final = 40
_MOST: Final = 512


def interfaces() -> dict[str, str]:
    """Return the card of each IPv4 address of this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        room = array.array("B", bytes(_ENTRY * _MOST))
        address, _ = room.buffer_info()
        request = struct.pack("iL", len(room), address)
        length = struct.unpack("iL", fcntl.ioctl(asked, _LIST, request))[0]
    entries = (room[start : start + _ENTRY].tobytes() for start in range(0, length, _ENTRY))
    return {
        socket.inet_ntoa(entry[20:24]): entry[:16].split(b"\0", 1)[0].decode() for entry in entries
    }


def mtu(card: str) -> int:
    """Return the largest packet that a card sends, bytes. Raises OSError when it is gone."""
    return int(struct.unpack_from("i", _asked(_GET_MTU, card), 16)[0])


def hardware_address(card: str) -> bytes:
    """Return the six bytes of a card's own address. Raises OSError when it is gone."""
    return _asked(_GET_HARDWARE, card)[18:24]


def own_address(card: str) -> str:
    """Return the first IPv4 address of a card; empty when it has none."""
    with suppress(OSError):
        return socket.inet_ntoa(_asked(_GET_ADDRESS, card)[20:24])
    return ""


def _asked(what: int, card: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        return fcntl.ioctl(asked, what, struct.pack("256s", card.encode()[:15]))
