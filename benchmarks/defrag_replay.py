# SPDX-License-Identifier: Apache-2.0
"""A plan in a file, checked move by move against the vmr document, with arithmetic of its own.

Nothing of Billow's model or solver is used here: a mistake there must show here. In a wave a moving
instance holds its room at both ends.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billow.errors import Invalid

WANTED_CPUS = 16

Room = dict[tuple[str, int], list[float]]
"""CPUs and MiB that are free, by host and node."""


@dataclass(frozen=True)
class Replayed:
    """What a plan comes to.

    Attributes:
        faults: What is wrong with it, in the order of its moves.
        slots: Single-node slots of 16 CPUs on active hosts afterwards.
    """

    faults: tuple[str, ...]
    slots: int
    moves: int
    waves: int


def replayed(document: Mapping[str, Any], moves: Sequence[Mapping[str, Any]]) -> Replayed:
    """Replay moves wave by wave. Raises Invalid when an entry has not the form of a move."""
    _check(moves)
    world = _World(document)
    faults: list[str] = []
    waves: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    previous = 0
    for move in moves:
        if move["wave"] < previous:
            faults.append(f"{move['instance_id']}: wave {move['wave']} after wave {previous}")
        previous = max(previous, move["wave"])
        waves[move["wave"]].append(move)
    for number in sorted(waves):
        faults += world.do(waves[number], number)
    return Replayed(tuple(faults), world.slots(), len(moves), len(waves))


class _World:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._free: Room = {}
        self._active: set[str] = set()
        self._vms: dict[str, Mapping[str, Any]] = {}
        self._at: dict[str, tuple[str, tuple[int, ...]]] = {}
        for cluster in document["cluster_list"]:
            for host in cluster["host_info"]:
                if host.get("status", "ACTIVE") == "ACTIVE":
                    self._active.add(host["node_id"])
                for node in host["numa"]:
                    room = [node["total_cpu"], node["memory_huge_total_mb"]]
                    self._free[host["node_id"], node["node"]] = room
        for cluster in document["cluster_list"]:
            for vm in cluster["vm_instance"]:
                if vm.get("host_id"):
                    nodes = tuple(sorted(each["node"] for each in vm["numa"]))
                    self._vms[vm["instance_id"]] = vm
                    self._at[vm["instance_id"]] = (vm["host_id"], nodes)
                    self._take(vm, vm["host_id"], nodes, 1)

    def do(self, wave: Sequence[Mapping[str, Any]], number: int) -> list[str]:
        """Begin every move of a wave, look, end them all; return what is wrong."""
        faults: list[str] = []
        begun: list[tuple[Mapping[str, Any], str, tuple[int, ...]]] = []
        for move in wave:
            fault = self._fault(move, {vm["instance_id"] for vm, _, _ in begun})
            if fault:
                faults.append(f"wave {number}, {move['instance_id']}: {fault}")
                continue
            vm = self._vms[move["instance_id"]]
            host, nodes = move["to"]["host_id"], tuple(sorted(move["to"]["numa"]))
            self._take(vm, host, nodes, 1)
            begun.append((vm, *self._at[vm["instance_id"]]))
            self._at[vm["instance_id"]] = host, nodes
        for vm, _, _ in begun:
            host, nodes = self._at[vm["instance_id"]]
            faults += [
                f"wave {number}, {vm['instance_id']}: {host} node {node} is over capacity"
                for node in nodes
                if min(self._free[host, node]) < 0
            ]
        for vm, host, nodes in begun:
            self._take(vm, host, nodes, -1)
        return faults

    def slots(self) -> int:
        """Return single-node slots of 16 CPUs on active hosts."""
        return sum(
            int(room[0] // WANTED_CPUS)
            for (host, _), room in self._free.items()
            if host in self._active
        )

    def _fault(self, move: Mapping[str, Any], moving: set[str]) -> str:
        vm = self._vms.get(move["instance_id"])
        if vm is None:
            return "no such instance on a host"
        if move["instance_id"] in moving:
            return "it moves already in this wave"
        if not vm.get("allow_migration", True):
            return "it may not move"
        source = (move["from"]["host_id"], tuple(sorted(move["from"]["numa"])))
        if source != self._at[move["instance_id"]]:
            return f"it is not on {source}"
        return self._wrong_target(vm, move, source)

    def _wrong_target(
        self, vm: Mapping[str, Any], move: Mapping[str, Any], source: tuple[str, tuple[int, ...]]
    ) -> str:
        host, nodes = move["to"]["host_id"], tuple(sorted(move["to"]["numa"]))
        if (host, nodes) == source:
            return "it stays where it is"
        if host not in self._active:
            return f"{host} takes nothing"
        if len(set(nodes)) != len(vm["numa"]) or any((host, n) not in self._free for n in nodes):
            return f"it cannot be on nodes {nodes} of {host}"
        return ""

    def _take(self, vm: Mapping[str, Any], host: str, nodes: Iterable[int], times: int) -> None:
        share = vm["numa"][0]
        for node in nodes:
            room = self._free[host, node]
            room[0] -= times * share["cpu"]
            room[1] -= times * share["mem_mb"]


def _check(moves: object) -> None:
    if not isinstance(moves, list):
        raise Invalid("the plan is no list of moves", fix="give the file that --plan wrote")
    for number, move in enumerate(moves):
        if not _is_move(move):
            raise Invalid(
                f"entry {number} of the plan is no move",
                fix="a move has instance_id, from and to with host_id and numa, and wave",
            )


def _is_move(move: object) -> bool:
    if not isinstance(move, dict) or not isinstance(move.get("instance_id"), str):
        return False
    ends = (move.get("from"), move.get("to"))
    for end in ends:
        if not isinstance(end, dict) or not isinstance(end.get("host_id"), str):
            return False
        nodes = end.get("numa")
        if not isinstance(nodes, list) or not all(type(node) is int for node in nodes):
            return False
    return type(move.get("wave")) is int
