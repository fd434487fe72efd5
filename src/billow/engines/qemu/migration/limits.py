# SPDX-License-Identifier: Apache-2.0
"""Dirty limits of a guest's vCPUs: written down, set, watched, and taken back.

A limit lives in the source's process and outlives a move that failed, and its controller. So a file
beside the process says that limits are there before the first is set, and is removed after the last
was taken back; whoever settles an instance finds it (`release`). The file need not survive a power
cut: the process does not either.
"""

import math
from collections.abc import Sequence
from typing import Final

from billow.act.durable import write
from billow.engines.qemu.folder import Residence
from billow.engines.qemu.monitor import Monitor
from billow.plan.steering import held

WATCHED_MIB_S: Final = 2**30
"""A limit that no vCPU reaches: QEMU tells a vCPU's rate only while it has one."""
_MEASURED_S: Final = 1.0
"""QEMU counts for so long before it tells."""
_SURE_S: Final = 2.2
"""A rate of nothing is believed only after so long."""


class Limits:
    """The limits of one guest's vCPUs, from `watch` on."""

    def __init__(self, residence: Residence, monitor: Monitor, cpus: int) -> None:
        self._residence = residence
        self._monitor = monitor
        self._cpus = cpus
        self._since = math.inf

    async def watch(self, now: float) -> None:
        """Begin to count what each vCPU writes; nobody is slowed down. Raises Refused, Lost."""
        write(self._residence.limits, b"", durable=False)
        await self._monitor.execute("set-vcpu-dirty-limit", {"dirty-rate": WATCHED_MIB_S})
        self._since = now

    async def rates(self, now: float) -> tuple[float, ...]:
        """Return what each vCPU writes, MiB/s; empty while that is not known."""
        if now - self._since < _MEASURED_S:
            return ()
        found = await limited(self._monitor)
        rates = tuple(found.get(cpu, (0.0, 0.0))[1] for cpu in range(self._cpus))
        return rates if any(rates) or now - self._since >= _SURE_S else ()

    async def hold(self, limits_mib_s: Sequence[float]) -> None:
        """Hold vCPUs to limits, and let go of those that have none. Raises Refused, Lost."""
        wanted = held(limits_mib_s)
        for cpu in range(self._cpus):
            rate = max(1, round(wanted[cpu])) if cpu in wanted else WATCHED_MIB_S
            arguments = {"cpu-index": cpu, "dirty-rate": rate}
            await self._monitor.execute("set-vcpu-dirty-limit", arguments)


async def limited(monitor: Monitor) -> dict[int, tuple[float, float]]:
    """Return the limit and the rate of each vCPU that has a limit, MiB/s. Raises Refused, Lost."""
    answer = await monitor.execute("query-vcpu-dirty-limit")
    rows = answer if isinstance(answer, list) else []
    return {
        int(row["cpu-index"]): (float(row["limit-rate"]), float(row["current-rate"]))
        for row in rows
    }


async def release(residence: Residence, monitor: Monitor) -> None:
    """Take all limits back, if there may be some. Repeatable. Raises Refused, Lost."""
    if residence.limits.exists():
        await monitor.execute("cancel-vcpu-dirty-limit")
        residence.limits.unlink(missing_ok=True)
