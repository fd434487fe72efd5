# SPDX-License-Identifier: Apache-2.0
"""What the networks of a lab can suffer: cut, loss, one way only, large packets lost, slow.

All of it happens at the switch, in the fabric's namespace: a node can neither see nor undo it.
Each fault is a table of its own, named for the port and the fault, so that any can be mended alone.
"""

import contextlib
from collections.abc import Iterable
from enum import StrEnum

from labs.ha import space
from labs.ha.lab import Lab
from labs.ha.layout import GATEWAY, Node, address, switch, uplink
from labs.ha.space import LabError

from billow.model.ha.evidence import NETWORKS, Network


class Way(StrEnum):
    """Which way packets are lost, as the node sees it."""

    BOTH = "both"
    IN = "in"
    OUT = "out"


_HOOK = {Way.OUT: "ingress", Way.IN: "egress"}
"""What a node sends comes in at its switch's port."""


def cut(lab: Lab, node: Node, networks: Iterable[Network] = NETWORKS) -> None:
    """Pull a node's cables: its links lose their carrier."""
    _ports(lab, (node.port(each) for each in networks), "down")


def plug(lab: Lab, node: Node, networks: Iterable[Network] = NETWORKS) -> None:
    """Plug a node's cables in again."""
    _ports(lab, (node.port(each) for each in networks), "up")


def cut_rack(lab: Lab, rack: int, networks: Iterable[Network] = NETWORKS) -> None:
    """Cut the uplinks of a rack: its nodes hear each other, and nobody else."""
    _ports(lab, (uplink(each, rack) for each in networks), "down")


def plug_rack(lab: Lab, rack: int, networks: Iterable[Network] = NETWORKS) -> None:
    """Join a rack again."""
    _ports(lab, (uplink(each, rack) for each in networks), "up")


def stop_switches(lab: Lab, rack: int, networks: Iterable[Network] = NETWORKS) -> None:
    """Turn off a rack's switches."""
    _ports(lab, (switch(each, rack) for each in networks), "down")


def start_switches(lab: Lab, rack: int, networks: Iterable[Network] = NETWORKS) -> None:
    """Turn them on again."""
    _ports(lab, (switch(each, rack) for each in networks), "up")


def lose(lab: Lab, node: Node, network: Network, percent: int = 100, way: Way = Way.BOTH) -> None:
    """Lose a share of what goes to or from a node, at random; 100 loses all of it."""
    chance = "" if percent >= 100 else f"numgen random mod 100 < {percent} "
    _rules(lab, node.port(network), "loss", dict.fromkeys(_ways(way), (f"{chance}drop",)))


def part(lab: Lab, one: Node, other: Node, network: Network, way: Way = Way.BOTH) -> None:
    """Let two nodes not hear each other, while all others hear both."""
    rules = {
        Way.OUT: _address_rules("daddr", other.address(network)),
        Way.IN: _address_rules("saddr", other.address(network)),
    }
    _rules(lab, one.port(network), f"part-{other.name}", {e: rules[e] for e in _ways(way)})


def hide_gateway(lab: Lab, node: Node, network: Network = Network.TENANT) -> None:
    """Lose what a node sends to the network's gateway: its vswitch, or the path, is dead."""
    _rules(
        lab, node.port(network), "gateway",
        {Way.OUT: _address_rules("daddr", address(network, GATEWAY))},
    )  # fmt: skip


def swallow_large(lab: Lab, node: Node, network: Network, longest: int = 600) -> None:
    """Lose every packet longer than so many bytes, without a word: a black hole of the MTU."""
    rule = (f"meta length > {longest} drop",)
    _rules(lab, node.port(network), "mtu", {Way.OUT: rule, Way.IN: rule})


def slow(lab: Lab, node: Node, network: Network, kbit: int = 64) -> None:
    """Let no more than so much through to a node, with a queue as switches have it."""
    rate = f"rate {kbit}kbit burst 4kb latency 400ms"
    words = f"qdisc replace dev {node.port(network)} root tbf {rate}".split()
    space.inside(lab.layout.fabric, "tc", *words)


def mend(lab: Lab, node: Node) -> None:
    """Undo every fault of a node's networks."""
    tables = space.inside(lab.layout.fabric, "nft", "list", "tables").split("\n")
    ours = {node.port(each) for each in NETWORKS}
    for line in tables:
        name = line.rpartition(" ")[2]
        if name.partition("__")[0].replace("_", "-") in ours:
            space.inside(lab.layout.fabric, "nft", "delete", "table", "netdev", name)
    for network in NETWORKS:
        with contextlib.suppress(LabError):
            words = ("qdisc", "del", "dev", node.port(network), "root")
            space.inside(lab.layout.fabric, "tc", *words)
    plug(lab, node)


def _ways(way: Way) -> tuple[Way, ...]:
    return (Way.IN, Way.OUT) if way is Way.BOTH else (way,)


def _address_rules(side: str, number: str) -> tuple[str, ...]:
    arp = f"arp {side} ip {number} drop"
    return (f"ip {side} {number} drop", arp)


def _rules(lab: Lab, port: str, fault: str, rules: dict[Way, tuple[str, ...]]) -> None:
    table = f"{port}__{fault}".replace("-", "_")
    chains = "".join(
        f"chain {way.value} {{ type filter hook {_HOOK[way]} device {port} priority 0; "
        f"{'; '.join(lines)}; }}\n"
        for way, lines in rules.items()
    )
    text = f"table netdev {table}\ndelete table netdev {table}\ntable netdev {table} {{\n{chains}}}"
    space.inside(lab.layout.fabric, "nft", "-f", "-", given=text)


def _ports(lab: Lab, ports: Iterable[str], way: str) -> None:
    space.batch(lab.layout.fabric, (f"link set dev {port} {way}" for port in ports))
