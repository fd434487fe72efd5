# SPDX-License-Identifier: Apache-2.0
"""What Billow itself knows of a libvirt pool, in its state folder.

fence, actions/, controllers/   what `act.deed` keeps
hosts/NAME.json                 cordon and ratios: libvirt has no place for them
limits/UUID.json                there while vCPUs of a machine may be held to a dirty rate
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.act.durable import load, make_folder, save
from billow.model.host import Node

CPU_RATIO: Final = 4.0
"""vCPUs sold per CPU until `allot` says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """What Billow decided of a host, and what it was when it was last seen.

    Attributes:
        cpu_model: What its CPUs have for guests under KVM; empty while that is not known.
        nodes: Its NUMA nodes; empty until it was seen once.
    """

    cordon: str = ""
    cpu_ratio: float = CPU_RATIO
    memory_ratio: float = 1.0
    arch: str = "x86_64"
    sockets: int = 1
    kvm: bool = False
    cpu_model: str = ""
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRecord:
    """That vCPUs of a machine may be limited: written before they are.

    Attributes:
        host: Where it runs; limits live in that one process.
        vcpus: How many it has.
    """

    host: str
    uuid: str
    vcpus: int


class Records:
    """The files of one pool."""

    def __init__(self, root: Path) -> None:
        self.root = make_folder(root)
        self._hosts = make_folder(root / "hosts")
        self._limits = make_folder(root / "limits")

    def host(self, name: str) -> HostRecord:
        """Return what is known of a host. Raises Refused for a file that cannot be read."""
        return load(HostRecord, self._hosts / f"{name}.json") or HostRecord()

    def save_host(self, name: str, record: HostRecord) -> None:
        """Write a host down, durably."""
        save(self._hosts / f"{name}.json", record)

    def limits(self) -> Iterator[LimitRecord]:
        """Yield the machines that may be limited."""
        for path in sorted(self._limits.glob("*.json")):
            record = load(LimitRecord, path)
            if record is not None:
                yield record

    def save_limit(self, record: LimitRecord) -> None:
        """Write down that a machine may be limited from now on, durably."""
        save(self._limits / f"{record.uuid}.json", record)

    def forget_limit(self, uuid: str) -> None:
        """Write down that it is no more."""
        (self._limits / f"{uuid}.json").unlink(missing_ok=True)
