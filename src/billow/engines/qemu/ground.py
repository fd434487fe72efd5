# SPDX-License-Identifier: Apache-2.0
"""What every operation stands on: records, findings, network, groups, turns."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from billow.act.terms import Terms
from billow.engines.qemu.groups import Groups
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.network import Network
from billow.engines.qemu.probe import Findings

STARTS_AT_ONCE: Final = 4
MOVES_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Ground:
    """The ground under one pool.

    Attributes:
        cpu_model: The CPU that guests under KVM see from now on; empty for the host's own.
        starts, moves: Turns, so that a hundred at once do not starve each other.
    """

    ledger: Ledger
    findings: Findings
    network: Network
    groups: Groups
    terms: Terms = field(default_factory=Terms)
    cpu_model: str = ""
    starts: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(STARTS_AT_ONCE))
    moves: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOVES_AT_ONCE))
