# SPDX-License-Identifier: Apache-2.0
"""What happens to a pool while its plan is made: instances leave and come at the rate of a trace.

The rate is that of the Azure 2017 trace (CC-BY-4.0, Microsoft; Cortez et al., SOSP 2017; processed
by Bergsma et al., SOSP 2021): arrivals per second and running instance.
"""

import csv
import gzip
from dataclasses import replace
from pathlib import Path
from random import Random

from billow.model.instance import Instance, nodes_of
from billow.model.pool import Pool
from billow.plan.draft import Draft
from billow.plan.suit import node_mask


def arrivals_per_second_and_instance(path: Path) -> float:
    """Return the rate of a trace: arrivals over the sum of all lifetimes (middle of their bins)."""
    arrivals, instance_seconds = 0, 0.0
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    end = max(float(row["arrival_s"]) for row in rows)
    for row in rows:
        lifetime = (float(row["dur_lo_s"]) + float(row["dur_hi_s"])) / 2
        if row["censored"] == "1":
            lifetime = end - float(row["arrival_s"])
        arrivals += 1
        instance_seconds += min(lifetime, end - float(row["arrival_s"]))
    return arrivals / instance_seconds


def churned(pool: Pool, rate: float, seconds: float, seed: int) -> tuple[Pool, int]:
    """Return the pool after some time, and how many instances came and as many left.

    New ones are as those that are there, and go to any host that has room.
    """
    random = Random(seed)
    count = max(1, round(len(pool.instances) * rate * seconds))
    views = list(pool.instance_views())
    gone = {each.id for each in random.sample(views, count)}
    stay = [each for each in views if each.id not in gone]
    fresh = [
        replace(random.choice(views), id=f"new_{seed}_{number}", immovable="")
        for number in range(count)
    ]
    return _with(pool, stay, fresh, random), count


def _with(pool: Pool, stay: list[Instance], fresh: list[Instance], random: Random) -> Pool:
    parts = {"groups": pool.groups, "facts": pool.facts, "shapes": pool.shapes}
    requested = [replace(each, host="", nodes=()) for each in fresh]
    grown = Pool.build(pool.host_views(), [*stay, *requested], **parts)  # type: ignore[arg-type]
    draft = Draft(grown)
    for each in requested:
        row = grown.instance_row(each.id)
        for host in random.sample(range(len(grown.hosts)), len(grown.hosts)):
            mask = node_mask(draft, row, host)
            if mask is not None and draft.assign(row, host, mask):
                break
    placed = [
        replace(
            each,
            host=grown.hosts.id[host],
            nodes=nodes_of(mask),
        )
        for each in requested
        for host, mask in [draft.where(grown.instance_row(each.id))]
        if host >= 0
    ]
    return Pool.build(pool.host_views(), [*stay, *placed], **parts)  # type: ignore[arg-type]
