# SPDX-License-Identifier: Apache-2.0
"""OpenStack, O6: Watcher's own strategies beside Billow's plans, on Watcher's own metrics.

The peer is python-watcher's code, unchanged, run by `openstack_watcher_real.py` in an interpreter
that has it: `--watcher PYTHON`, or a virtual environment that is made for it. Both get
the same clouds, drawn by a seed: hosts of 32 CPUs that may be sold 1.5 times, four flavors, hosts
between quiet and busy. Metrics are Watcher's: hosts released and migrations of
`vm_workload_consolidation`, the standard deviation of hosts' CPU load and migrations of
`workload_stabilization`. Moves of both are replayed on the same pool: what its rules refuse counts
as not done.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import uuid
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figure import Better, Figure, Peer
from benchmarks.machine import ROOT
from billow.catalog import CAPABILITIES
from billow.model.action import Migrate
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.resources import CPU
from billow.model.shape import Shape
from billow.plan.compose import Stamp, compose
from billow.plan.draft import Draft
from billow.policies import Policies

SCRIPT = ROOT / "benchmarks" / "openstack_watcher_real.py"
PACKAGES = ("python-watcher==17.0.0", "sqlalchemy<2.1")
CLOUDS = ((20, 150), (20, 200), (40, 380))
"""Hosts and instances."""
FLAVORS = ((1, 2048), (2, 4096), (4, 8192), (8, 16384))
CPUS, MEMORY_MIB, RATIO = 32, 131_072, 1.5
HOT, COOL = (1.25, 1.4, 1.6, 1.8, 2.0, 2.2, 2.5), 1.05
"""From what on a host counts as hot, of which the best within the peer's moves is taken, and what
it is cooled to; both times the mean load."""
Document = dict[str, Any]
Moves = Sequence[tuple[str, str]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add where Watcher is, and by which seed clouds are drawn."""
    parser.add_argument("--watcher", type=Path, help="a python that has Watcher; made otherwise")
    parser.add_argument("--seed", type=int, default=1)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Compare on each cloud."""
    with tempfile.TemporaryDirectory(prefix="billow-watcher-") as folder:
        python = arguments.watcher or installed(Path(folder))
        for number, (hosts, instances) in enumerate(CLOUDS):
            drawn = drawn_cloud(hosts, instances, arguments.seed + number)
            yield from _beside(drawn, watcher(python, drawn))


def installed(folder: Path) -> Path:
    """Install Watcher into a folder; return the interpreter that has it. Takes a minute."""
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", *PACKAGES], check=True)
    return folder / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of moves, replayed one after the other.

    Attributes:
        empty: Hosts on which nothing is any more.
        deviation: Standard deviation of hosts' CPU load, as shares of their CPUs.
        fullest: Load of the busiest host.
        refused: Moves that the pool's rules do not allow.
    """

    moves: int
    empty: int
    deviation: float
    fullest: float
    refused: int


def drawn_cloud(hosts: int, instances: int, seed: int) -> Document:
    """Return a cloud as the script reads it; hosts are between quiet and busy."""
    dice = random.Random(seed)

    def unique() -> str:
        return str(uuid.UUID(int=dice.getrandbits(128)))

    names = [f"cmp-{number:03}" for number in range(hosts)]
    free = {name: [CPUS * RATIO, MEMORY_MIB] for name in names}
    busy = {name: dice.choice((0.4, 0.8, 1.2, 2.4)) for name in names}
    rows: list[Document] = []
    for number in range(instances):
        cpus, memory = dice.choices(FLAVORS, (4, 3, 2, 1))[0]
        host = dice.choice([n for n in names if free[n][0] >= cpus and free[n][1] >= memory])
        free[host][0] -= cpus
        free[host][1] -= memory
        percent = 100 * min(1.0, busy[host] * dice.betavariate(1.5, 4))
        size = {"vcpus": cpus, "memory": memory, "cpu_percent": percent, "host": host}
        rows.append({**size, "uuid": unique(), "name": f"vm-{number}", "project_id": unique()})
    used = {
        name: sum(row["vcpus"] * row["cpu_percent"] for row in rows if row["host"] == name)
        for name in names
    }
    room = {"vcpus": CPUS, "memory": MEMORY_MIB, "vcpu_ratio": RATIO, "memory_ratio": 1.0}
    listed = [
        {
            **room,
            "name": name,
            "uuid": unique(),
            "cpu_percent": used[name] / CPUS,
            "memory_used": MEMORY_MIB - free[name][1],
        }
        for name in names
    ]
    return {"hosts": listed, "instances": rows}


def pool_of(drawn: Document) -> Pool:
    """Return the same cloud as a pool."""
    shapes = {size: Shape(f"c{size[0]}", size[0] * 1000, size[1]) for size in FLAVORS}
    node = Node(cpu_milli=CPUS * 1000, memory_mib=MEMORY_MIB)
    rows = [
        Instance(
            row["uuid"],
            shapes[row["vcpus"], row["memory"]],
            host=row["host"],
            state=State.RUNNING,
            cpu_used_milli=row["vcpus"] * 10 * row["cpu_percent"],
        )
        for row in drawn["instances"]
    ]
    hosts = [
        Host(each["name"], (node,), cpu_ratio=RATIO, cpu_used_milli=each["cpu_percent"] * CPUS * 10)
        for each in drawn["hosts"]
    ]
    return Pool.build(hosts, rows)


def watcher(python: Path, drawn: Document) -> Document:
    """Return what Watcher's strategies answer."""
    done = subprocess.run(
        [python, SCRIPT], input=json.dumps(drawn), stdout=subprocess.PIPE, text=True, check=True,
        stderr=subprocess.DEVNULL, timeout=600,
    )  # fmt: skip
    answers: Document = json.loads(done.stdout)
    for name, answer in answers.items():
        if "failed" in answer:
            print(f"  {name}: its audit fails: {answer['failed'][:90]}", file=sys.stderr)
    return answers


def replayed(pool: Pool, moves: Moves) -> Outcome:
    """Return what comes of moves."""
    draft, host, refused = Draft(pool), pool.instances.host.copy(), 0
    for instance, target in moves:
        row, to = pool.instance_row(instance), pool.host_row(target)
        if draft.assign(row, to):
            host[row] = to
        else:
            refused += 1
    count = len(pool.hosts)
    use = np.bincount(host, weights=pool.instances.cpu_used, minlength=count)
    load = use / pool.hosts.capacity[:, :, CPU].sum(axis=1)
    empty = int((np.bincount(host, minlength=count) == 0).sum())
    return Outcome(len(moves), empty, float(load.std()), float(load.max()), refused)


def planned(pool: Pool, name: str, knobs: Mapping[str, object]) -> Moves:
    """Return the migrations of a plan of Billow's, in their order."""
    policies = Policies(CAPABILITIES, {})
    proposal = policies.capability(name).propose(pool, policies.of(name, knobs))
    plan = compose(pool, [proposal], Limits(), Stamp("o6"))
    steps = [step.action for step in plan.steps]
    return [(each.instance, each.target) for each in steps if isinstance(each, Migrate)]


def _beside(drawn: Document, answers: Document) -> Iterator[Figure]:
    pool = pool_of(drawn)
    title = f"{len(pool.hosts)} hosts, {len(pool.instances)} servers"
    print(f"  {title}, now: {replayed(pool, ())}", file=sys.stderr)
    theirs = {name: answer["moves"] for name, answer in answers.items()}
    yield from _released(pool, title, theirs["vm_workload_consolidation"])
    for name, moves in theirs.items():
        if name.startswith("workload_stabilization"):
            yield from _even(pool, f"{title}: {name.partition(' ')[2]}", name, moves)


def _released(pool: Pool, title: str, theirs: Moves) -> Iterator[Figure]:
    """Compare hosts released and migrations: as many whole hosts as can be had, fewest moves."""
    whole = {"cpu_milli": int(CPUS * 1000 * RATIO), "memory_mib": MEMORY_MIB, "moves": 1000}
    ours, peer = replayed(pool, planned(pool, "defrag", whole)), replayed(pool, theirs)
    safe = replayed(pool, planned(pool, "power", {"spare_hosts": 0, "hysteresis_share": 0.0}))
    for who, each in (("billow defrag", ours), ("billow power", safe), ("watcher", peer)):
        print(f"  {title}, {who}: {each}", file=sys.stderr)
    name = "vm_workload_consolidation"
    yield Figure(f"{title}: hosts released", ours.empty, "hosts", peer.empty, Better.HIGHER,
                 Peer(name, peer.empty))  # fmt: skip
    yield Figure(f"{title}: migrations for that", ours.moves, "moves", peer.moves, Better.LOWER,
                 Peer(name, peer.moves))  # fmt: skip


def _even(pool: Pool, title: str, name: str, theirs: Moves) -> Iterator[Figure]:
    """Compare the standard deviation that is left, with no more migrations than the peer's."""
    plans = [planned(pool, "hotspot", _knobs(pool, hot))[: len(theirs)] for hot in HOT]
    ours = min((replayed(pool, plan) for plan in plans), key=lambda each: each.deviation)
    peer = replayed(pool, theirs)
    for who, each in (("billow hotspot", ours), (name, peer)):
        print(f"  {title}, {who}: {each}", file=sys.stderr)
    yield Figure(f"{title}: deviation left, no more moves", ours.deviation, "", peer.deviation,
                 Better.LOWER, Peer(name, peer.deviation))  # fmt: skip
    yield Figure(f"{title}: migrations for that", ours.moves, "moves", peer.moves, Better.LOWER,
                 Peer(name, peer.moves))  # fmt: skip


def _knobs(pool: Pool, hot: float) -> dict[str, object]:
    """Return a policy that evens loads: a host is hot at so many times the mean."""
    mean = float(pool.instances.cpu_used.sum() / pool.hosts.capacity[:, :, CPU].sum())
    shares = {"cpu_hot_share": min(hot * mean, 1.0), "cpu_target_share": min(COOL * mean, 0.99)}
    return {**shares, "worth_samples": 0.0, "cool_down_s": 0.0, "moves_per_host_day": 1000.0}
