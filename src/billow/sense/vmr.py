# SPDX-License-Identifier: Apache-2.0
"""Read VM-to-host mappings of the VM rescheduling data set (`vmr`) as a pool.

The format is JSON: clusters with hosts (two NUMA nodes, all memory in huge pages) and VMs that sit
on one NUMA node or half on each of two. What the file says twice and differently (free huge pages
beside what the VMs leave) becomes a gap; what it says wrongly is an error that names the place.

Source: J. Ding et al., "Towards VM Rescheduling Optimization Through Deep Reinforcement Learning",
EuroSys 2025; github.com/bytedance/DRL-based-VM-Rescheduling.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from billow.errors import Invalid
from billow.model.group import Fact, Gap
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.sense.bytes_in import json_of, read_bytes

PINNED = "allow_migration is false"
"""Why an instance of such a file is immovable."""

Amount = Annotated[float, Field(ge=0, le=2**40)]


class _Part(BaseModel):
    """A part of the file: of the right kinds, finite; fields that are not needed are let be."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, allow_inf_nan=False)


class HostNode(_Part):
    """A NUMA node of a host; cores and MiB."""

    node: int = Field(ge=0, le=31)
    total_cpu: Amount
    memory_huge_total_mb: Amount
    free_cpu: float | None = None
    memory_huge_free_mb: float | None = None


class HostRow(_Part):
    """A host."""

    node_id: str
    status: str = "ACTIVE"
    node_mem_mb: Amount
    rack_id: int | str = ""
    numa: list[HostNode] = Field(min_length=1, max_length=32)


class InstanceNode(_Part):
    """What a VM takes of one NUMA node; cores and MiB."""

    node: int = Field(ge=0, le=31)
    cpu: Amount
    mem_mb: Amount


class InstanceRow(_Part):
    """A VM."""

    instance_id: str
    instance_type: str
    host_id: str | None = None
    allow_migration: bool = True
    numa: list[InstanceNode] = Field(min_length=1, max_length=32)


class Requirement(_Part):
    """What else a cluster asks for."""

    deployment_set: list[object] = Field(default_factory=list)


class Cluster(_Part):
    """Hosts and the VMs on them."""

    cluster_name: str
    host_info: list[HostRow]
    vm_instance: list[InstanceRow]
    other_requirement: Requirement = Requirement()


class InstanceType(_Part):
    """A type that may be asked for; cores and MiB in total."""

    vm_type: str
    request_cpu: Amount
    request_mem_mb: Amount
    numa: int = Field(ge=1, le=32)
    weight: float = 0.0


class Snapshot(_Part):
    """The whole file."""

    cluster_list: list[Cluster] = Field(min_length=1)
    vm_type_list: list[InstanceType] = Field(default_factory=list)


def read_vmr(path: Path) -> Pool:
    """Return the pool of a file, plain or gzip. Reads the file.

    Raises:
        NotFound: there is no such file.
        Invalid: it is cut off, damaged, or says something impossible; the error says where.
    """
    return vmr_pool(json_of(read_bytes(path), path.name), path.name)


def vmr_pool(document: object, name: str) -> Pool:
    """Return the pool of a document that is read already. Raises Invalid that says where."""
    try:
        mapping = Snapshot.model_validate(document)
    except ValidationError as error:
        raise _misfits(error, name) from None
    return _Import(mapping, name).pool()


def _misfits(error: ValidationError, name: str) -> Invalid:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    details = [f"{_where(each['loc'])}: {each['msg']}" for each in found[:10]]
    if len(found) > len(details):
        details.append(f"and {len(found) - len(details)} more")
    return Invalid(
        f"{name} is no VM-to-host mapping that can be read",
        tuple(details),
        fix="correct the places named, or take the file again from its source",
        code="invalid-vmr",
    )


def _where(location: Sequence[int | str]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")


class _Import:
    """One file on its way to a pool."""

    def __init__(self, mapping: Snapshot, name: str) -> None:
        self._mapping = mapping
        self._name = name
        self._shapes: dict[str, Shape] = {}

    def pool(self) -> Pool:
        """Return the pool. Raises Invalid."""
        facts = [fact for each in self._mapping.vm_type_list for fact in self._offer(each)]
        hosts: list[Host] = []
        instances: list[Instance] = []
        for number, cluster in enumerate(self._mapping.cluster_list):
            place = f"cluster_list[{number}]"
            hosts += self._hosts(cluster, place)
            instances += self._instances(cluster, place)
        gaps = list(self._gaps())
        try:
            return Pool.build(
                hosts, instances, shapes=self._shapes.values(), facts=facts, gaps=gaps
            )
        except Invalid as error:
            details = (f"in {self._name}", *error.details)
            raise Invalid(error.brief, details, error.fix, "invalid-vmr") from None

    def _offer(self, each: InstanceType) -> Iterator[Fact]:
        shape = self._shape(each.vm_type, each.request_cpu, each.request_mem_mb, each.numa)
        if each.weight:
            yield Fact(f"shape/{shape.name}", "weight", f"{each.weight:g}")

    def _hosts(self, cluster: Cluster, place: str) -> Iterator[Host]:
        for number, row in enumerate(cluster.host_info):
            where = f"{place}.host_info[{number}]"
            try:
                yield _host(row, cluster.cluster_name)
            except Invalid as error:
                raise self._located(error, where) from None

    def _instances(self, cluster: Cluster, place: str) -> Iterator[Instance]:
        for number, row in enumerate(cluster.vm_instance):
            where = f"{place}.vm_instance[{number}]"
            try:
                yield self._instance(row)
            except Invalid as error:
                raise self._located(error, where) from None

    def _instance(self, row: InstanceRow) -> Instance:
        first = row.numa[0]
        if any((each.cpu, each.mem_mb) != (first.cpu, first.mem_mb) for each in row.numa):
            raise Invalid(
                f"{row.instance_id} takes more of one NUMA node than of another",
                fix="a VM takes the same of each of its NUMA nodes",
            )
        count = len(row.numa)
        return Instance(
            row.instance_id,
            self._shape(row.instance_type, first.cpu * count, first.mem_mb * count, count),
            host=row.host_id or "",
            nodes=tuple(sorted(each.node for each in row.numa)) if row.host_id else (),
            state=State.RUNNING if row.host_id else State.REQUESTED,
            immovable="" if row.allow_migration else PINNED,
        )

    def _shape(self, kind: str, cpu: float, memory_mib: float, numa_nodes: int) -> Shape:
        """Return the one shape of this size; a type in two NUMA modes is two shapes."""
        shape = Shape(
            f"{kind}.n{numa_nodes}",
            _whole("cpu", cpu * 1000),
            _whole("memory", memory_mib),
            numa_nodes,
            huge_pages=True,
        )
        known = self._shapes.setdefault(shape.name, shape)
        if known != shape:
            raise Invalid(
                f"type {kind} on {numa_nodes} NUMA nodes has two sizes: {known.cpu_milli}m with "
                f"{known.memory_mib} MiB, and {shape.cpu_milli}m with {shape.memory_mib} MiB",
                fix="give each size its own type",
            )
        return known

    def _located(self, error: Invalid, where: str) -> Invalid:
        details = (f"in {self._name}, at {where}", *error.details)
        fix = error.fix or "correct that place"
        return Invalid(error.brief, details, fix, "invalid-vmr")

    def _gaps(self) -> Iterator[Gap]:
        clusters = self._mapping.cluster_list
        taken = _taken(row for cluster in clusters for row in cluster.vm_instance)
        for cluster in clusters:
            if cluster.other_requirement.deployment_set:
                why = "its deployment sets are of an unknown form and were not read"
                yield Gap(f"cluster/{cluster.cluster_name}", why)
            for host in cluster.host_info:
                for node in host.numa:
                    yield from _differences(host.node_id, node, taken)


def _host(row: HostRow, cluster: str) -> Host:
    numbers = [node.node for node in row.numa]
    if sorted(numbers) != list(range(len(numbers))):
        raise Invalid(
            f"the NUMA nodes of {row.node_id} are numbered {numbers}", fix="number them from 0"
        )
    huge = sum(node.memory_huge_total_mb for node in row.numa)
    if huge > row.node_mem_mb:
        raise Invalid(
            f"{row.node_id} has {huge:g} MiB in huge pages of {row.node_mem_mb:g} MiB in all",
            fix="huge pages are part of the memory",
        )
    rest = _whole("node_mem_mb", row.node_mem_mb - huge) // len(numbers)
    nodes = [
        Node(
            _whole("total_cpu", node.total_cpu * 1000),
            rest,
            _whole("memory_huge_total_mb", node.memory_huge_total_mb),
        )
        for node in sorted(row.numa, key=lambda node: node.node)
    ]
    return Host(
        row.node_id,
        tuple(nodes),
        sockets=len(nodes),
        zone=cluster,
        rack=f"r{row.rack_id}" if row.rack_id != "" else "",
        cordon="" if row.status == "ACTIVE" else f"status {row.status}",
    )


def _taken(rows: Iterable[InstanceRow]) -> Mapping[tuple[str, int], tuple[float, float]]:
    """Return cores and MiB that VMs take, by host and NUMA node."""
    taken: dict[tuple[str, int], tuple[float, float]] = {}
    for row in rows:
        for each in row.numa:
            place = (row.host_id or "", each.node)
            cpu, memory = taken.get(place, (0.0, 0.0))
            taken[place] = (cpu + each.cpu, memory + each.mem_mb)
    return taken


def _differences(
    host: str, node: HostNode, taken: Mapping[tuple[str, int], tuple[float, float]]
) -> Iterator[Gap]:
    cpu, memory = taken.get((host, node.node), (0.0, 0.0))
    checks = (
        ("CPUs", node.free_cpu, node.total_cpu - cpu),
        ("MiB of huge pages", node.memory_huge_free_mb, node.memory_huge_total_mb - memory),
    )
    for what, stated, left in checks:
        if stated is not None and stated != left:
            why = f"NUMA node {node.node} states {stated:g} {what} free; its VMs leave {left:g}"
            yield Gap(f"host/{host}", why)


def _whole(what: str, amount: float) -> int:
    if amount != int(amount):
        raise Invalid(f"{what} is {amount:g}, not a whole number", fix="round it in the file")
    return int(amount)
