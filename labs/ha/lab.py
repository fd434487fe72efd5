# SPDX-License-Identifier: Apache-2.0
"""The lab itself: three networks of switches, hosts and controllers plugged in, up and down.

Everything bears the tag of the lab's folder, lives in namespaces of its own, and is ended by what
lives in them: nothing else of this machine is touched. A pool's hosts (the engine `qemu`) can be
adopted: they get the lab's links, and their guests stay theirs.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from labs.ha import frozen, space
from labs.ha.layout import (
    GATEWAY,
    LINK,
    Layout,
    Node,
    address,
    layout_of,
    read,
    switch,
    uplink,
    written,
)
from labs.ha.space import LabError

from billow.model.ha.evidence import NETWORKS, Network

TOOLS: Final = ("ip", "nft", "nsenter", "unshare", "mount")
_CALL: Final = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), 1)
except ConnectionRefusedError:
    pass
"""
"""Calls a port that nobody serves: to be refused is an answer, too."""


class Lab:
    """A lab in a folder. Two with different folders never meet."""

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root = root.absolute()
        self.layout = layout
        self._children: list[subprocess.Popen[bytes]] = []

    @classmethod
    def planned(
        cls,
        root: Path,
        hosts: int = 3,
        *,
        controllers: int = 3,
        racks: int = 1,
        adopted: Sequence[tuple[str, str]] = (),
    ) -> "Lab":
        """Return a lab that is not up yet, or the one that is in this folder."""
        file = root / "lab.json"
        if file.exists():
            return cls(root, read(file.read_text()))
        return cls(root, layout_of(root, hosts, controllers, racks, tuple(adopted)))

    @classmethod
    def found(cls, root: Path) -> "Lab":
        """Return the lab of a folder. Raises LabError when there is none."""
        try:
            return cls(root, read((root / "lab.json").read_text()))
        except FileNotFoundError:
            raise LabError(f"there is no lab in {root}") from None

    @property
    def hosts(self) -> tuple[Node, ...]:
        """Its hosts."""
        return self.layout.hosts

    @property
    def controllers(self) -> tuple[Node, ...]:
        """Its controllers."""
        return self.layout.controllers

    def node(self, name: str) -> Node:
        """Return a node by name. Raises LabError."""
        return self.layout.node(name)

    def folder(self, node: Node) -> Path:
        """Return the folder that is a node's own."""
        return self.root / node.name

    def up(self) -> None:
        """Make what is missing; what is there is left as it is. Raises LabError."""
        check()
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "lab.json").write_text(written(self.layout))
        self._lay_switches()
        for node in self.layout.nodes:
            self.folder(node).mkdir(exist_ok=True)
            self._plug_in(node)

    def down(self) -> None:
        """End everything that the lab started, and remove what it made. Twice is no error."""
        self.thaw_all()
        for node in self.layout.nodes:
            if node.adopted:
                self._unplug(node)
            elif space.exists(node.netns):
                space.kill_all(node.netns)
                space.run("ip", "netns", "del", node.netns)
        if space.exists(self.layout.fabric):
            space.kill_all(self.layout.fabric)
            space.run("ip", "netns", "del", self.layout.fabric)
        for child in self._children:
            child.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def check(self) -> dict[str, str]:
        """Return what is wrong, by node; empty when every node reaches every network's spine."""
        wrong = {}
        for node in self.layout.nodes:
            lost = [each.value for each in NETWORKS if not self.reaches(node, each)]
            if lost:
                wrong[node.name] = f"no way over {', '.join(lost)}"
        return wrong

    def reaches(self, node: Node, network: Network, number: int = GATEWAY) -> bool:
        """Return whether a node gets an answer from an address, the spine's unless told."""
        try:
            space.inside(node.netns, sys.executable, "-ISc", _CALL, address(network, number))
        except LabError:
            return False
        return True

    def start(
        self, node: Node, what: str, command: Sequence[str], **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start a process in a node, its output in `NODE/WHAT.log`, its number in `WHAT.pid`."""
        folder = self.folder(node)
        made = space.spawn(node.netns, command, folder / f"{what}.log", variables)
        space.until(lambda: space.entered_by(made.pid, node.netns), f"{what} did not start")
        (folder / f"{what}.pid").write_text(f"{made.pid} {space.started(made.pid)}")
        self._children.append(made)
        return made

    def started(self, node: Node) -> Mapping[str, int]:
        """Return the living processes that `start` started in a node, by what they are."""
        found = {}
        for file in self.folder(node).glob("*.pid"):
            number, _, ticks = file.read_text().partition(" ")
            if space.state(int(number)) not in {"", "Z"} and space.started(int(number)) == int(
                ticks
            ):
                found[file.stem] = int(number)
        return found

    def processes(self, node: Node) -> list[int]:
        """Return every process of a node: guests, agent, whatever lives in its namespace."""
        return space.processes(node.netns)

    def power_off(self, node: Node) -> None:
        """Cut a node's power: all of it ends at once, and its links lose their carrier."""
        self.thaw(node)
        space.kill_all(node.netns)
        self._carriers(node, "down")
        self._power_file(node).write_text("off")

    def power_on(self, node: Node) -> None:
        """Give a node its power and its links back; nothing is started in it."""
        self._power_file(node).write_text("on")
        self._carriers(node, "up")

    def powered(self, node: Node) -> bool:
        """Return whether a node has power, in truth."""
        file = self._power_file(node)
        return not file.exists() or file.read_text() == "on"

    def thaw(self, node: Node) -> None:
        """Let a node's frozen processes and file system go on: neither can be ended otherwise."""
        frozen.thaw_processes(self.cgroup(node))
        frozen.thaw_disk(self.folder(node))

    def thaw_all(self) -> None:
        """Let everything go on that is frozen."""
        for node in self.layout.nodes:
            self.thaw(node)
            frozen.forget(self.cgroup(node))

    def cgroup(self, node: Node) -> str:
        """Return the name of a node's control group, for faults that need one."""
        return f"{self.layout.tag}-{node.name}"

    def stop(self, node: Node, what: str) -> None:
        """End one process that `start` started; one that is gone is no error."""
        number = self.started(node).get(what)
        if number is not None:
            family = [n for n in self.processes(node) if space.group_of(n) == number]
            space.send([number, *family], signal.SIGKILL)
            space.until(lambda: space.state(number) in {"", "Z"}, f"{what} does not end")

    def _power_file(self, node: Node) -> Path:
        return self.folder(node) / "power"

    def _carriers(self, node: Node, way: str) -> None:
        ports = (f"link set dev {node.port(network)} {way}" for network in NETWORKS)
        space.batch(self.layout.fabric, ports)

    def _lay_switches(self) -> None:
        if not space.exists(self.layout.fabric):
            space.run("ip", "netns", "add", self.layout.fabric)
        have = space.links(self.layout.fabric)
        space.batch(self.layout.fabric, (line for line in self._switch_lines(have)))

    def _switch_lines(self, have: set[str]) -> Iterator[str]:
        yield "link set dev lo up"
        for network in NETWORKS:
            if switch(network, 0) not in have:
                yield f"link add {switch(network, 0)} type bridge"
                yield f"address add {address(network, GATEWAY)}/24 dev {switch(network, 0)}"
                yield f"link set dev {switch(network, 0)} up"
            for rack in range(1, self.layout.racks + 1):
                if switch(network, rack) not in have:
                    yield from _rack_lines(network, rack)

    def _plug_in(self, node: Node) -> None:
        if node.adopted and not space.exists(node.netns):
            raise LabError(f"{node.name} has no namespace {node.netns}: begin its pool first")
        if not space.exists(node.netns):
            space.run("ip", "netns", "add", node.netns)
        missing = [each for each in NETWORKS if LINK[each] not in space.links(node.netns)]
        space.batch(
            self.layout.fabric, (line for each in missing for line in _cable_lines(node, each))
        )
        space.batch(
            node.netns,
            ("link set dev lo up", *(line for each in missing for line in _card_lines(node, each))),
        )

    def _unplug(self, node: Node) -> None:
        """Take the lab's links and processes away from a namespace that is somebody else's.

        What these began goes, too: a watchdog's stand-in has left their family, and ignores them.
        """
        for what in self.started(node):
            self.stop(node, what)
        own = str(self.root)
        left = [n for n in self.processes(node) if any(own in w for w in space.words_of(n))]
        space.send(left, signal.SIGKILL)
        if space.exists(node.netns):
            there = [each for each in LINK.values() if each in space.links(node.netns)]
            space.batch(node.netns, (f"link del dev {each}" for each in there))


def _rack_lines(network: Network, rack: int) -> Iterator[str]:
    here, port, there = switch(network, rack), uplink(network, rack), f"{uplink(network, rack)}d"
    yield f"link add {here} type bridge"
    yield f"link add {port} type veth peer name {there}"
    yield f"link set dev {port} master {switch(network, 0)} up"
    yield f"link set dev {there} master {here} up"
    yield f"link set dev {here} up"


def _cable_lines(node: Node, network: Network) -> Iterator[str]:
    port = node.port(network)
    yield f"link add {port} type veth peer name {LINK[network]} netns {node.netns}"
    yield f"link set dev {port} master {switch(network, node.rack)} up"


def _card_lines(node: Node, network: Network) -> Iterator[str]:
    yield f"address add {node.address(network)}/24 dev {LINK[network]}"
    yield f"link set dev {LINK[network]} up"


def check() -> None:
    """Raise LabError when a lab cannot be had here, and say what is missing."""
    if os.geteuid() != 0:
        raise LabError("a lab needs root: it makes network namespaces")
    absent = space.missing(*TOOLS)
    if absent:
        raise LabError(
            f"not found: {', '.join(absent)}; "
            "apt-get install --no-install-recommends iproute2 nftables util-linux"
        )
