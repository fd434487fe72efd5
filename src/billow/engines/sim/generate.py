# SPDX-License-Identifier: Apache-2.0
"""Make up a realistic pool of any size, the same one for the same seed.

Half of its hosts are too full and half too empty; there are zones and racks, generations and two
instruction sets, virtual machines beside containers and bare metal, groups that must stay apart,
instances that cannot move, batch beside those that somebody waits for, and some hosts that are
cordoned, off or broken. Nothing is over capacity and every group's rule is kept, so that what a
planner finds wrong is what was meant.
"""

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from billow.engines.sim.catalogue import COMMON_CPU, GENERATIONS, METAL, Generation
from billow.model.group import Group
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Arch, Health, Kind, Power, Rule, Service, State
from billow.model.pool import Pool
from billow.model.shape import Shape

RACK_HOSTS = 20
ZONES = 3
_FULL, _EMPTY = (0.80, 0.96), (0.04, 0.35)
_KINDS = (Kind.VM, Kind.CONTAINER, Kind.SECURE_CONTAINER)
_REASONS = ("pinned device", "local disk", "licence bound to host")
_MOST_GROUPS = 400
_WINDOW = 12


def generate(hosts: int, *, seed: int = 1, taken_at: float = 0.0) -> Pool:
    """Return a pool of so many hosts with about ten instances each. Linear."""
    dice = random.Random(seed)  # noqa: S311 (a world, not a secret)
    crowd = _Crowd(dice)
    racks = _drawn(dice, hosts // RACK_HOSTS + 1)
    table = [_host(number, len(str(hosts)), racks, dice) for number in range(hosts)]
    placed: list[Instance] = []
    for host, generation in table:
        placed += crowd.on(host, generation)
    instances, groups = _grouped(placed, dice)
    return Pool.build([host for host, _ in table], instances, groups=groups, taken_at=taken_at)


def _drawn(dice: random.Random, count: int) -> list[Generation]:
    return dice.choices(GENERATIONS, [each.weight for each in GENERATIONS], k=count)


def _host(
    number: int, digits: int, racks: Sequence[Generation], dice: random.Random
) -> tuple[Host, Generation]:
    """Return a host; every rack is of one zone, and mostly of one generation."""
    rack = number // RACK_HOSTS
    generation = racks[rack] if dice.random() < 0.7 else _drawn(dice, 1)[0]
    named = replace(
        generation.host,
        id=f"host-{number + 1:0{digits}}",
        zone=f"z{rack % ZONES + 1}",
        rack=f"r{rack + 1:03}",
    )
    return _troubled(named, dice), generation


def _troubled(host: Host, dice: random.Random) -> Host:
    """Let a few hosts be cordoned, off or broken."""
    fate = dice.random()
    if fate < 0.01:
        return replace(host, cordon=dice.choice(("maintenance", "disk errors", "firmware")))
    if fate < 0.02:
        return replace(host, power=Power.OFF)
    if fate < 0.025:
        return replace(host, power=Power.UNKNOWN, health=Health.FAILED)
    return replace(host, health=Health.SUSPECT) if fate < 0.03 else host


@dataclass
class _Room:
    """What a host has left while it is filled: `[cpu, memory, huge, gpus]`, in all and by node."""

    total: list[int]
    nodes: list[list[int]]

    @classmethod
    def of(cls, host: Host) -> "_Room":
        nodes = [[int(node.cpu_milli * host.cpu_ratio), *node.amounts[1:]] for node in host.nodes]
        return cls([sum(each) for each in zip(*nodes, strict=True)], nodes)

    def take(self, shape: Shape) -> tuple[int, ...] | None:
        """Take room for a shape and return its nodes, or None when there is none."""
        demand, share = shape.demand, shape.share
        if not _holds(self.total, demand):
            return None
        fitting = [number for number, left in enumerate(self.nodes) if _holds(left, share)]
        nodes = tuple(fitting[: shape.numa_nodes])
        if len(nodes) < shape.numa_nodes:
            return None
        _subtract(self.total, demand)
        for number in nodes:
            _subtract(self.nodes[number], share)
        return nodes


@dataclass
class _Crowd:
    """Who comes to live on hosts."""

    dice: random.Random
    count: int = 0

    def on(self, host: Host, generation: Generation) -> Iterator[Instance]:
        """Yield the instances of a host, until it is as full as fate wants it."""
        if host.power is Power.OFF:
            return
        if self.dice.random() < 0.005:
            yield self._metal(host, generation)
            return
        span = _FULL if self.dice.random() < 0.5 else _EMPTY
        room = _Room.of(host)
        spare = room.total[0] * (1 - self.dice.uniform(*span))
        shapes, weights = zip(*generation.shapes, strict=True)
        misses = 0
        while room.total[0] > spare and misses < 8:
            shape = self.dice.choices(shapes, weights)[0]
            nodes = room.take(shape)
            misses += nodes is None
            if nodes is not None:
                yield self._instance(host, shape, nodes)

    def _metal(self, host: Host, generation: Generation) -> Instance:
        self.count += 1
        return Instance(
            f"metal-{self.count:06}",
            METAL[generation.name],
            Kind.BARE_METAL,
            host.id,
            state=State.RUNNING,
            tenant=f"t{self.dice.randint(1, 40):02}",
            immovable="bare metal",
        )

    def _instance(self, host: Host, shape: Shape, nodes: tuple[int, ...]) -> Instance:
        dice = self.dice
        self.count += 1
        kind = dice.choices(_KINDS, (75, 15, 10))[0]
        running = State.RUNNING if dice.random() < 0.95 else State.STOPPED
        name = f"{kind.value.split('_', maxsplit=1)[0]}-{self.count:06}"
        return Instance(
            name,
            shape,
            kind,
            host.id,
            nodes,
            State.FAILED if host.health is Health.FAILED else running,
            priority=dice.choices((0, 10, 100), (85, 12, 3))[0],
            cpu_model="" if kind is Kind.CONTAINER else COMMON_CPU[host.arch],
            service=_service(name, shape),
            tenant=f"t{dice.randint(1, 40):02}",
            immovable=_reason(shape, dice),
            dirty_mib_s=round(min(dice.lognormvariate(2.0, 1.2), 400.0), 1),
        )


def _service(name: str, shape: Shape) -> Service:
    """Return batch for one in eight, by name, so that nothing else of a pool depends on it."""
    chosen = not shape.gpus and zlib.crc32(name.encode()) % 8 == 0
    return Service.BATCH if chosen else Service.LATENCY


def _reason(shape: Shape, dice: random.Random) -> str:
    if shape.gpus:
        return "pinned device"
    return dice.choice(_REASONS) if dice.random() < 0.03 else ""


def _grouped(placed: Sequence[Instance], dice: random.Random) -> tuple[list[Instance], list[Group]]:
    """Put some instances into groups whose rules they keep already."""
    instances, groups = list(placed), []
    free = [row for row, each in enumerate(placed) if each.kind is not Kind.BARE_METAL]
    dice.shuffle(free)
    for number in range(min(len(placed) // 25, _MOST_GROUPS)):
        members = _apart(instances, free, dice.randint(2, 5))
        if len(members) < 2:
            continue
        name = f"apart-{number + 1:03}"
        groups.append(Group(name, Rule.ANTI_AFFINITY))
        for row in members:
            instances[row] = replace(instances[row], group=name)
    return instances, groups


def _apart(instances: Sequence[Instance], free: list[int], wanted: int) -> list[int]:
    """Return some instances, each on another host, of one instruction set; take a few off."""
    hosts: set[str] = set()
    members: list[int] = []
    arch: Arch | None = None
    window = free[-_WINDOW:]
    del free[-_WINDOW:]
    for row in window:
        each = instances[row]
        if len(members) < wanted and each.host not in hosts and arch in (None, each.shape.arch):
            hosts.add(each.host)
            members.append(row)
            arch = each.shape.arch
    return members


def _holds(left: Sequence[int], wanted: Sequence[int]) -> bool:
    return all(amount <= have for amount, have in zip(wanted, left, strict=True))


def _subtract(left: list[int], taken: Sequence[int]) -> None:
    for resource, amount in enumerate(taken):
        left[resource] -= amount
