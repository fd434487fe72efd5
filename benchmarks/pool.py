# SPDX-License-Identifier: Apache-2.0
"""The pool: 100,000 hosts and 1,000,000 instances in memory."""

import argparse
from collections.abc import Iterator

from benchmarks.figure import Figure
from benchmarks.machine import in_fresh_process

BUILD = """
import json, sys, time
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
hosts, instances = int(sys.argv[1]), int(sys.argv[2])
shapes = [Shape(f"c{n}", n * 1000, n * 2048) for n in (1, 2, 4)]
node = (Node(64_000, 262_144), Node(64_000, 262_144))
started = time.perf_counter()
pool = Pool.build(
    (Host(f"h{n:06}", node, rack=f"r{n // 40}") for n in range(hosts)),
    (
        Instance(f"i{n:07}", shapes[n % 3], host=f"h{n % hosts:06}", state=State.RUNNING)
        for n in range(instances)
    ),
)
built = time.perf_counter()
pool.digest
print(json.dumps({"build_s": built - started, "digest_s": time.perf_counter() - built}))
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add how large the pool is."""
    parser.add_argument("--hosts", type=int, default=100_000)
    parser.add_argument("--instances", type=int, default=1_000_000)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure the large pool."""
    result, peak_mib = in_fresh_process(BUILD, str(arguments.hosts), str(arguments.instances))
    yield Figure("pool built from rows", result["build_s"], "s")
    yield Figure("digest", result["digest_s"], "s", goal=2)
    yield Figure("peak memory of a fresh process", peak_mib, "MiB", goal=1000)
