# SPDX-License-Identifier: Apache-2.0
"""What guests say of their own memory, by the driver of their balloon. Changes no guest.

Only a guest with the driver says anything: the firmware guest has none. QEMU talks to one client at
a time, so one that is busy with somebody else is asked at the next look.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from billow.engines.qemu.command import BALLOON
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.monitor import Monitor, talk
from billow.engines.qemu.process import process_id
from billow.errors import BillowError

ASK_EVERY_S: Final = 2
"""How often a guest tells QEMU, and QEMU is asked."""
_GREETING_S: Final = 0.5
_AT_ONCE: Final = 8
_PATH: Final = f"/machine/peripheral/{BALLOON}"
_UNKNOWN: Final = 2**63
"""The driver's word for a figure that its kernel does not have is larger than any amount."""
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class GuestMemory:
    """What a guest says of its memory, MiB.

    Attributes:
        total: What its kernel has.
        available: What it could give to programs without swapping.
        ballooned: What it gave back to its host for now.
    """

    total: float
    available: float
    ballooned: float


@dataclass(slots=True)
class _Asked:
    process: int
    at_s: float
    listens: bool = False
    memory: GuestMemory | None = None


@dataclass(slots=True)
class Balloons:
    """Asks the guests of one pool, and remembers what they said."""

    ledger: Ledger
    _asked: dict[str, _Asked] = field(default_factory=dict)

    def memory(self, name: str) -> GuestMemory | None:
        """Return what a guest last said; None when it never said anything."""
        asked = self._asked.get(name)
        return asked.memory if asked else None

    async def ask(self, busy: Collection[str]) -> None:
        """Ask every guest that was not asked lately; those that are busy are left alone."""
        survey = self.ledger.survey()
        turns = asyncio.Semaphore(_AT_ONCE)
        asking = []
        for name, record in survey.records.items():
            hosts = survey.residents.get(name, {})
            if record and record.machine.balloon and len(hosts) == 1 and name not in busy:
                asking.append(self._ask(name, next(iter(hosts)), record.machine.memory_mib, turns))
        self._asked = {name: self._asked[name] for name in self._asked.keys() & set(survey.records)}
        await asyncio.gather(*asking)

    async def _ask(self, name: str, host: str, memory_mib: int, turns: asyncio.Semaphore) -> None:
        residence, now = self.ledger.folder.residence(host, name), time.monotonic()
        process, asked = process_id(residence), self._asked.get(name)
        if process is None:
            self._asked.pop(name, None)
            return
        if asked is None or asked.process != process:
            asked = self._asked[name] = _Asked(process, -math.inf)
        if now - asked.at_s < ASK_EVERY_S:
            return
        asked.at_s = now
        with contextlib.suppress(BillowError):
            async with turns, talk(residence.socket, timeout_s=_GREETING_S) as monitor:
                if not asked.listens:
                    await _listen(monitor)
                    asked.listens = True
                asked.memory = await _said(monitor, memory_mib)


async def _listen(monitor: Monitor) -> None:
    """Let QEMU ask the guest from now on."""
    wish = {"path": _PATH, "property": "guest-stats-polling-interval", "value": ASK_EVERY_S}
    await monitor.execute("qom-set", wish)


async def _said(monitor: Monitor, memory_mib: int) -> GuestMemory | None:
    """Return what the guest told QEMU; None when it has not yet."""
    answer = await monitor.mapping("qom-get", {"path": _PATH, "property": "guest-stats"})
    stats = answer.get("stats")
    if not answer.get("last-update") or not isinstance(stats, dict):
        return None
    total, available = (int(stats.get(f"stat-{n}-memory", 0)) for n in ("total", "available"))
    if not 0 < total < _UNKNOWN or not 0 <= available < _UNKNOWN:
        return None
    left = (await monitor.mapping("query-balloon"))["actual"]
    ballooned = memory_mib - int(str(left)) / _MIB
    return GuestMemory(total / _MIB, available / _MIB, max(0.0, ballooned))
