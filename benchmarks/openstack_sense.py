# SPDX-License-Identifier: Apache-2.0
"""OpenStack, O2: a whole look at a cloud, and increments, beside openstacksdk's walk of servers.

The peer reads servers only, page by page, as `conn.compute.servers(all_projects=True)` does; ours
reads hosts, capacity, traits, flavors, groups and images, too. Both have their token before.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labs.openstack import Lab

from benchmarks.figure import Figure, Peer
from billow.act.clock import SystemClock
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.read.servers import OVERLAP
from billow.engines.openstack.sight import Sight
from billow.settings import Settings

WALK_FACTOR: Final = 1.5
INCREMENT_SHARE: Final = 0.1
PREFIX: Final = "bench-"
FLAVORS: Final = ("1c1g", "2c4g", "4c8g")
CHANGED: Final = 20


@dataclass(frozen=True)
class Round:
    """What one round took, seconds, and how many calls ours sent."""

    walk_s: float
    look_s: float
    idle_s: float
    changed_s: float
    calls: tuple[int, int, int]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take how large the cloud is. `BILLOW_OPENSTACK_LAB` names the lab's folder."""
    parser.add_argument("--computes", type=int, default=200)
    parser.add_argument("--servers", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Yield the medians of some rounds, all parts of a round one after the other."""
    root = os.environ.get("BILLOW_OPENSTACK_LAB")
    with Lab.started(Path(root) if root else None, arguments.computes) as lab:
        os.environ.update(lab.environment)
        _fill(lab, arguments.servers)
        found = [asyncio.run(_round(lab)) for _ in range(arguments.rounds)]
        size = f"{len(lab.hosts)} computes, {len(lab.seeding.named())} servers"
    walk_s = statistics.median(each.walk_s for each in found)
    peer = Peer("openstacksdk's walk of servers alone", walk_s)
    first, idle, changed = (f"{n} calls" for n in found[-1].calls)
    for what, took, goal in (
        (f"whole look, {size} ({first})", "look_s", WALK_FACTOR),
        (f"increment, nothing new ({idle})", "idle_s", INCREMENT_SHARE),
        (f"increment, {CHANGED} servers changed ({changed})", "changed_s", INCREMENT_SHARE),
    ):
        seconds = statistics.median(getattr(each, took) for each in found)
        yield Figure(f"{what}, median", seconds, "s", goal=goal * walk_s, peer=peer)
        yield Figure(f"{what}, share of the walk", seconds / walk_s, "times", goal=goal)


def _fill(lab: Lab, servers: int) -> None:
    """Have so many servers at least, and wait until they are no news any more."""
    have = len(lab.seeding.named())
    if have < servers:
        lab.seeding.spread(PREFIX, servers - have, FLAVORS)
    report_s, _ = lab.places.sizes.rhythm(len(lab.hosts))
    time.sleep(OVERLAP.total_seconds() + report_s + 5.0 if have < servers else 0.0)


async def _round(lab: Lab) -> Round:
    settings = Settings(engine="openstack", cloud=os.environ["OS_CLOUD"])
    cloud = Cloud.of(settings)
    try:
        await cloud.get("compute", "/flavors?limit=1")
        await cloud.get("placement", "/resource_providers?name=none")
        sight = Sight(cloud, SystemClock())
        walk_s = await asyncio.to_thread(_walked, len(lab.seeding.named()))
        took, calls = [], []
        for changes in (0, 0, CHANGED):
            if changes:
                await asyncio.to_thread(_changed, lab, changes)
            before, begun = cloud.calls, time.perf_counter()
            pool = await sight.look()
            took.append(time.perf_counter() - begun)
            calls.append(cloud.calls - before)
            assert len(pool.hosts) == len(lab.hosts)
            assert len(pool.instances) == len(lab.seeding.named())
    finally:
        await cloud.aclose()
    return Round(walk_s, took[0], took[1], took[2], (calls[0], calls[1], calls[2]))


def _walked(expected: int) -> float:
    """Walk all servers by openstacksdk; return the seconds."""
    import openstack

    connection = openstack.connect(cloud=os.environ["OS_CLOUD"])
    connection.authorize()
    begun = time.perf_counter()
    found = sum(1 for _ in connection.compute.servers(details=True, all_projects=True))
    took_s = time.perf_counter() - begun
    connection.close()
    assert found == expected
    return took_s


def _changed(lab: Lab, count: int) -> None:
    """Lock some servers and unlock them: what Nova writes down is news of each."""
    for server in list(lab.seeding.named())[:count]:
        for verb in ("lock", "unlock"):
            lab.client.ask("POST", "compute", f"/servers/{server}/action", {verb: None})
