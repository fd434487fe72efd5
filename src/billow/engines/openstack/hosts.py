# SPDX-License-Identifier: Apache-2.0
"""Compute services and Ironic nodes as hosts of the pool. Pure: records come in as values.

What Placement says of capacity wins over what Nova's hypervisors say, which ignore ratios. A host
is called as its compute service is; an Ironic node by its name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from billow.engines.openstack.answers import (
    Aggregate,
    Hypervisor,
    Inventory,
    Service,
)
from billow.engines.openstack.answers import Node as IronicNode
from billow.engines.openstack.landscape import UNSEEN, Landscape, Use
from billow.engines.openstack.names import plain
from billow.engines.openstack.shapes import PINNED, aggregate_trait, is_device
from billow.model.host import MOST_NODES, Host, Node
from billow.model.kinds import Arch, Health, Power

HUGE_KEY: Final = "billow:huge_mib"
RACK_KEYS: Final = ("billow:rack", "rack")
SHARED_KEY: Final = "billow:shared_disks"
SHARED: Final = "shared_disks"
"""Trait of a host whose guests' own disks are on storage that all hosts reach."""
IRONIC: Final = "ironic"
BARE_METAL: Final = "bare_metal"
"""Trait of a host that is a machine of Ironic's."""
NOVAS_CHOICE: Final = "Nova chooses among machines of Ironic's by itself"
"""Why nothing is planned to come to one."""
_ARCHES: Final = {"amd64": Arch.X86_64, "arm64": Arch.AARCH64, "i686": Arch.X86_64}
_TOLD: Final = ("HW_", "CUSTOM_")
_CPUS: Final = ("VCPU", "PCPU")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What stands on one compute service.

    Attributes:
        have: Inventories of its provider and of all below it, class by class.
        traits: Of all of them.
        huge_mib: Huge pages that it has, as far as anybody says.
        cells: NUMA nodes; 1 when nobody says more.
        taken: What Placement counts as used; empty when it does not say.
    """

    service: Service
    hypervisor: Hypervisor
    have: Mapping[str, Inventory]
    traits: frozenset[str]
    aggregates: tuple[Aggregate, ...]
    huge_mib: int = 0
    cells: int = 1
    taken: Mapping[str, int] = field(default_factory=dict)
    use: Use = UNSEEN


def grounds(land: Landscape) -> Iterator[Ground]:
    """Yield every compute service that is mapped to a hypervisor, Ironic's excepted."""
    by_host = {each.host: each for each in land.hypervisors if each.kind != IRONIC}
    below = _trees(land)
    huge = _huge_taken(land)
    cells = _cells_seen(land)
    for service in computes(land.services):
        hypervisor = by_host.get(service.host)
        if hypervisor is None:
            continue
        tree = below.get(hypervisor.uuid, [hypervisor.uuid])
        mine = tuple(each for each in land.aggregates if service.host in each.hosts)
        said = max((_whole(each.metadata.get(HUGE_KEY, "")) for each in mine), default=0)
        yield Ground(
            service=service,
            hypervisor=hypervisor,
            have=_summed(land, tree) or _own_word(hypervisor),
            traits=frozenset(t for each in tree for t in _traits(land, each)),
            aggregates=mine,
            huge_mib=max(said, huge.get(service.host, 0)),
            cells=min(MOST_NODES, hypervisor.cells or cells.get(service.host, 1)),
            taken=_taken(land, tree),
            use=land.host_use.get(hypervisor.name) or land.host_use.get(service.host, UNSEEN),
        )


def computes(services: Iterable[Service]) -> list[Service]:
    """Return the services that run guests, each host once."""
    return list({each.host: each for each in services if each.binary == "nova-compute"}.values())


def _trees(land: Landscape) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in land.providers.values():
        found.setdefault(each.root, []).append(each.uuid)
    return found


def _traits(land: Landscape, provider: str) -> frozenset[str]:
    summary = land.summaries.get(provider)
    return summary.traits if summary else frozenset()


def _taken(land: Landscape, tree: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for uuid in tree:
        summary = land.summaries.get(uuid)
        for name, amount in summary.used.items() if summary else ():
            found[name] = found.get(name, 0) + amount
    return found


def _summed(land: Landscape, tree: Iterable[str]) -> dict[str, Inventory]:
    """Return what a tree of providers has; Nova has each class of CPU and memory in one place."""
    found: dict[str, Inventory] = {}
    for uuid in tree:
        for name, each in land.inventories.get(uuid, {}).items():
            known = found.get(name)
            found[name] = each if known is None else _both(known, each)
    return found


def _both(one: Inventory, other: Inventory) -> Inventory:
    left = max(1, one.total - one.reserved + other.total - other.reserved)
    return Inventory(
        total=one.total + other.total,
        reserved=one.reserved + other.reserved,
        ratio=(one.capacity + other.capacity) / left or 1.0,
        most=max(one.most, other.most),
    )


def _own_word(hypervisor: Hypervisor) -> dict[str, Inventory]:
    """Return what Nova itself says, where Placement says nothing."""
    return {
        "VCPU": Inventory(total=hypervisor.vcpus),
        "MEMORY_MB": Inventory(total=hypervisor.memory_mib),
    }


def _huge_taken(land: Landscape) -> dict[str, int]:
    """Return the huge pages that servers are seen to take, by host: the least that there are."""
    found: dict[str, int] = {}
    for uuid, topology in land.topologies.items():
        server = land.servers.get(uuid)
        if server is not None and topology.pages_kib > 4:
            found[server.host] = found.get(server.host, 0) + server.flavor.memory_mib
    return found


def _cells_seen(land: Landscape) -> dict[str, int]:
    """Return the NUMA nodes that servers are seen on, by host: the least that there are."""
    found: dict[str, int] = {}
    for uuid, topology in land.topologies.items():
        server = land.servers.get(uuid)
        if server is not None and topology.nodes:
            found[server.host] = max(found.get(server.host, 1), topology.nodes[-1] + 1)
    return found


def host_of(ground: Ground, asked: frozenset[str]) -> Host:
    """Return a compute service as a host.

    Args:
        ground: What it stands on.
        asked: Traits that shapes ask for: of the many that Placement has, these are told, too.
    """
    service = ground.service
    units, ratio = _cpus(ground.have)
    memory = ground.have.get("MEMORY_MB", Inventory(total=0))
    return Host(
        id=plain(service.host),
        nodes=tuple(_nodes(ground, units, memory)),
        arch=arch_of(ground.hypervisor.arch, ground.traits),
        sockets=max(1, min(4096, ground.hypervisor.sockets)),
        zone=plain(service.zone),
        rack=_rack(ground.aggregates),
        traits=frozenset(_told(ground, asked)),
        gpu_model=_device(ground.have),
        power=_power(service),
        health=Health.OK if service.up and not service.forced_down else Health.FAILED,
        cordon="" if service.enabled else (service.reason or "disabled")[:4096],
        cpu_ratio=ratio,
        memory_ratio=min(100.0, max(0.01, memory.ratio)),
        cpu_used_milli=ground.use.cpu_milli,
        memory_used_mib=ground.use.memory_mib,
    )


def _power(service: Service) -> Power:
    """Return on while it is heard, off when somebody vouched for that, else unknown."""
    if service.forced_down:
        return Power.OFF
    return Power.ON if service.up else Power.UNKNOWN


def _cpus(have: Mapping[str, Inventory]) -> tuple[int, float]:
    """Return CPUs that are handed out and how often each: pinned ones once."""
    found = [have[name] for name in _CPUS if name in have]
    units = sum(max(0, each.total - each.reserved) for each in found)
    sold = sum(each.capacity for each in found)
    return units, min(1000.0, max(0.01, sold / units)) if units else 1.0


def _nodes(ground: Ground, units: int, memory: Inventory) -> Iterator[Node]:
    """Yield NUMA nodes: Nova says how many there are, so each gets an even share."""
    left = max(0, memory.total - memory.reserved)
    huge = min(ground.huge_mib, left)
    devices = sum(max(0, i.total - i.reserved) for n, i in ground.have.items() if is_device(n))
    for number in range(ground.cells):
        yield Node(
            cpu_milli=1000 * _share(units, ground.cells, number),
            memory_mib=_share(left - huge, ground.cells, number),
            huge_mib=_share(huge, ground.cells, number),
            gpus=_share(devices, ground.cells, number),
        )


def _share(amount: int, count: int, number: int) -> int:
    return amount // count + (number < amount % count)


def _told(ground: Ground, asked: frozenset[str]) -> Iterator[str]:
    yield from (each for each in ground.traits if each.startswith(_TOLD) or each in asked)
    yield from (each for each in ground.have if each.startswith("CUSTOM_") or is_device(each))
    if PINNED in ground.have:
        yield PINNED
    if any(each.metadata.get(SHARED_KEY, "").lower() == "true" for each in ground.aggregates):
        yield SHARED
    for aggregate in ground.aggregates:
        for key, value in aggregate.metadata.items():
            for one in value.split(","):
                if (trait := aggregate_trait(key, one.strip())) in asked:
                    yield trait


def _device(have: Mapping[str, Inventory]) -> str:
    return plain("+".join(sorted(n for n, i in have.items() if is_device(n) and i.total)))


def _rack(aggregates: Iterable[Aggregate]) -> str:
    said = (each.metadata.get(key, "") for each in aggregates for key in RACK_KEYS)
    return plain(next(filter(None, said), ""))


def arch_of(word: str, traits: frozenset[str] = frozenset()) -> Arch:
    """Return an instruction set by Nova's or Ironic's word, or by a trait; x86-64 without."""
    if word in set(Arch):
        return Arch(word)
    named = (each for each in Arch if f"HW_ARCH_{each.name}" in traits)
    return _ARCHES.get(word) or next(named, Arch.X86_64)


def bare_host(node: IronicNode, name: str, zone: str) -> Host:
    """Return a machine of Ironic's as a host of that name."""
    held = node.maintenance or node.state in _UNUSABLE
    why = node.reason or node.fault or ("maintenance" if node.maintenance else node.state)
    return Host(
        id=name,
        nodes=(Node(cpu_milli=1000 * node.cpus, memory_mib=node.memory_mib),),
        arch=arch_of(node.arch),
        zone=plain(zone),
        traits=frozenset({BARE_METAL, *_custom_class(node.resource_class)}),
        power=bare_power(node),
        health=Health.FAILED if node.fault else Health.OK,
        cordon=why[:4096] if held else NOVAS_CHOICE,
    )


def drivers(hypervisors: Iterable[Hypervisor]) -> dict[str, str]:
    """Return the compute services that have Ironic deploy, by the ids of the nodes that each has.

    None is a host of its own: one of them drives many nodes.
    """
    return {each.name: each.host for each in hypervisors if each.kind == IRONIC}


def bare_power(node: IronicNode) -> Power:
    """Return whether an Ironic node is on, by Ironic's record; unknown where that is an error."""
    return _POWERS.get(node.power, Power.UNKNOWN)


def bare_names(nodes: Iterable[IronicNode], services: Iterable[Service]) -> dict[str, str]:
    """Return what Ironic nodes are called in the pool, by their ids.

    One whose name a compute service bears already, which may run on it, is called by its id.
    """
    taken, found = {plain(each.host) for each in computes(services)}, dict[str, str]()
    for node in nodes:
        name = plain(node.name)
        found[node.uuid] = node.uuid if not name or name in taken else name
        taken.add(name)
    return found


def _custom_class(name: str) -> Iterator[str]:
    """Yield the resource class as Placement spells it."""
    if name:
        yield "CUSTOM_" + "".join(c if c.isalnum() else "_" for c in name.upper())


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


_POWERS: Final = {"power on": Power.ON, "power off": Power.OFF}
_UNUSABLE: Final = frozenset(
    {"enroll", "verifying", "manageable", "inspecting", "inspect wait", "inspect failed"}
    | {"cleaning", "clean wait", "clean failed", "error", "rescue failed", "adopt failed"}
)
