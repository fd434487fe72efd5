# SPDX-License-Identifier: Apache-2.0
"""Ratios follow the risk: each class of hosts sells as much as its instances' real use allows.

This is the capability's face. How much is safe is in `solve.py`, which hosts are alike in
`classes.py`. It never takes away what is reserved: a host that should sell less than that keeps
what it has sold, and hotspot or defrag make room. Pure: no I/O, no clock, no dice.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from billow.capabilities.overcommit.classes import Class, classes, homes_of_dedicated
from billow.capabilities.overcommit.policy import OvercommitPolicy
from billow.capabilities.overcommit.report import reported
from billow.model.action import Allot
from billow.model.plan import Finding, Proposal, Rejection, Severity
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report
from billow.model.resources import CPU, MEMORY, FloatArray

NAME: Final = "overcommit"
FINE = 10_000
"""Ratios that keep what is reserved are rounded up to one part of so many."""
SAME = 1e-6


class Overcommit:
    """The capability: raises and lowers what hosts sell per physical unit."""

    name = NAME
    policy: type[Policy] = OvercommitPolicy

    def propose(self, pool: Pool, policy: OvercommitPolicy, /) -> Proposal:
        """Return one `Allot` for each host whose ratios should change.

        Linear in instances times samples.
        """
        found = classes(pool, policy)
        ratios = _Ratios(pool, found)
        return Proposal(
            NAME,
            tuple(ratios.actions()),
            findings=tuple(_findings(found, policy)),
            rejections=tuple(ratios.rejections()),
            gain=ratios.gain(),
        )

    def report(self, pool: Pool, policy: OvercommitPolicy, /) -> Report:
        """Return ratios, risk and what can be sold by class, and whether the guarantee is kept."""
        return reported(pool, policy, classes(pool, policy))


class _Ratios:
    """The ratios that every host should have and can have."""

    def __init__(self, pool: Pool, found: list[Class]) -> None:
        self._pool = pool
        self._why = [""] * len(pool.hosts)
        hosts = pool.hosts
        self._cpu_wish, self._memory_wish = hosts.cpu_ratio.copy(), hosts.memory_ratio.copy()
        for each in found:
            _follow(self._cpu_wish, each, each.cpu.wanted, each.cpu.now)
            _follow(self._memory_wish, each, each.memory.wanted, each.memory.now)
            for row in np.flatnonzero(each.members).tolist():
                self._why[row] = _because(each)
        alone = homes_of_dedicated(pool)
        self._cpu_wish[alone] = np.minimum(self._cpu_wish[alone], 1.0)
        self._cpu = _kept(self._cpu_wish, hosts.cpu_ratio, _least(pool, CPU))
        self._memory = _kept(self._memory_wish, hosts.memory_ratio, _least(pool, MEMORY))

    def actions(self) -> Iterator[Allot]:
        """Yield one action for each host that changes."""
        hosts = self._pool.hosts
        changed = np.abs(self._cpu - hosts.cpu_ratio) > SAME
        changed |= np.abs(self._memory - hosts.memory_ratio) > SAME
        for row in np.flatnonzero(changed).tolist():
            yield Allot(
                host=hosts.id[row],
                cpu_ratio=float(self._cpu[row]),
                memory_ratio=float(self._memory[row]),
                was_cpu_ratio=float(hosts.cpu_ratio[row]),
                was_memory_ratio=float(hosts.memory_ratio[row]),
                reason=self._why[row] or "CPUs of an instance's own are never sold twice",
            )

    def rejections(self) -> Iterator[Rejection]:
        """Yield the hosts that have sold more than they should."""
        pairs = (("CPU", self._cpu, self._cpu_wish), ("memory", self._memory, self._memory_wish))
        for what, given, wish in pairs:
            for row in np.flatnonzero(given > wish + SAME).tolist():
                yield Rejection(
                    f"host/{self._pool.hosts.id[row]}",
                    f"should sell {wish[row]:.2f} of its {what}, and has sold {given[row]:.2f}",
                    (),
                    "let hotspot or defrag move instances away; the next plan lowers it further",
                )

    def gain(self) -> dict[str, float]:
        """Return what can be sold more."""
        hosts = self._pool.hosts
        there = hosts.capacity.sum(axis=1)
        cpus = ((self._cpu - hosts.cpu_ratio) * there[:, CPU]).sum() / 1000
        mib = ((self._memory - hosts.memory_ratio) * there[:, MEMORY]).sum()
        return {"sellable_cpus": round(float(cpus), 3), "sellable_memory_mib": float(round(mib))}


def _follow(wish: FloatArray, found: Class, wanted: float, now: float) -> None:
    if wanted != now:
        wish[found.members] = wanted


def _least(pool: Pool, resource: int) -> FloatArray:
    """Return the ratio that each host needs for what it has sold, per NUMA node too, rounded up."""
    there = pool.hosts.capacity[:, :, resource]
    total = pool.reserved[:, resource] / np.maximum(there.sum(axis=1), 1)
    nodes = (pool.reserved_nodes[:, :, resource] / np.maximum(there, 1)).max(axis=1, initial=0.0)
    least: FloatArray = np.ceil(np.maximum(total, nodes) * FINE + 1) / FINE
    least[np.maximum(total, nodes) <= 0] = 0.0
    return least


def _kept(wish: FloatArray, now: FloatArray, least: FloatArray) -> FloatArray:
    """Return the wish, but never less than what is sold unless it was less before."""
    lowered = np.minimum(np.maximum(wish, least), now)
    kept: FloatArray = np.where(wish >= now, wish, lowered)
    return kept


def _because(found: Class) -> str:
    parts = [
        f"{what}: {each.why}"
        for what, each in (("CPU", found.cpu), ("memory", found.memory))
        if each.wanted != each.now
    ]
    return f"{found.name}: {'; '.join(parts)}" if parts else ""


def _findings(found: list[Class], policy: OvercommitPolicy) -> Iterator[Finding]:
    for each in found:
        for what, one in (("CPU", each.cpu), ("memory", each.memory)):
            measured = one.odds.over if one.odds else 0.0
            risky = measured > policy.risk * policy.lower_at
            text = f"{each.name}: {what} sold {one.now:.2f} times, {one.safe:.2f} safe: {one.why}"
            if risky:
                text += f"; {measured:.2%} of what was measured lies over {policy.limit_share:.0%}"
            severity = Severity.WARNING if risky else Severity.INFO
            yield Finding("pool", severity, text)
