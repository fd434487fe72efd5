# SPDX-License-Identifier: Apache-2.0
"""Who makes others wait: what each instance takes beyond its part of a hot host, and from whom."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from billow.capabilities.hotspot.demand import Demand
from billow.capabilities.hotspot.heat import Heat
from billow.capabilities.hotspot.policy import HotspotPolicy
from billow.model.pool import Pool
from billow.model.resources import CPU

MOST_VICTIMS = 3


@dataclass(frozen=True, slots=True)
class Noisy:
    """One instance that is loud beside others.

    Attributes:
        used_share: Of its host's CPUs.
        beyond_milli: What it uses beyond the part of the host that it bought.
        victims: Rows of who waits for CPUs there, most first, with their share of time.
    """

    instance: int
    host: int
    used_share: float
    beyond_milli: float
    victims: tuple[tuple[int, float], ...]


def neighbours(pool: Pool, policy: HotspotPolicy, cpu: Demand, heat: Heat) -> list[Noisy]:
    """Return who is noisy, who makes others wait first, then by what it takes beyond its part."""
    ours = pool.instances
    waits = np.nan_to_num(ours.cpu_wait) > policy.wait_share
    hosts = set(np.flatnonzero(heat.now | heat.acting).tolist())
    hosts |= set(ours.host[waits & (ours.host >= 0)].tolist())
    found = [each for host in sorted(hosts) for each in _on(pool, policy, cpu, host)]
    return sorted(found, key=lambda each: (not each.victims, -each.beyond_milli, each.instance))


def _on(pool: Pool, policy: HotspotPolicy, cpu: Demand, host: int) -> Iterator[Noisy]:
    ours = pool.instances
    here = np.flatnonzero((ours.host == host) & cpu.seen)
    bought = pool.demand[ours.shape[here], CPU].astype(np.float64)
    there = float(cpu.capacity[host])
    part = bought * min(1.0, there / max(bought.sum(), 1.0))
    beyond = cpu.last[here] - part
    wait = np.nan_to_num(ours.cpu_wait[here])
    loud = (cpu.last[here] > policy.noisy_share * there) & (beyond > 0)
    if not loud.any() and (wait > policy.wait_share).any() and (beyond > 0).any():
        loud[int(beyond.argmax())] = True
    for place in np.flatnonzero(loud).tolist():
        others = [
            (int(here[other]), float(wait[other]))
            for other in np.argsort(-wait, kind="stable").tolist()
            if other != place and wait[other] > policy.wait_share
        ]
        yield Noisy(
            int(here[place]),
            host,
            float(cpu.last[here[place]] / max(there, 1.0)),
            float(beyond[place]),
            tuple(others[:MOST_VICTIMS]),
        )


def told(pool: Pool, noisy: Noisy) -> str:
    """Return what to say of a noisy neighbour, in one sentence."""
    host, beyond = pool.hosts.id[noisy.host], noisy.beyond_milli / 1000
    text = (
        f"takes {noisy.used_share:.0%} of {host}'s CPUs, {beyond:.1f} CPUs more than its part there"
    )
    waiting = [f"{pool.instances.id[row]} ({wait:.0%})" for row, wait in noisy.victims]
    return f"{text}; waiting for a CPU because of it: {', '.join(waiting)}" if waiting else text
