# SPDX-License-Identifier: Apache-2.0
"""What both ends of a move can do, asked of the two processes: versions promise nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.engines.qemu.monitor import Monitor, talk
from billow.errors import Refused
from billow.plan.steering import Abilities

OURS: Final = (
    *("events", "auto-converge", "dirty-limit", "postcopy-ram", "multifd"),
    *("pause-before-switchover", "switchover-ack", "xbzrle"),
)
"""Every capability that Billow ever sets. A process keeps them from one move to the next."""


@dataclass(frozen=True, slots=True)
class Ends:
    """What two processes know.

    Attributes:
        capabilities: Names of migration capabilities that both know.
        parameters: Names of migration parameters that both know.
        steering: What follows for how a move can be steered.
    """

    capabilities: frozenset[str]
    parameters: frozenset[str]
    steering: Abilities


async def abilities(source: Monitor, target: Monitor, *, ring: bool) -> Ends:
    """Ask both ends. `ring` says whether the guest has KVM's dirty ring. Raises Refused, Lost."""
    ends = (source, target)
    capabilities = frozenset.intersection(*[await _capabilities(each) for each in ends])
    parameters = [await each.mapping("query-migrate-parameters") for each in ends]
    post_copy = "postcopy-ram" in capabilities and await _takes(target, "postcopy-ram")
    return Ends(
        capabilities,
        frozenset(parameters[0]) & frozenset(parameters[1]),
        Abilities(
            limits=ring and await knows(source, "set-vcpu-dirty-limit"),
            own_limit=ring and "dirty-limit" in capabilities,
            auto_converge="auto-converge" in capabilities,
            post_copy=post_copy,
            deltas="xbzrle" in capabilities,
        ),
    )


async def of_source(line: Path, *, ring: bool) -> Abilities:
    """Ask only the end that is there; nothing is switched. Raises Unavailable, Refused, Lost."""
    async with talk(line) as source:
        capabilities = await _capabilities(source)
        return Abilities(
            limits=ring and await knows(source, "set-vcpu-dirty-limit"),
            own_limit=ring and "dirty-limit" in capabilities,
            auto_converge="auto-converge" in capabilities,
            post_copy="postcopy-ram" in capabilities,
            deltas="xbzrle" in capabilities,
        )


async def switch(monitor: Monitor, wanted: Collection[str], known: Collection[str]) -> None:
    """Switch capabilities on, and off those that an earlier move left on. Raises Refused, Lost."""
    names = [name for name in OURS if name in known]
    states = [{"capability": name, "state": name in wanted} for name in names]
    await monitor.execute("migrate-set-capabilities", {"capabilities": states})


async def _takes(monitor: Monitor, capability: str) -> bool:
    """Return whether a capability can be switched on; the machine may not allow what is known."""
    for state in (True, False):
        states = [{"capability": capability, "state": state}]
        try:
            await monitor.execute("migrate-set-capabilities", {"capabilities": states})
        except Refused:
            return False
    return True


async def _capabilities(monitor: Monitor) -> frozenset[str]:
    return await _named(monitor, "query-migrate-capabilities", "capability")


async def knows(monitor: Monitor, command: str) -> bool:
    """Return whether a process knows a QMP command. Raises Refused, Lost."""
    return command in await _named(monitor, "query-commands", "name")


async def _named(monitor: Monitor, question: str, key: str) -> frozenset[str]:
    answer = await monitor.execute(question)
    rows = answer if isinstance(answer, list) else []
    return frozenset(str(row.get(key)) for row in rows if isinstance(row, dict))
