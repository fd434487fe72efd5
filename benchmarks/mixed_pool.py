# SPDX-License-Identifier: Apache-2.0
"""A large mixed pool, the same each time: host models, shapes, zones, racks, groups, requests."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import Random

from billow.capabilities.placement.plan import Placement
from billow.capabilities.placement.policy import PlacementPolicy
from billow.model.group import Group
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Rule, Scope
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.replay import replay

ZONES = ("z1", "z2", "z3")
HOSTS_PER_RACK = 40
MEMBERS = 4
_BATCH = 20_000
_STANDARD = Host("standard", (Node(32_000, 131_072),) * 2)
_ARM = replace(_STANDARD, arch=Arch.AARCH64)
_LARGE = Host("large", (Node(64_000, 196_608, 65_536),) * 2)
_GPU = Host("gpu", (Node(48_000, 262_144, 0, 4),) * 2, gpu_model="l40s")
_MODELS = (_GPU, *(_ARM,) * 2, *(_LARGE,) * 5, *(_STANDARD,) * 12)


def hosts(count: int) -> Iterator[Host]:
    """Yield hosts over racks and zones: of 20, one has GPUs, two are Arm, five are large."""
    for number in range(count):
        rack = number // HOSTS_PER_RACK
        yield replace(
            _MODELS[number % len(_MODELS)],
            id=f"h{number:05}",
            zone=ZONES[rack % len(ZONES)],
            rack=f"r{rack}",
            traits=frozenset({"ssd"} if number % 4 == 0 else ()),
        )


def shapes() -> tuple[Shape, ...]:
    """Return 50 shapes: floating, on one NUMA node or two, huge pages, GPUs, Arm, traits."""
    made: list[Shape] = []
    for number, cores in enumerate((1, 2, 4, 8, 16)):
        for ratio in (2, 4):
            plain = Shape(f"c{cores}-{ratio}", cores * 1000, cores * ratio * 1024)
            special = (
                replace(plain, numa_nodes=1, huge_pages=True),
                replace(plain, numa_nodes=1, gpus=1),
                replace(plain, arch=Arch.AARCH64),
                replace(plain, arch=Arch.X86_64),
                replace(plain, numa_nodes=1, dedicated=True),
            )[number]
            kinds = {
                "float": plain,
                "n1": replace(plain, numa_nodes=1),
                "n2": replace(plain, numa_nodes=2),
                "ssd": replace(plain, traits=frozenset({"ssd"})),
                "special": special,
            }
            made += [replace(kind, name=f"{plain.name}-{name}") for name, kind in kinds.items()]
    return tuple(made)


def requests(count: int, prefix: str, dice: Random) -> Iterator[tuple[Instance, Group | None]]:
    """Yield mixed requests, small ones more often; a fifth of them in groups of four equal ones."""
    kinds = shapes()
    rare = [4 if kind.gpus or kind.huge_pages else 1 for kind in kinds]
    weights = [1 / (kind.cpu_milli * factor) for kind, factor in zip(kinds, rare, strict=True)]
    group, shape = None, kinds[0]
    for number in range(count):
        place = number % (5 * MEMBERS)
        if place == 0:
            group = Group(f"{prefix}-g{number}", *_rule(number // (5 * MEMBERS)))
        if place == 0 or place >= MEMBERS:
            shape = dice.choices(kinds, weights)[0]
        grouped = group if place < MEMBERS else None
        instance = Instance(
            f"{prefix}{number:06}",
            shape,
            priority=dice.choice((0, 0, 0, 5)),
            group=grouped.name if grouped else "",
            zone="" if grouped else dice.choice(("", "", *ZONES)),
            tenant=f"t{number % 97}",
        )
        yield instance, grouped


def _rule(number: int) -> tuple[Rule, Scope]:
    match number % 10:
        case 0:
            return Rule.AFFINITY, Scope.RACK
        case 1 | 2:
            return Rule.ANTI_AFFINITY, Scope.RACK
        case _:
            return Rule.ANTI_AFFINITY, Scope.HOST


def asked(pool: Pool, count: int, prefix: str, dice: Random) -> tuple[Pool, list[Instance]]:
    """Return a pool that knows the groups of new requests, and the requests."""
    pairs = list(requests(count, prefix, dice))
    groups = {group.name: group for _, group in pairs if group is not None}
    return pool.with_groups(groups.values()), [request for request, _ in pairs]


def filled(host_count: int, instance_count: int) -> Pool:
    """Return a pool with instances, placed in batches by the capability itself."""
    pool = Pool.build(hosts(host_count))
    pairs = requests(instance_count, "a", Random(1))
    while batch := list(islice(pairs, _BATCH)):
        groups = {group.name: group for _, group in batch if group is not None}
        grown = pool.with_groups(groups.values()).with_requests([each for each, _ in batch])
        proposal = Placement().propose(grown, PlacementPolicy())
        if proposal.rejections:
            raise AssertionError(f"the pool is too small: {proposal.rejections[0]}")
        pool = replay(grown, proposal.actions)
    return pool
