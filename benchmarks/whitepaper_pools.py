# SPDX-License-Identifier: Apache-2.0
"""The two pools of a carrier's white paper, rebuilt to its published figures, the same each time.

What its words mean was found by arithmetic; every figure below is reproduced to its last decimal:

- "VM fragmentation" is `1 - fit / theoretical`: 1 - 406/442 = 8.14 %, 1 - 439/442 = 0.68 %. The
  theoretical number is bound by memory: 28,327 // 64 = 442, while 10,234 // 16 = 639.
- "CPU fragmentation" is what whole VMs of 16 cores leave of the free cores, as a share of all that
  the pool sells: (10,234 - 16 * 406) / T = 19.89 % and (10,234 - 16 * 439) / T = 17.08 % hold for
  T from 18,789 to 18,798 cores. That is 216 for each of 87 hosts (18,792).
- "Memory fragmentation" likewise, of 64 GB: (28,327 - 64 * 406) / M = 4 % and (28,327 - 64 * 439) /
  M = 0.393 % hold for M from 58,704 to 58,853 GB. That is 675 for each host (58,725).
- "Allocatable servers" counts what an empty pool sells: 984 * 3 // 2 = 1,476 by CPU at 300 %, while
  memory at 100 % would give 9,200 // 4 = 2,300. The 2,952 afterwards are twice as many; memory at
  150 % would allow 3,450.

What cannot be known is our choice: how the free room is spread over the hosts, which VMs fill the
rest (the sizes of the S6 flavours: 1, 2 and 4 GB a core), how 216 sellable cores come about (72
threads sold three times), and how use is spread over the servers of the hot pool. No NUMA: the
paper's count is by host.
"""

from collections.abc import Iterator
from random import Random
from typing import Final

from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape

GIB: Final = 1024
_SEED: Final = 87

S6_HOSTS: Final = 87
S6_CORES: Final = 216
S6_GIB: Final = 675
S6_FREE_CORES: Final = 10_234
S6_FREE_GIB: Final = 28_327
S6_FIT: Final = 406
S6_WANTED: Final = Shape("s6.4xlarge.4", 16_000, 64 * GIB)
_MOST_SLOTS: Final = 9

HOT_HOSTS: Final = 12
HOT_CORES: Final = 82
HOT_GIB: Final = (768,) * 4 + (766,) * 8
HOT_SERVERS: Final = 1_476
HOT_UTILISATION: Final = 0.3999
_WARMTH: Final = (0.5,) * 4 + (0.8,) * 4 + (1.2,) * 2 + (2.1,) * 2
HOT_WANTED: Final = Shape("s6.large.2", 2_000, 4 * GIB)


def pool_s6() -> Pool:
    """Return the fragmented pool: 87 hosts on which 406 of 442 VMs of 16 cores/64 GB fit."""
    random = Random(_SEED)
    free_gib = _free_gib(random)
    free_cores = _free_cores(free_gib)
    hosts: list[Host] = []
    instances: list[Instance] = []
    for number in range(S6_HOSTS):
        name = f"s6-{number:02}"
        hosts.append(Host(name, (Node(S6_CORES // 3 * 1000, S6_GIB * GIB),), cpu_ratio=3.0))
        sizes = _sizes(S6_CORES - free_cores[number], S6_GIB - free_gib[number], random)
        for place, (cores, ratio) in enumerate(sizes):
            vm = f"{name}-vm{place:03}"
            shape = s6(cores, cores * ratio)
            instances.append(Instance(vm, shape, host=name, state=State.RUNNING))
    return Pool.build(hosts, instances, shapes=[S6_WANTED])


def pool_hot(servers: int = HOT_SERVERS) -> Pool:
    """Return the hot-spot pool: 12 hosts, CPU sold at most 300 %, memory at most 100 %.

    Args:
        servers: How many of 2 cores/4 GB are on it; 1,476 fill it, 0 leave it empty. Together they
            use 39.99 % of the cores when it is full, unevenly: some hosts are hot.
    """
    random = Random(_SEED)
    use = _use(random)
    hosts: list[Host] = []
    instances: list[Instance] = []
    here = HOT_SERVERS // HOT_HOSTS
    for number, gib in enumerate(HOT_GIB):
        name = f"hot-{number:02}"
        rows = range(number * here, min((number + 1) * here, servers))
        used = float(sum(use[row] for row in rows))
        node = Node(HOT_CORES * 1000, gib * GIB)
        hosts.append(Host(name, (node,), cpu_ratio=3.0, cpu_used_milli=used))
        instances += [_server(row, name, float(use[row])) for row in rows]
    return Pool.build(hosts, instances, shapes=[HOT_WANTED])


def _server(row: int, host: str, used_milli: float) -> Instance:
    name = f"server{row:04}"
    return Instance(name, HOT_WANTED, host=host, state=State.RUNNING, cpu_used_milli=used_milli)


def s6(cores: int, gib: int) -> Shape:
    """Return the shape of a size, named as the carrier does: the last number is GB a core."""
    if cores == 16 and gib == 64:
        return S6_WANTED
    return Shape(f"s6.c{cores}.{gib // cores}", cores * 1000, gib * GIB)


def _free_gib(random: Random) -> list[int]:
    """Return free GB by host: whole slots of 64 GB that sum to 406, and leftovers of 0..63 GB."""
    slots = _summing([random.randint(0, _MOST_SLOTS) for _ in range(S6_HOSTS)], S6_FIT, _MOST_SLOTS)
    rest = S6_FREE_GIB - 64 * S6_FIT
    leftovers = _summing([random.randint(0, 54) for _ in range(S6_HOSTS)], rest, 63)
    return [64 * whole + left for whole, left in zip(slots, leftovers, strict=True)]


def _free_cores(free_gib: list[int]) -> list[int]:
    """Return free cores by host: used cores in proportion to used memory, to the exact sum."""
    used_gib = [S6_GIB - gib for gib in free_gib]
    used_cores = S6_HOSTS * S6_CORES - S6_FREE_CORES
    share = used_cores / sum(used_gib)
    used = _summing([round(gib * share) for gib in used_gib], used_cores, S6_CORES)
    return [S6_CORES - cores for cores in used]


def _summing(values: list[int], total: int, most: int) -> list[int]:
    """Return values from 0 to `most`, changed one by one in turn until they sum to `total`."""
    changed, place = list(values), 0
    while (missing := total - sum(changed)) != 0:
        step = 1 if missing > 0 else -1
        if 0 <= changed[place] + step <= most:
            changed[place] += step
        place = (place + 1) % len(changed)
    return changed


def _sizes(cores: int, gib: int, random: Random) -> Iterator[tuple[int, int]]:
    """Yield (cores, GB a core) of VMs that take exactly so many cores and so much memory."""
    odd = gib % 2  # the rest has an even number of GB, made of 2 and 4 GB a core
    quadruple = (gib - odd) // 2 - (cores - odd)
    double = cores - odd - quadruple
    assert quadruple >= 0, "less than 2 GB a core are used"
    assert double >= 0, "more than 4 GB a core are used"
    yield from ((1, 1),) * odd
    for left, ratio in ((quadruple, 4), (double, 2)):
        while left:
            size = random.choice([size for size in (1, 2, 4, 8, 16) if size <= left])
            yield size, ratio
            left -= size  # noqa: PLW2901 (counted down on purpose)


def _use(random: Random) -> list[int]:
    """Return the use of each server, thousandths of a core, to the exact sum; heavy-tailed."""
    total = round(HOT_CORES * HOT_HOSTS * 1000 * HOT_UTILISATION)
    here = HOT_SERVERS // HOT_HOSTS
    drawn = [min(random.paretovariate(1.6), 8) * _WARMTH[row // here] for row in range(HOT_SERVERS)]
    scale = total / sum(drawn)
    return _summing([min(round(each * scale), 2000) for each in drawn], total, 2000)
