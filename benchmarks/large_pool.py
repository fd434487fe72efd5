# SPDX-License-Identifier: Apache-2.0
"""A large mixed pool, built by columns or as row values, and what can be measured on it."""

import json
import random
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from billow.model.codec import pack, pool_document, pool_from_document, unpack
from billow.model.host import Host, Node
from billow.model.hosts import Hosts
from billow.model.instance import Instance
from billow.model.instances import Instances
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.resources import CPU, HUGE, MEMORY
from billow.model.shape import Shape
from billow.model.text import parse, render
from billow.plan.draft import Draft

Value = TypeVar("Value")

SHAPES = (
    Shape("c1", 1_000, 2_048),
    Shape("c2", 2_000, 4_096),
    Shape("n4", 4_000, 8_192, numa_nodes=1),
    Shape("n8", 8_000, 16_384, numa_nodes=2, huge_pages=True),
)
NODE = Node(cpu_milli=64_000, memory_mib=262_144, huge_mib=131_072)


def by_columns(hosts: int, instances: int) -> Pool:
    """Return the pool, built by columns: instances spread evenly, every shape in turn."""
    capacity = np.zeros((hosts, 2, 4), dtype=np.int64)
    capacity[..., CPU], capacity[..., MEMORY] = NODE.cpu_milli, NODE.memory_mib
    capacity[..., HUGE] = NODE.huge_mib
    row = np.arange(instances)
    shape = row % len(SHAPES)
    alternating = 1 + (row // hosts) % 2
    table = Instances.of_columns(
        [f"vm-{number:07}" for number in range(instances)],
        shape,
        row % hosts,
        np.choose(shape, [0, 0, alternating, 3]),
        state=State.RUNNING,
        tenant=[f"t{number % 50}" for number in range(instances)],
    )
    return Pool.of_columns(
        Hosts.of_columns(
            [f"h{number:06}" for number in range(hosts)],
            capacity,
            rack=[f"r{number // 40}" for number in range(hosts)],
            zone=[f"z{number % 3}" for number in range(hosts)],
        ),
        table,
        shapes=SHAPES,
    )


def rows(hosts: int, instances: int) -> tuple[list[Host], list[Instance]]:
    """Return the same pool as row values."""
    node_masks = {0: ((), ()), 1: ((), ()), 2: ((0,), (1,)), 3: ((0, 1), (0, 1))}
    return (
        [
            Host(f"h{number:06}", (NODE, NODE), rack=f"r{number // 40}", zone=f"z{number % 3}")
            for number in range(hosts)
        ],
        [
            Instance(
                f"vm-{number:07}",
                SHAPES[number % 4],
                host=f"h{number % hosts:06}",
                nodes=node_masks[number % 4][number // hosts % 2],
                state=State.RUNNING,
                tenant=f"t{number % 50}",
            )
            for number in range(instances)
        ],
    )


def measure_columns(hosts: int, instances: int) -> None:
    """Print how long the pool takes to build, its digest, and a move with undo."""
    built_s, pool = timed(lambda: by_columns(hosts, instances))
    digest_s, _ = timed(lambda: pool.digest)
    draft_s, draft = timed(lambda: Draft(pool))
    tell(build_s=built_s, digest_s=digest_s, draft_s=draft_s, move_us=move_us(draft))


def measure_rows(hosts: int, instances: int) -> None:
    """Print how long it takes to hold the same pool as row values, and a pool built of them."""
    rows_s, (host_rows, instance_rows) = timed(lambda: rows(hosts, instances))
    built_s, pool = timed(lambda: Pool.build(host_rows, instance_rows))
    assert pool.digest == by_columns(hosts, instances).digest
    tell(rows_s=rows_s, build_s=built_s)


def measure_row_memory(hosts: int, instances: int) -> None:
    """Print how long it takes to hold the same pool as row values, and nothing else."""
    tell(rows_s=timed(lambda: rows(hosts, instances))[0])


def measure_forms(hosts: int, instances: int) -> None:
    """Print how long a pool takes to become bytes, text and JSON, and to come back."""
    pool = by_columns(hosts, instances)
    pack_s, packed = timed(lambda: pack(pool))
    unpack_s, unpacked = timed(lambda: unpack(packed))
    render_s, text = timed(lambda: render(pool))
    parse_s, parsed = timed(lambda: parse(text))
    write_s, written = timed(lambda: json.dumps(pool_document(pool)))
    read_s, read = timed(lambda: pool_from_document(json.loads(written)))
    assert {unpacked.digest, parsed.digest, read.digest} == {pool.digest}
    tell(
        request_ms=request_ms(pool),
        pack_s=pack_s,
        unpack_s=unpack_s,
        render_s=render_s,
        parse_s=parse_s,
        json_write_s=write_s,
        json_read_s=read_s,
        packed_mib=len(packed) / 2**20,
        text_mib=len(text) / 2**20,
        json_mib=len(written) / 2**20,
    )


def move_us(draft: Draft, batches: int = 200) -> float:
    """Return how long one move with its undo takes, microseconds: the median batch's mean."""
    dice = random.Random(1)
    return sorted(batch_us(draft, dice) for _ in range(batches))[batches // 2]


def batch_us(draft: Draft, dice: random.Random, moves: int = 1000) -> float:
    """Return the mean time of a move with its undo, over random moves that fit, microseconds."""
    count, hosts = len(draft.pool.instances), len(draft.pool.hosts)
    chosen = [(dice.randrange(count), dice.randrange(hosts)) for _ in range(moves)]
    masks = [int(draft.nodes[instance]) for instance, _ in chosen]
    done = 0
    started = time.perf_counter()
    for (instance, host), mask in zip(chosen, masks, strict=True):
        if draft.assign(instance, host, mask):
            draft.undo()
            done += 1
    passed = time.perf_counter() - started
    assert done > moves // 2
    return passed / done * 1e6


def request_ms(pool: Pool, times: int = 50) -> float:
    """Return the median time to add one request to a pool whose sums are known, milliseconds."""
    _ = pool.free, pool.free_nodes
    taken = []
    for number in range(times):
        request = Instance(f"vm-{number * 1009:07}-new", SHAPES[0])
        seconds, grown = timed(lambda request=request: pool.with_requests([request]))  # type: ignore[misc]
        assert len(grown.instances) == len(pool.instances) + 1
        taken.append(seconds)
    return sorted(taken)[times // 2] * 1e3


def timed(work: Callable[[], Value]) -> tuple[float, Value]:
    """Return how many seconds work took, and what it returned."""
    started = time.perf_counter()
    value = work()
    return time.perf_counter() - started, value


def tell(**results: float) -> None:
    """Print results for the process that waits for them."""
    print(json.dumps(results))
