# SPDX-License-Identifier: Apache-2.0
"""Where agents come in: one listening socket for each address, which may serve several networks.

Sites with one or two physical networks name the same address for several: of which network a line
is, its agent's first frame says then. This module must not read what comes in.
"""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from billow.errors import Unavailable
from billow.ha.lines import listening
from billow.model.ha.evidence import NETWORKS, Network


@dataclass(frozen=True, slots=True)
class Door:
    """One of them.

    Attributes:
        places: The networks that it serves, as positions in NETWORKS.
    """

    socket: socket.socket
    places: tuple[int, ...]


class Doors:
    """All of a controller's, by the numbers of their sockets."""

    def __init__(self) -> None:
        self._doors: dict[int, Door] = {}

    def open(self, places: Mapping[Network, tuple[str, int]]) -> None:
        """Listen. Raises Unavailable when an address cannot be had.

        Args:
            places: Address and port by network; port 0 takes a free one, another for each network.
        """
        try:
            for (address, port), served in _shared(places):
                door = Door(listening(address, port), served)
                self._doors[door.socket.fileno()] = door
        except Unavailable:
            self.close()
            raise

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers of the sockets."""
        return iter(self._doors)

    def get(self, handle: int) -> Door | None:
        """Return the door whose socket has a number; None for what is none."""
        return self._doors.get(handle)

    def ports(self) -> dict[Network, int]:
        """Return the port of each network."""
        return {
            NETWORKS[place]: int(door.socket.getsockname()[1])
            for door in self._doors.values()
            for place in door.places
        }

    def address(self, place: int) -> str:
        """Return this controller's address on a network, a position in NETWORKS."""
        door = next(each for each in self._doors.values() if place in each.places)
        return str(door.socket.getsockname()[0])

    def close(self) -> None:
        """Let nobody in any more."""
        for door in self._doors.values():
            door.socket.close()
        self._doors.clear()


def _shared(
    places: Mapping[Network, tuple[str, int]],
) -> Iterator[tuple[tuple[str, int], tuple[int, ...]]]:
    """Yield each address and port once, with the networks that are heard there."""
    by_place: dict[tuple[str, int], list[int]] = {}
    for network, (address, port) in places.items():
        if port:
            by_place.setdefault((address, port), []).append(NETWORKS.index(network))
        else:
            yield (address, port), (NETWORKS.index(network),)
    for place, served in by_place.items():
        yield place, tuple(served)
