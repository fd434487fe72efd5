# SPDX-License-Identifier: Apache-2.0
"""Pools as an OpenStack cloud gives them: drawn by a seed, fragmented, with what goes wrong."""

import random

from billow.model.group import Gap, Group
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Rule, State, Storage
from billow.model.pool import Pool
from billow.model.shape import Shape

SHAPES = (
    Shape("m1.small", 1_000, 2_048),
    Shape("m1.medium", 2_000, 4_096),
    Shape("m1.large", 4_000, 8_192),
    Shape("m1.xlarge", 8_000, 16_384),
)
WEIGHTS = (4, 3, 2, 1)


def cloud(hosts: int = 20, instances: int = 150, *, seed: int = 1, measured: bool = False) -> Pool:
    """Return a cloud in two zones whose instances came and went at random."""
    dice = random.Random(seed)
    room = {f"cmp-{number:03}": [32, 65_536 - 512] for number in range(hosts)}
    rows = []
    for number in range(instances):
        shape = dice.choices(SHAPES, WEIGHTS)[0]
        size = shape.cpu_milli // 1000, shape.memory_mib
        fits = [name for name, (cpus, mib) in room.items() if cpus >= size[0] and mib >= size[1]]
        host = dice.choice(fits)
        room[host][0] -= size[0]
        room[host][1] -= size[1]
        rows.append(
            Instance(
                f"vm-{number:05}",
                shape,
                host=host,
                state=State.RUNNING,
                group=f"g{number % 5}" if number < 20 else "",
                disk=Storage.OWN if number % 50 == 49 else Storage.SHARED,
                cpu_used_milli=dice.random() * shape.cpu_milli if measured else float("nan"),
            )
        )
    node = Node(cpu_milli=32_000, memory_mib=65_536 - 512)
    names = sorted(room)
    return Pool.build(
        [Host(name, (node,), zone=f"az{1 + row % 2}") for row, name in enumerate(names)],
        rows,
        shapes=SHAPES,
        groups=[Group(f"g{number}", Rule.ANTI_AFFINITY) for number in range(5)],
        gaps=[Gap("pool", "no source of real use is set")] if not measured else [],
        taken_at=1_795_000_000.0,
    )
