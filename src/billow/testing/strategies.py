# SPDX-License-Identifier: Apache-2.0
"""Random pools for Hypothesis: small, mixed, and within every law that planners rely on.

Nothing is over capacity, every placed instance suits its host, and every group's rule is kept.
"""

import math
from dataclasses import dataclass, field, replace
from typing import TypeVar

from hypothesis import strategies as st

from billow.model.group import Group
from billow.model.host import Host, Node
from billow.model.instance import PASSING, Instance
from billow.model.kinds import Arch, Health, Kind, Power, Rule, Scope, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.testing.rooms import Rooms

Value = TypeVar("Value")


class _Fate:
    """Choices decoded from one drawn number: many draws are slow, and small numbers stay simple."""

    def __init__(self, number: int) -> None:
        self._number = number

    def one(self, *options: Value) -> Value:
        """Return one of the options, the first for a fate of 0."""
        self._number, place = divmod(self._number, len(options))
        return options[place]

    def rare(self, usual: Value, *others: Value, among: int = 8) -> Value:
        """Return the usual value mostly, and now and then another one."""
        return self.one(*([usual] * among), *others)


_fates = st.integers(0, 2**62).map(_Fate)


@st.composite
def hosts(draw: st.DrawFn, name: str = "h") -> Host:
    """Draw a host of 4 to 32 CPUs with 1 or 2 NUMA nodes; most take instances."""
    fate = draw(_fates)
    cpus = fate.one(4, 8, 16)
    node = Node(
        cpus * 1000,
        cpus * fate.one(1024, 4096),
        huge_mib=fate.one(0, 0, 4096),
        gpus=fate.one(0, 0, 0, 2),
    )
    return Host(
        name,
        (node,) * fate.one(1, 2),
        arch=fate.one(Arch.X86_64, Arch.X86_64, Arch.AARCH64),
        zone=fate.one("z1", "z2"),
        rack=fate.one("r1", "r2", "r3"),
        traits=frozenset(fate.one((), ("ssd",), ("ssd", "tpm"))),
        power=fate.rare(Power.ON, Power.OFF, Power.UNKNOWN),
        health=fate.rare(Health.OK, Health.SUSPECT, Health.FAILED),
        cordon=fate.rare("", "maintenance"),
        bandwidth_mib_s=fate.one(100.0, 1000.0),
    )


@st.composite
def shapes(draw: st.DrawFn, name: str = "s") -> Shape:
    """Draw a shape of half a CPU to 8 CPUs."""
    fate = draw(_fates)
    return Shape(
        name,
        fate.one(500, 1000, 2000, 4000, 8000),
        fate.one(512, 1024, 4096, 8192),
        numa_nodes=fate.one(0, 0, 1, 2),
        huge_pages=fate.rare(False, True, among=3),
        gpus=fate.rare(0, 1),
        arch=fate.one(None, None, Arch.X86_64, Arch.AARCH64),
        traits=frozenset(fate.rare((), ("ssd",), among=3)),
    )


@dataclass
class _Homes:
    """Where members of groups are, so that the next one keeps their rule."""

    hosts: dict[str, Host]
    groups: dict[str, Group]
    taken: dict[str, set[str]] = field(default_factory=dict)

    def welcome(self, instance: Instance, host: Host) -> bool:
        """Return whether an instance suits a host and its group's rule lets it be there."""
        shape, group = instance.shape, self.groups.get(instance.group)
        suits = shape.arch in (None, host.arch) and shape.traits <= host.traits
        if not suits or instance.zone not in ("", host.zone) or host.power is Power.OFF:
            return False
        taken = self.taken.get(instance.group, set())
        if group is None or not taken:
            return True
        return (domain(host, group.scope) in taken) is (group.rule is Rule.AFFINITY)

    def settle(self, instance: Instance) -> None:
        """Note where a member is."""
        if instance.host and instance.group:
            scope = self.groups[instance.group].scope
            home = domain(self.hosts[instance.host], scope)
            self.taken.setdefault(instance.group, set()).add(home)


def domain(host: Host, scope: Scope) -> str:
    """Return within what a host counts for a group of this scope."""
    match scope:
        case Scope.HOST:
            return host.id
        case Scope.RACK:
            return host.rack
        case Scope.ZONE:
            return host.zone


@st.composite
def pools(
    draw: st.DrawFn, *, most_hosts: int = 6, most_instances: int = 16, requests: bool = True
) -> Pool:
    """Draw a pool; with `requests`, some instances are only requested."""
    count = draw(st.integers(1, most_hosts))
    table = [draw(hosts(f"h{number}")) for number in range(count)]
    known = [draw(shapes(f"s{number}")) for number in range(draw(st.integers(1, 4)))]
    rule = draw(_fates)
    groups = [Group(f"g{number}", rule.one(*Rule), rule.one(*Scope)) for number in range(2)]
    rooms = Rooms(table)
    homes = _Homes({host.id: host for host in table}, {group.name: group for group in groups})
    made: list[Instance] = []
    for number in range(draw(st.integers(0, most_instances))):
        fate = draw(_fates)
        placed = _placed(_wanted(f"i{number}", fate, known), fate, table, rooms, homes)
        if placed.host or requests:
            made.append(placed)
    return Pool.build(table, made, groups=groups, taken_at=1_700_000_000.0)


def _wanted(name: str, fate: _Fate, known: list[Shape]) -> Instance:
    return Instance(
        name,
        fate.one(*known),
        fate.one(Kind.VM, Kind.VM, Kind.CONTAINER),
        priority=fate.one(0, 0, 10),
        group=fate.one("", "", "g0", "g1"),
        zone=fate.one("", "", "", "z1", "z2"),
        immovable=fate.rare("", "pinned device", f"{PASSING}a snapshot", among=3),
        dirty_mib_s=fate.one(math.nan, 0.0, 10.0, 5000.0),
    )


def _placed(
    wanted: Instance, fate: _Fate, table: list[Host], rooms: Rooms, homes: _Homes
) -> Instance:
    """Return an instance on a host that suits it and has room, or still requested."""
    host = fate.one(None, *table)
    if host is None or not homes.welcome(wanted, host) or not rooms.fits(wanted.shape, host):
        return wanted
    state = fate.rare(State.RUNNING, State.STOPPED, State.PAUSED, among=4)
    placed = replace(
        rooms.settle(wanted, host.id), state=state if host.health is Health.OK else State.FAILED
    )
    homes.settle(placed)
    return placed
