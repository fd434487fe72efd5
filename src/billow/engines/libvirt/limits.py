# SPDX-License-Identifier: Apache-2.0
"""Dirty limits of a machine's vCPUs, by QEMU's words that libvirt passes on.

libvirt has no call for them (up to 11.3), and takes none of them back: a limit lives in the
source's process and outlives a move that failed. So a record says that limits are there before the
first is set, and is removed after the last was taken back (`release`).
"""

import math
from collections.abc import Sequence
from typing import Final

from billow.engines.libvirt.records import LimitRecord, Records
from billow.engines.libvirt.wire import Api
from billow.engines.libvirt.words import Domain
from billow.plan.steering import held

WATCHED_MIB_S: Final = 2**30
"""A limit that no vCPU reaches: QEMU tells a vCPU's rate only while it has one."""
_MEASURED_S: Final = 1.0
_SURE_S: Final = 2.2


class Limits:
    """The limits of one machine's vCPUs, from `watch` on."""

    def __init__(self, records: Records, record: LimitRecord, api: Api, domain: Domain) -> None:
        self._records = records
        self._record = record
        self._api = api
        self._domain = domain
        self._since = math.inf

    async def watch(self, now: float) -> None:
        """Begin to count what each vCPU writes; nobody is slowed down. Raises Refused, Lost."""
        self._records.save_limit(self._record)
        await self._set({"dirty-rate": WATCHED_MIB_S})
        self._since = now

    async def rates(self, now: float) -> tuple[float, ...]:
        """Return what each vCPU writes, MiB/s; empty while that is not known."""
        if now - self._since < _MEASURED_S:
            return ()
        answer = await self._api.ask_qemu(self._domain, "query-vcpu-dirty-limit")
        rows = answer if isinstance(answer, list) else []
        found = {int(row["cpu-index"]): float(row["current-rate"]) for row in rows}
        rates = tuple(found.get(cpu, 0.0) for cpu in range(self._record.vcpus))
        return rates if any(rates) or now - self._since >= _SURE_S else ()

    async def hold(self, limits_mib_s: Sequence[float]) -> None:
        """Hold vCPUs to limits, and let go of those that have none. Raises Refused, Lost."""
        wanted = held(limits_mib_s)
        for cpu in range(self._record.vcpus):
            rate = max(1, round(wanted[cpu])) if cpu in wanted else WATCHED_MIB_S
            await self._set({"cpu-index": cpu, "dirty-rate": rate})

    async def _set(self, arguments: dict[str, object]) -> None:
        await self._api.ask_qemu(self._domain, "set-vcpu-dirty-limit", arguments)


async def release(records: Records, uuid: str, api: Api, domain: Domain | None) -> None:
    """Take a machine's limits back, if there may be some. Repeatable. Raises Refused, Lost.

    Args:
        records: Where it is written down.
        uuid: The machine's.
        api: A connection to the host that limits were set on.
        domain: The machine there; None when its process is gone, and the limits with it.
    """
    if not any(each.uuid == uuid for each in records.limits()):
        return
    if domain is not None and domain.number >= 0:
        await api.ask_qemu(domain, "cancel-vcpu-dirty-limit")
    records.forget_limit(uuid)
