# SPDX-License-Identifier: Apache-2.0
"""From what a cloud told to one pool. Pure; what it did not tell is a gap, never a guess.

A guess that is made nevertheless (even NUMA nodes, the zone of a server whose wish is not told) is
the careful one, and a gap says so.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from billow.engines.openstack.answers import Flavor, ServerGroup
from billow.engines.openstack.hosts import (
    HUGE_KEY,
    Ground,
    bare_host,
    bare_names,
    computes,
    drivers,
    grounds,
    host_of,
)
from billow.engines.openstack.instances import NOT_YET, Homes, instances
from billow.engines.openstack.landscape import Landscape
from billow.engines.openstack.names import plain, valid
from billow.engines.openstack.shapes import (
    Rules,
    Shapes,
    aliases,
    forbidden,
    is_device,
    needed,
    resources,
)
from billow.engines.openstack.volumes import held, storage_facts, unseen_volumes
from billow.model.group import Fact, Gap, Group
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Rule
from billow.model.pool import Pool
from billow.model.shape import Shape

HARD: Final = {"affinity": Rule.AFFINITY, "anti-affinity": Rule.ANTI_AFFINITY}
"""Policies that Nova never breaks; it tries to keep the soft ones by itself."""


@dataclass(frozen=True, slots=True)
class View:
    """A pool, and what of the cloud stands behind its names.

    Attributes:
        shapes: What can be chosen, by name.
        flavors: Ids of the flavors behind those.
        groups: Server groups by the id of their group in the pool.
        held: Why Cinder keeps servers where they are, by server.
    """

    pool: Pool
    shapes: Mapping[str, Shape]
    flavors: Mapping[str, str]
    groups: Mapping[str, str]
    held: Mapping[str, str] = field(default_factory=dict)


def view_of(land: Landscape) -> View:
    """Return the pool that a cloud is."""
    ground = list(grounds(land))
    rules = _rules(land, ground)
    asked = frozenset(_asked(land, rules))
    hosts = {each.service.host: host_of(each, asked) for each in ground}
    names = bare_names(land.nodes, land.services)
    bare = {
        each.uuid: bare_host(each, names[each.uuid], _zone(land, each.uuid)) for each in land.nodes
    }
    shapes = Shapes(rules)
    offered = {flavor.uuid: shapes.of(flavor, {}) for flavor in _by_age(land.flavors)}
    groups = dict(_groups(land))
    homes = Homes({**hosts, **bare}, _metal(land), held(land), _members(land, groups))
    rows = list(instances(land, shapes, homes))
    joined = {each.group for each in rows if each.group}
    pool = Pool.build(
        [*hosts.values(), *bare.values()],
        rows,
        shapes=offered.values(),
        groups=[group for group in groups.values() if group.name in joined],
        facts=[
            *_facts(land, ground, {**hosts, **bare}),
            *_server_facts(land, rows),
            *storage_facts(land.storage),
        ],
        gaps=[
            *_gaps(land, ground, rows),
            *_flavor_gaps(land, rules),
            *_group_gaps(land),
            *unseen_volumes(land),
        ],
        taken_at=land.taken_at,
    )
    return View(
        pool,
        {shape.name: shape for shape in offered.values()},
        {shape.name: uuid for uuid, shape in offered.items()},
        {group.name: uuid for uuid, group in groups.items()},
        homes.held,
    )


def _rules(land: Landscape, ground: list[Ground]) -> Rules:
    keys = {key for each in land.aggregates for key in each.metadata}
    counted = {name for each in ground for name, what in each.have.items() if what.total}
    return Rules(
        frozenset(keys - {"availability_zone"}),
        pins="PCPU" in counted,
        devices=any(name != "VGPU" and is_device(name) for name in counted),
    )


def _asked(land: Landscape, rules: Rules) -> Iterator[str]:
    """Yield every trait that a flavor asks for."""
    seen: set[tuple[tuple[str, str], ...]] = set()
    for flavor in (*land.flavors, *(each.flavor for each in land.servers.values())):
        key = tuple(flavor.specs.items())
        if key and key not in seen:
            seen.add(key)
            yield from needed(flavor.specs, resources(flavor.specs), rules, pinned=False)


def _by_age(flavors: tuple[Flavor, ...]) -> list[Flavor]:
    """Return flavors so that those everybody may use keep their names."""
    return sorted(flavors, key=lambda each: (each.hidden, each.name, each.uuid))


def _zone(land: Landscape, node: str) -> str:
    """Return the zone of the service that drives an Ironic node."""
    host = drivers(land.hypervisors).get(node, "")
    return next((each.zone for each in land.services if each.host == host), "")


def _metal(land: Landscape) -> frozenset[str]:
    """Return Ironic's nodes, also those that Nova alone tells of."""
    return frozenset({each.uuid for each in land.nodes} | drivers(land.hypervisors).keys())


def _groups(land: Landscape) -> Iterator[tuple[str, Group]]:
    """Yield the groups that planners keep to, by their ids."""
    taken: set[str] = set()
    for each in sorted(land.groups, key=lambda group: group.uuid):
        if _kept(each):
            name = each.name if valid(each.name) and each.name not in taken else each.uuid
            taken.add(name)
            yield each.uuid, Group(name, HARD[each.policy])


def _members(land: Landscape, groups: Mapping[str, Group]) -> dict[str, str]:
    return {
        server: groups[each.uuid].name
        for each in land.groups
        if each.uuid in groups
        for server in each.members
    }


def _facts(land: Landscape, ground: list[Ground], hosts: Mapping[str, Host]) -> Iterator[Fact]:
    for each in ground:
        subject = f"host/{hosts[each.service.host].id}"
        yield Fact(subject, "hypervisor", each.hypervisor.kind or "not told")
        if each.hypervisor.name != each.service.host:
            yield Fact(subject, "node", each.hypervisor.name)
        for aggregate in each.aggregates:
            yield Fact(subject, "aggregate", aggregate.name)
        if disk := each.have.get("DISK_GB"):
            yield Fact(subject, "disk_gib", str(disk.capacity))
    for node in land.nodes:
        yield Fact(f"host/{hosts[node.uuid].id}", "ironic", node.state or "available")


def _server_facts(land: Landscape, rows: list[Instance]) -> Iterator[Fact]:
    servers = {land.names.get(uuid, uuid): each for uuid, each in land.servers.items()}
    for row in rows:
        server, subject = servers[row.id], f"instance/{row.id}"
        if server.uuid != row.id:
            yield Fact(subject, "server", server.uuid)
        elif server.name:
            yield Fact(subject, "name", server.name[:4096])
        if server.status not in {"ACTIVE", "SHUTOFF"}:
            yield Fact(subject, "status", server.status)
        if server.fault:
            yield Fact(subject, "fault", server.fault[:4096])


def _gaps(land: Landscape, ground: list[Ground], rows: list[Instance]) -> Iterator[Gap]:
    yield from (Gap(subject, why[:4096]) for subject, why in land.unseen.items())
    told = {each.service.host for each in ground}
    driven = drivers(land.hypervisors)
    for service in computes(land.services):
        if service.host not in told.union(driven.values()):
            yield Gap(f"host/{service.host}", "Nova has not mapped it to a cell yet")
    for each in ground:
        subject = f"host/{each.service.host}"
        if each.hypervisor.uuid not in land.inventories:
            yield Gap(subject, "Placement does not say what it has; Nova's own figures are taken")
        if each.cells > 1:
            why = f"Nova says that it has {each.cells} NUMA nodes, not their sizes: taken as even"
            yield Gap(subject, why)
    yield from _metal_gaps(land, driven)
    yield from _leaks(ground, rows)
    homeless = [row.id for row in rows if not row.host]
    for name in homeless:
        yield Gap(f"instance/{name}", "it is on no host that Nova lists")
    waiting = sum(not s.host and s.status in NOT_YET for s in land.servers.values())
    if waiting:
        yield Gap("servers", f"{waiting} are being scheduled by Nova, and are not shown yet")
    yield from _server_gaps(land, rows)


def _metal_gaps(land: Landscape, driven: Mapping[str, str]) -> Iterator[Gap]:
    """Yield Ironic's machines that are not shown, and those whose servers nobody can turn."""
    unseen = driven.keys() - {each.uuid for each in land.nodes}
    if unseen and "baremetal" not in land.unseen:
        why = f"Nova has {len(unseen)} machines of Ironic's that Ironic does not show this user"
        yield Gap("baremetal", why)
    for service in computes(land.services):
        count = Counter(driven.values())[service.host]
        if count and not service.up:
            why = f"Nova does not hear {service.host}, which has Ironic deploy on {count} machines"
            yield Gap("baremetal", f"{why}: their servers cannot be started, stopped or deleted")


def _leaks(ground: list[Ground], rows: list[Instance]) -> Iterator[Gap]:
    """Yield hosts of which Placement and Nova say different things."""
    memory: dict[str, int] = {}
    for row in rows:
        memory[row.host] = memory.get(row.host, 0) + row.shape.memory_mib
    for each in ground:
        if "MEMORY_MB" in each.taken:
            more = each.taken["MEMORY_MB"] - memory.get(plain(each.service.host), 0)
            word = "more" if more > 0 else "less"
            why = f"Placement counts {abs(more)} MiB {word} in use there than Nova's servers take"
            if more:
                yield Gap(f"host/{each.service.host}", why)


def _server_gaps(land: Landscape, rows: list[Instance]) -> Iterator[Gap]:
    if any(each.pin is None for each in land.servers.values()):
        yield Gap(
            "servers",
            "before 2024.1 Nova does not say who asked for a zone: each is kept in its own",
        )
    if any(row.shape.huge_pages for row in rows):
        yield Gap(
            "hosts",
            "Nova does not say how many huge pages hosts have: those in use are taken for all; "
            f"say it in an aggregate's metadata, {HUGE_KEY}",
        )
    if any(each.flavor.disk_gib for each in land.servers.values()):
        yield Gap("hosts", "disk space is not planned with: Placement refuses what does not fit")


def _flavor_gaps(land: Landscape, rules: Rules) -> Iterator[Gap]:
    for flavor in land.flavors:
        if any(aliases(flavor.specs)) and not rules.devices:
            why = "Placement does not count PCI devices here, so planners do not: Nova does"
            yield Gap(f"shape/{plain(flavor.name)}", why)
        kept_off = sorted(forbidden(flavor.specs))
        if kept_off:
            why = f"it forbids {', '.join(kept_off)}, which planners do not know: Nova keeps to it"
            yield Gap(f"shape/{plain(flavor.name)}", why)


def _group_gaps(land: Landscape) -> Iterator[Gap]:
    for each in land.groups:
        if each.members and not _kept(each):
            why = f"its rule {each.policy} ({each.most_per_host} per host) is left to Nova"
            yield Gap(f"group/{each.name or each.uuid}", why)


def _kept(group: ServerGroup) -> bool:
    """Return whether planners keep to a group's rule themselves."""
    return group.policy in HARD and group.most_per_host == 1
