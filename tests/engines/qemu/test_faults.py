# SPDX-License-Identifier: Apache-2.0
"""A handful of moves with a fault in the middle: the guests themselves say that all is well.

`./dev bench migration_faults` strikes a hundred, in every way; here are some that are quick.
"""

import random

import pytest
from benchmarks.fault_drill import Drill, run
from benchmarks.fault_kinds import faults
from benchmarks.fault_pool import GUESTS, fault_pool

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]
STRUCK = (
    ("linux", "target killed", 0.8),
    ("linux", "network cut silently for 1 s", 0.5),
    ("keeper", "disk full at the target", 0.0),
    ("writer", "controller killed", 0.4),
    ("writer", "cancelled", 0.7),
    ("writer", "TLS: certificate unknown", 0.0),
    ("writer", "post-copy: target killed", 0.0),
)
"""A guest, what strikes its move, and how far the move must be."""


async def test_moves_that_are_struck_lose_and_double_nothing() -> None:
    known = {fault.name: fault for fault in faults()}
    async with fault_pool() as pool:
        for guest in GUESTS:
            await pool.boot(guest)
        for number, (guest, name, fraction) in enumerate(STRUCK):
            drill = Drill(
                number=number, fault=known[name], guest=guest, fraction=fraction, after_s=0.1
            )
            result = await run(pool, drill, random.Random(number))
            assert str(result.damage) == "", str(result)
            assert result.ended == known[name].ends, str(result)
