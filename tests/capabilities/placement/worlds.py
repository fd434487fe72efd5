# SPDX-License-Identifier: Apache-2.0
"""Small random pools with requests, and a plain second opinion on what may be where.

The opinion works on row values, one host and one instance at a time, and shares no code with the
capability nor with `Draft`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from hypothesis import strategies as st

from billow.model.action import Place
from billow.model.cpu.models import features_of
from billow.model.group import Group
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Health, Kind, Power, Rule, Scope, State
from billow.model.pool import Pool
from billow.model.shape import Shape

GROUPS = (
    Group("apart", Rule.ANTI_AFFINITY),
    Group("racks", Rule.ANTI_AFFINITY, Scope.RACK),
    Group("zones", Rule.ANTI_AFFINITY, Scope.ZONE),
    Group("near", Rule.AFFINITY),
    Group("shelf", Rule.AFFINITY, Scope.RACK),
    Group("region", Rule.AFFINITY, Scope.ZONE),
)
SHAPES = (
    Shape("s", 1000, 1024),
    Shape("m", 2000, 3072),
    Shape("l", 5000, 2048),
    Shape("one", 1500, 2048, numa_nodes=1),
    Shape("two", 3000, 3000, numa_nodes=2),
    Shape("three", 3000, 3000, numa_nodes=3),
    Shape("huge", 1000, 1024, numa_nodes=1, huge_pages=True),
    Shape("gpu", 1000, 1024, gpus=1),
    Shape("arm", 1000, 1024, arch=Arch.AARCH64),
    Shape("ssd", 1000, 1024, traits=frozenset({"ssd"})),
    Shape("pinned", 2000, 1024, dedicated=True),
    Shape("tiny", 0, 0, numa_nodes=1),
)

some = st.sampled_from


@st.composite
def hosts(draw: st.DrawFn, most: int) -> list[Host]:
    """Draw hosts of many kinds, most of them in service."""
    return [
        Host(
            f"h{number}",
            tuple(_node(draw) for _ in range(draw(st.integers(1, 3)))),
            arch=draw(some([Arch.X86_64, Arch.X86_64, Arch.AARCH64])),
            cpu_model=draw(some(["", "Westmere", "Haswell", "EPYC-v1"])),
            zone=draw(some(["", "z1", "z1", "z2"])),
            rack=draw(some(["", "r1", "r2", "r2"])),
            traits=draw(some([frozenset[str](), frozenset({"ssd"}), frozenset({"ssd", "tpm"})])),
            power=draw(some([Power.ON] * 7 + [Power.OFF, Power.UNKNOWN])),
            health=draw(some([Health.OK] * 7 + [Health.SUSPECT])),
            cordon=draw(some([""] * 7 + ["maintenance"])),
            cpu_ratio=draw(some([1.0, 1.0, 2.0])),
        )
        for number in range(draw(st.integers(0, most)))
    ]


def _node(draw: st.DrawFn) -> Node:
    huge = draw(some([0, 0, 2048]))
    return Node(draw(some([2000, 4000])), draw(some([4096, 8192])), huge, draw(some([0, 0, 2])))


@st.composite
def requested(draw: st.DrawFn, number: int, prefix: str = "i") -> Instance:
    """Draw one request."""
    return Instance(
        f"{prefix}{number:02}",
        draw(some(SHAPES)),
        kind=draw(some([Kind.VM] * 6 + [Kind.CONTAINER, Kind.BARE_METAL])),
        priority=draw(some([0, 0, 0, 7])),
        group=draw(some([""] * 6 + [group.name for group in GROUPS])),
        zone=draw(some(["", "", "", "z1", "z9"])),
        cpu_model=draw(some(["", "", "", "kvm64", "Westmere -pni", "Haswell-noTSX"])),
    )


@st.composite
def worlds(draw: st.DrawFn, most_hosts: int = 6, most_requests: int = 12) -> Pool:
    """Draw a pool with instances on hosts and requests; now and then one breaks a law already."""
    world = World.of(Pool.build(draw(hosts(most_hosts)), groups=GROUPS))
    for number in range(draw(st.integers(0, 6))):
        wanted = draw(requested(number, "a"))
        lawful = draw(some([True] * 9 + [False]))
        places = list(world.places(wanted) if lawful else world.anywhere(wanted))
        if places:
            host, nodes = draw(some(places))
            state = draw(some([State.RUNNING, State.STOPPED]))
            world.instances[wanted.id] = replace(wanted, host=host, nodes=nodes, state=state)
    count = draw(st.integers(0, most_requests))
    asked = [draw(requested(number)) for number in range(count)]
    return Pool.build(world.hosts.values(), [*world.instances.values(), *asked], groups=GROUPS)


@dataclass
class World:
    """Hosts and placed instances by name."""

    hosts: dict[str, Host]
    instances: dict[str, Instance]
    groups: dict[str, Group]

    @classmethod
    def of(cls, pool: Pool) -> "World":
        """Take over what is placed in a pool."""
        return cls(
            {host.id: host for host in pool.host_views()},
            {each.id: each for each in pool.instance_views() if each.host},
            {group.name: group for group in pool.groups},
        )

    def put(self, place: Place) -> None:
        """Carry a placement out. Raises AssertionError when it breaks a law."""
        wanted = place.instance
        assert not self.objections(wanted, place.host, place.nodes), (wanted, place.host)
        settled = replace(wanted, host=place.host, nodes=place.nodes, state=State.RUNNING)
        self.instances[wanted.id] = settled

    def anywhere(self, wanted: Instance) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield every host and set of nodes of the right number."""
        for name, host in self.hosts.items():
            for nodes in combinations(range(len(host.nodes)), wanted.shape.numa_nodes):
                yield name, nodes

    def places(self, wanted: Instance) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield every host and set of nodes where an instance may be."""
        for name, nodes in self.anywhere(wanted):
            if not self.objections(wanted, name, nodes):
                yield name, nodes

    def fitting(self, wanted: Instance) -> set[str]:
        """Return the hosts where an instance may be."""
        return {host for host, _ in self.places(wanted)}

    def objections(self, wanted: Instance, host: str, nodes: Sequence[int]) -> list[str]:
        """Return every law that an instance would break on a host and nodes."""
        there = self.hosts[host]
        beside = [
            each for each in self.instances.values() if each.host == host and each.id != wanted.id
        ]
        return [
            *_unsuitable(there, wanted),
            *self._unreached(there, wanted),
            *_crowded(there, wanted, nodes, beside),
            *self._grouped(there, wanted),
        ]

    def _unreached(self, there: Host, wanted: Instance) -> Iterator[str]:
        if wanted.host and self.hosts[wanted.host].arch is not there.arch:
            yield "another arch"
        if wanted.cpu_model and there.arch is not Arch.X86_64:
            yield "not the architecture of its CPU"
        needs, has = features_of(wanted.cpu_model), features_of(there.cpu_model)
        if needs is not None and has is not None and not needs <= has:
            yield "features"

    def _grouped(self, there: Host, wanted: Instance) -> Iterator[str]:
        group = self.groups.get(wanted.group)
        if group is None:
            return
        others = [
            self.hosts[each.host]
            for each in self.instances.values()
            if each.group == group.name and each.id != wanted.id
        ]
        together = [_domain(other, group.scope) == _domain(there, group.scope) for other in others]
        if group.rule is Rule.AFFINITY and not all(together):
            yield "away from its group"
        if group.rule is Rule.ANTI_AFFINITY and any(together):
            yield "beside its group"


def _domain(host: Host, scope: Scope) -> str:
    return {Scope.HOST: host.id, Scope.RACK: host.rack, Scope.ZONE: host.zone}[scope]


def _unsuitable(there: Host, wanted: Instance) -> Iterator[str]:
    shape = wanted.shape
    if not there.schedulable:
        yield "out of service"
    if shape.arch not in (None, there.arch):
        yield "arch"
    if not shape.traits <= there.traits:
        yield "traits"
    if wanted.zone not in ("", there.zone):
        yield "zone"
    if shape.dedicated and there.cpu_ratio > 1:
        yield "overcommitted"


def _crowded(
    there: Host, wanted: Instance, nodes: Sequence[int], beside: Sequence[Instance]
) -> Iterator[str]:
    if wanted.kind is Kind.BARE_METAL and beside:
        yield "not empty"
    if any(each.kind is Kind.BARE_METAL for each in beside):
        yield "bare metal"
    sold = [_sold(there, node) for node in there.nodes]
    everyone = [*beside, replace(wanted, nodes=tuple(nodes))]
    for axis in range(4):
        if sum(each.shape.demand[axis] for each in everyone) > sum(node[axis] for node in sold):
            yield f"host over capacity {axis}"
        for number in nodes:
            bound = [each for each in everyone if number in each.nodes]
            if sum(each.shape.share[axis] for each in bound) > sold[number][axis]:
                yield f"node {number} over capacity {axis}"


def _sold(there: Host, node: Node) -> tuple[int, int, int, int]:
    cpu, memory, huge, gpus = node.amounts
    return int(cpu * there.cpu_ratio), int(memory * there.memory_ratio), huge, gpus
