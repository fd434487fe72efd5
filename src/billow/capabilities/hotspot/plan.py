# SPDX-License-Identifier: Apache-2.0
"""Hot hosts become moves: each hot host named with why, and cooled, or a reason why it cannot be.

This is the capability's face. What instances will want is in `demand.py`, who is hot in `heat.py`,
what moves in `solve.py`, who is noisy in `noisy.py`. Pure: no I/O, no clock, no dice.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from billow.capabilities.hotspot.heat import Heat
from billow.capabilities.hotspot.noisy import told
from billow.capabilities.hotspot.policy import HotspotPolicy
from billow.capabilities.hotspot.report import reported
from billow.capabilities.hotspot.solve import Cooler, Cooling, Move
from billow.model.action import Migrate
from billow.model.instance import nodes_of
from billow.model.plan import Finding, Proposal, Rejection, Severity
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report

NAME: Final = "hotspot"
HALF: Final = 0.5
"""Below this use CPUs are not worth a word on a host that is short of memory."""


class Hotspot:
    """The capability: cools hosts that real use makes too hot."""

    name = NAME
    policy: type[Policy] = HotspotPolicy

    def propose(self, pool: Pool, policy: HotspotPolicy, /) -> Proposal:
        """Return the fewest and cheapest moves found that bring each hot host under its targets.

        Linear in instances times window, and for each move in hosts times window.
        """
        cooler = Cooler(pool, policy)
        cooling = cooler.run()
        return Proposal(
            NAME,
            tuple(_action(pool, move, cooler.heat) for move in cooling.moves),
            findings=(*_hot(pool, cooler.heat), *_noisy(pool, cooler)),
            rejections=tuple(_stuck(pool, policy, cooler, cooling)),
            gain={
                "hosts_hot_now": float(cooler.heat.now.sum()),
                "hosts_cooled": float(int(cooler.heat.acting.sum()) - len(cooling.stuck)),
                "hosts_still_hot": float(len(cooling.stuck)),
            },
        )

    def report(self, pool: Pool, policy: HotspotPolicy, /) -> Report:
        """Return who is hot now and by forecast, who is noisy, and what was over capacity."""
        return reported(pool, policy)


def _action(pool: Pool, move: Move, heat: Heat) -> Migrate:
    source = pool.hosts.id[move.source]
    reason = (
        f"{source} is hot: {why(heat, move.source)}; its forecast goes from "
        f"{move.before:.0%} to {move.after:.0%}"
    )
    return Migrate(
        instance=pool.instances.id[move.instance],
        source=source,
        target=pool.hosts.id[move.target],
        source_nodes=nodes_of(move.source_nodes),
        target_nodes=nodes_of(move.target_nodes),
        reason=reason,
    )


def why(heat: Heat, host: int) -> str:
    """Return by which signs a host (row) is hot, in one clause."""
    said = []
    held = bool(heat.memory_hot[host] or heat.signs.memory[host])
    if not held or heat.cpu_ahead[host] > HALF:
        if not np.isnan(heat.cpu_share[host]):
            said.append(f"{heat.cpu_share[host]:.0%} of its CPUs in use")
        said.append(f"{heat.cpu_ahead[host]:.0%} of its CPUs wanted by forecast")
        said.append(f"a chance of {heat.risk[host]:.1%} that they do not suffice")
    if held:
        said.append(f"{heat.memory_ahead[host]:.0%} of its memory wanted")
    said += [text for sign, text in _SIGNS if getattr(heat.signs, sign)[host]]
    return ", ".join(said)


_SIGNS = (
    ("cpu", "processes wait for its CPUs"),
    ("memory", "it swaps, balloons or waits for memory"),
)


def _hot(pool: Pool, heat: Heat) -> Iterator[Finding]:
    hot = np.flatnonzero(heat.now | heat.acting)
    for host in hot[np.argsort(-heat.risk[hot], kind="stable")].tolist():
        acting = bool(heat.acting[host])
        tail = "" if acting else "; the forecast says that it passes"
        severity = Severity.WARNING if acting else Severity.INFO
        yield Finding(f"host/{pool.hosts.id[host]}", severity, f"hot: {why(heat, host)}{tail}")


def _noisy(pool: Pool, cooler: Cooler) -> Iterator[Finding]:
    for each in cooler.noisy:
        severity = Severity.WARNING if each.victims else Severity.INFO
        yield Finding(f"instance/{pool.instances.id[each.instance]}", severity, told(pool, each))


def _stuck(
    pool: Pool, policy: HotspotPolicy, cooler: Cooler, cooling: Cooling
) -> Iterator[Rejection]:
    for host, causes in sorted(cooling.stuck.items()):
        yield Rejection(
            f"host/{pool.hosts.id[host]}",
            f"stays hot: {cooler.left(host)}",
            tuple(causes),
            _fix(pool, policy, cooling),
        )


def _fix(pool: Pool, policy: HotspotPolicy, cooling: Cooling) -> str:
    if cooling.out_of_budget:
        return f"raise moves_per_host_day above {policy.moves_per_host_day:g}"
    off = int((~pool.hosts.schedulable).sum())
    if off:
        return f"bring back some of the {off} hosts that take nothing now, or add a host"
    return "add a host, lower what hosts sell (overcommit), or throttle who is noisy"
