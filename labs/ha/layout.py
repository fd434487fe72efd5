# SPDX-License-Identifier: Apache-2.0
"""What a lab consists of: names, numbers, racks, addresses. Pure; it does no I/O."""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from labs.ha.space import LabError

from billow.model.ha.evidence import NETWORKS, Network

MOST_HOSTS: Final = 120
FIRST_CONTROLLER: Final = 200
GATEWAY: Final = 254
"""The last part of the address that every network's spine has: a witness that is no host."""
LETTER: Final = {Network.MANAGEMENT: "m", Network.TENANT: "t", Network.STORAGE: "s"}
LINK: Final = {Network.MANAGEMENT: "mgmt0", Network.TENANT: "ten0", Network.STORAGE: "stor0"}


class Kind(StrEnum):
    """What a node of the lab is."""

    HOST = "host"
    CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the lab.

    Attributes:
        number: Last part of its addresses.
        rack: From 1; on each network, a rack has a switch of its own.
        netns: Every process in this network namespace is this machine's.
        adopted: Whether the namespace is somebody else's (a pool's): then only links are added.
    """

    name: str
    kind: Kind
    number: int
    rack: int
    netns: str
    adopted: bool = False

    def address(self, network: Network) -> str:
        """Return its address on a network."""
        return address(network, self.number)

    def port(self, network: Network) -> str:
        """Return the name of the switch's port that it is plugged into."""
        return f"{LETTER[network]}-{self.name}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A whole lab: its folder's tag, racks, hosts and controllers."""

    tag: str
    racks: int
    hosts: tuple[Node, ...]
    controllers: tuple[Node, ...]

    @property
    def fabric(self) -> str:
        """The namespace of all switches."""
        return f"{self.tag}-net"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Hosts and controllers."""
        return (*self.hosts, *self.controllers)

    def node(self, name: str) -> Node:
        """Return a node by name. Raises LabError."""
        for each in self.nodes:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.nodes)
        raise LabError(f"no {name} in this lab; there are: {known}")


def address(network: Network, number: int) -> str:
    """Return the address of a number on a network."""
    return f"10.79.{NETWORKS.index(network) + 1}.{number}"


def switch(network: Network, rack: int) -> str:
    """Return the bridge that is a rack's switch on a network; rack 0 is the spine."""
    return f"{LETTER[network]}sw{rack}"


def uplink(network: Network, rack: int) -> str:
    """Return the spine's port of a rack."""
    return f"{LETTER[network]}up{rack}"


def layout_of(
    root: Path, hosts: int, controllers: int, racks: int, adopted: tuple[tuple[str, str], ...] = ()
) -> Layout:
    """Lay a lab out. Raises LabError for counts that do not fit.

    Args:
        root: The lab's folder; everything bears a tag made of it.
        hosts: How many hosts.
        controllers: How many controllers.
        racks: How many racks the hosts stand in.
        adopted: Hosts that are there already, as name and namespace; in place of `hosts`.
    """
    count = len(adopted) or hosts
    if not 1 <= count <= MOST_HOSTS or not 0 <= controllers <= 9 or not 1 <= racks <= count:
        raise LabError(f"{count} hosts in {racks} racks with {controllers} controllers do not fit")
    tag = "ha" + hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:6]
    named = adopted or tuple((f"h{n}", f"{tag}-h{n}") for n in range(1, count + 1))
    made = (
        Node(name, Kind.HOST, n, (n - 1) * racks // count + 1, netns, adopted=bool(adopted))
        for n, (name, netns) in enumerate(named, 1)
    )
    brains = (
        Node(f"c{n}", Kind.CONTROLLER, FIRST_CONTROLLER + n, (n - 1) % racks + 1, f"{tag}-c{n}")
        for n in range(1, controllers + 1)
    )
    return Layout(tag, racks, tuple(made), tuple(brains))


def written(layout: Layout) -> str:
    """Return a layout as JSON."""
    return json.dumps(asdict(layout), indent=1)


def read(text: str) -> Layout:
    """Return a layout that was written."""
    found = json.loads(text)
    hosts, controllers = (
        tuple(Node(**{**each, "kind": Kind(each["kind"])}) for each in found[key])
        for key in ("hosts", "controllers")
    )
    return Layout(found["tag"], found["racks"], hosts, controllers)
