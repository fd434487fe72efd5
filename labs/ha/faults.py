# SPDX-License-Identifier: Apache-2.0
"""Every fault that the lab can do, by name, each with its end.

`with struck("loss", lab, node, networks=(Network.STORAGE,), amount=60): ...` for programs,
`python -m labs.ha fault loss h1 --network storage --amount 60` for people.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from labs.ha import frozen, space, wire
from labs.ha.audit import guests
from labs.ha.lab import Lab
from labs.ha.layout import LINK, Node
from labs.ha.space import LabError
from labs.ha.wire import Way

from billow.model.ha.evidence import NETWORKS, Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whom a fault strikes.

    Attributes:
        networks: Which of the node's networks; empty for all that the fault is about.
        amount: Percent, bytes, kbit/s or a share, as the fault says; None for its own.
        what: A process that the lab started in the node; empty for all of the node's.
        peer: The other node, where a fault is between two.
    """

    every: ClassVar[tuple[Network, ...]] = NETWORKS

    lab: Lab
    node: Node
    networks: tuple[Network | str, ...] = ()
    amount: float | None = None
    what: str = ""
    peer: Node | None = None

    @property
    def over(self) -> tuple[Network, ...]:
        """The networks that it strikes."""
        return tuple(map(Network, self.networks)) or NETWORKS

    @property
    def numbers(self) -> list[int]:
        """The processes that it strikes."""
        if not self.what:
            return self.lab.processes(self.node)
        number = self.lab.started(self.node).get(self.what)
        if number is None:
            raise LabError(f"{self.node.name} has no {self.what} that the lab started")
        return [number]

    @property
    def mounted(self) -> int:
        """A process of the node that has its own file system mounted. Raises LabError."""
        place = str(self.lab.folder(self.node) / frozen.POOL)
        for number in self.lab.processes(self.node):
            if place in _mounts(number):
                return number
        raise LabError(f"no process of {self.node.name} was started with a disk")

    def amount_or(self, usual: float) -> float:
        """Return the amount, or what is usual."""
        return usual if self.amount is None else self.amount

    def other(self) -> Node:
        """Return the other node. Raises LabError."""
        if self.peer is None:
            raise LabError("this fault is between two nodes: name the other one (--peer)")
        return self.peer


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: how it begins, how it ends, and what it is."""

    about: str
    begin: Callable[[Reach], None]
    mend: Callable[[Reach], None]


@contextmanager
def struck(name: str, lab: Lab, node: Node, **reach: object) -> Iterator[Reach]:
    """Let a node suffer a fault, and mend it afterwards."""
    where = Reach(lab=lab, node=node, **reach)  # type: ignore[arg-type]  # checked by the class
    FAULTS[name].begin(where)
    try:
        yield where
    finally:
        FAULTS[name].mend(where)


def _mounts(number: int) -> str:
    try:
        return Path(f"/proc/{number}/mounts").read_text()
    except OSError:
        return ""


def _lose(way: Way) -> Callable[[Reach], None]:
    def begin(reach: Reach) -> None:
        for network in reach.over:
            wire.lose(reach.lab, reach.node, network, int(reach.amount_or(100)), way)

    return begin


def _each(do: Callable[..., None], usual: float) -> Callable[[Reach], None]:
    def begin(reach: Reach) -> None:
        for network in reach.over:
            do(reach.lab, reach.node, network, int(reach.amount_or(usual)))

    return begin


def _part(reach: Reach) -> None:
    for network in reach.over:
        wire.part(reach.lab, reach.node, reach.other(), network)


def _hung(reach: Reach, *, on: bool) -> None:
    """Stop one guest's process, or all of them: their monitors do not answer any more."""
    ours = set(reach.lab.processes(reach.node))
    stopped = [
        number for number, name, _ in guests() if number in ours and reach.what in {"", name}
    ]
    frozen.pause(stopped, on=on)


def _protect(reach: Reach, *, on: bool) -> None:
    frozen.write_protect(reach.lab.folder(reach.node), reach.mounted, protected=on)


def _mend_wire(reach: Reach) -> None:
    wire.mend(reach.lab, reach.node)


def _nothing(_: Reach) -> None:
    """There is no way back from a process's death but a new process."""


def _show(reach: Reach, path: str, text: str) -> None:
    kept = reach.lab.folder(reach.node) / path.rpartition("/")[2]
    frozen.show(reach.mounted, path, text, kept)


def _connections() -> str:
    return Path("/proc/sys/net/netfilter/nf_conntrack_max").read_text()


def _speed(reach: Reach) -> str:
    """Return the file of a card's speed, below no link: one cannot mount upon a link."""
    link = LINK[reach.over[0]]
    return f"/sys/devices/virtual/net/{link}/speed"


def _bond(reach: Reach) -> None:
    text = "MII Status: up\n\nSlave Interface: eth0\nMII Status: up\n\n"
    text += "Slave Interface: eth1\nMII Status: down\n"
    kept = reach.lab.folder(reach.node) / "net"
    for number in reach.lab.processes(reach.node):
        if "prober" in space.words_of(number):
            frozen.show_bond(number, LINK[reach.over[0]], text, kept)


def _say(reach: Reach) -> None:
    with (reach.lab.folder(reach.node) / "kmsg").open("w") as kernel:
        kernel.write(f"4,1,1,-;{reach.what}\n")


def _kill(reach: Reach) -> None:
    space.send(reach.numbers, space.KILL)


FAULTS: Final = {
    "link": Fault(
        "cables pulled (--network; all without)",
        lambda r: wire.cut(r.lab, r.node, r.over),
        lambda r: wire.plug(r.lab, r.node, r.over),
    ),
    "loss": Fault("--amount percent of all packets lost, both ways", _lose(Way.BOTH), _mend_wire),
    "deaf": Fault("nothing reaches it any more; it is heard", _lose(Way.IN), _mend_wire),
    "mute": Fault("it is not heard any more; it hears", _lose(Way.OUT), _mend_wire),
    "part": Fault("it and --peer do not hear each other; all others do", _part, _mend_wire),
    "mtu": Fault(
        "packets of more than --amount bytes (600) vanish",
        _each(wire.swallow_large, 600),
        _mend_wire,
    ),
    "slow": Fault("its link carries --amount kbit/s (64)", _each(wire.slow, 64), _mend_wire),
    "gateway": Fault(
        "its way to the tenant network's gateway is dead",
        lambda r: wire.hide_gateway(r.lab, r.node),
        _mend_wire,
    ),
    "rack": Fault(
        "its rack's uplinks are cut",
        lambda r: wire.cut_rack(r.lab, r.node.rack, r.over),
        lambda r: wire.plug_rack(r.lab, r.node.rack, r.over),
    ),
    "switch": Fault(
        "its rack's switches are off",
        lambda r: wire.stop_switches(r.lab, r.node.rack, r.over),
        lambda r: wire.start_switches(r.lab, r.node.rack, r.over),
    ),
    "stop": Fault(
        "processes stopped (SIGSTOP; --what)",
        lambda r: frozen.pause(r.numbers, on=True),
        lambda r: frozen.pause(r.numbers, on=False),
    ),
    "kill": Fault("processes killed (SIGKILL; --what)", _kill, _nothing),
    "freeze": Fault(
        "processes in a frozen control group (--what)",
        lambda r: frozen.freeze_processes(r.lab.cgroup(r.node), r.numbers),
        lambda r: frozen.thaw_processes(r.lab.cgroup(r.node)),
    ),
    "starve": Fault(
        "processes get --amount of a CPU (0.01; --what)",
        lambda r: frozen.starve_processes(r.lab.cgroup(r.node), r.numbers, r.amount_or(0.01)),
        lambda r: frozen.feed_processes(r.lab.cgroup(r.node)),
    ),
    "disk": Fault(
        "its storage hangs: every write waits, beats go on",
        lambda r: frozen.freeze_disk(r.lab.folder(r.node), r.mounted),
        lambda r: frozen.thaw_disk(r.lab.folder(r.node)),
    ),
    "local-disk": Fault(
        "its own disk hangs: every write waits, beats go on",
        lambda r: frozen.freeze_disk(r.lab.folder(r.node), r.mounted, frozen.DISK),
        lambda r: frozen.thaw_disk(r.lab.folder(r.node)),
    ),
    "conntrack": Fault(
        "its agent reads that the table of connections is full",
        lambda r: _show(r, "/proc/sys/net/netfilter/nf_conntrack_count", _connections()),
        lambda r: frozen.unshow(r.mounted, "/proc/sys/net/netfilter/nf_conntrack_count"),
    ),
    "speed": Fault(
        "its agent reads that a card (--network) has fallen to 10 Mbit/s",
        lambda r: _show(r, _speed(r), "10\n"),
        lambda r: frozen.unshow(r.mounted, _speed(r)),
    ),
    "bond": Fault(
        "its agent reads that a leg of the bond under --network is down", _bond, _nothing
    ),
    "kernel": Fault("its kernel says --what", _say, _nothing),
    "readonly": Fault(
        "its storage is mounted read-only",
        lambda r: _protect(r, on=True),
        lambda r: _protect(r, on=False),
    ),
    "hung": Fault(
        "a guest's process (--what NAME; all without) does not answer",
        lambda r: _hung(r, on=True),
        lambda r: _hung(r, on=False),
    ),
    "power": Fault(
        "its power is cut", lambda r: r.lab.power_off(r.node), lambda r: r.lab.power_on(r.node)
    ),
}
"""By name."""
