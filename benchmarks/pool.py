# SPDX-License-Identifier: Apache-2.0
"""The pool: 100,000 hosts and 1,000,000 instances in memory, its digest, a draft's move.

Each group of figures comes from a fresh process, so that its peak memory is its own.
"""

import argparse
import hashlib
from collections.abc import Iterator

from benchmarks.figure import Figure, Peer
from benchmarks.large_pool import timed
from benchmarks.machine import in_fresh_process


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add how large the pool is."""
    parser.add_argument("--hosts", type=int, default=100_000)
    parser.add_argument("--instances", type=int, default=1_000_000)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure the large pool, then the forms of a tenth of it."""
    hosts, instances = arguments.hosts, arguments.instances
    yield from large(hosts, instances)
    yield from forms(hosts // 10, instances // 10)


def large(hosts: int, instances: int) -> Iterator[Figure]:
    """Measure building, memory, digest and moves; row values stand beside them."""
    columns, columns_mib = measured("columns", hosts, instances)
    rows, _ = measured("rows", hosts, instances)
    _, rows_mib = measured("row_memory", hosts, instances)
    from_rows = rows["rows_s"] + rows["build_s"]
    peer = Peer("the same pool from row values", from_rows)
    yield Figure("pool built by columns", columns["build_s"], "s", goal=10, peer=peer)
    peer = Peer("the same rows as Python objects", rows_mib)
    yield Figure("peak memory, with a draft of it", columns_mib, "MiB", goal=1_000, peer=peer)
    peer = Peer("BLAKE2b over 40 bytes a row", bound_of_digest_s(hosts + instances))
    yield Figure("digest", columns["digest_s"], "s", goal=2, peer=peer)
    yield Figure("draft built", columns["draft_s"], "s")
    yield Figure("draft move with undo, median of 200 batches", columns["move_us"], "us", goal=20)


def forms(hosts: int, instances: int) -> Iterator[Figure]:
    """Measure requests, snapshots, text and JSON on a pool of this size."""
    got, _ = measured("forms", hosts, instances)
    size = f"{hosts} hosts, {instances} instances: "
    yield Figure(size + "one request added, median", got["request_ms"], "ms", goal=2)
    json_write = Peer("JSON", got["json_write_s"])
    json_read = Peer("JSON", got["json_read_s"])
    yield Figure(size + "packed", got["pack_s"], "s", goal=0.5, peer=json_write)
    yield Figure(size + "unpacked", got["unpack_s"], "s", goal=0.5, peer=json_read)
    json_size = Peer("JSON", got["json_mib"])
    yield Figure(size + "packed bytes", got["packed_mib"], "MiB", peer=json_size)
    yield Figure(size + "text written", got["render_s"], "s", peer=json_write)
    yield Figure(size + "text read", got["parse_s"], "s", peer=json_read)


def measured(what: str, hosts: int, instances: int) -> tuple[dict[str, float], float]:
    """Return what a fresh process measured, and its peak memory in MiB."""
    code = f"from benchmarks.large_pool import measure_{what} as m\nm({hosts}, {instances})"
    return in_fresh_process(code)


def bound_of_digest_s(rows: int) -> float:
    """Return how long the hash alone takes for about as many bytes as the columns have."""
    data = bytes(40 * rows)
    return timed(lambda: hashlib.blake2b(data, digest_size=16).hexdigest())[0]
