# SPDX-License-Identifier: Apache-2.0
"""A handful of moves with a fault in the middle: the guests themselves say that all is well.

`./dev bench migration_faults` strikes a hundred, in every way; here are some that are quick.
"""

import asyncio
import random

import pytest
from benchmarks.fault_drill import Drill, run
from benchmarks.fault_kinds import Fault, faults
from benchmarks.fault_pool import KEEPER, WRITER, fault_pool

from billow.engines.qemu.migration import move
from billow.engines.qemu.monitor import talk

pytestmark = [pytest.mark.qemu, pytest.mark.thorough, pytest.mark.anyio]
STRUCK = (
    (KEEPER, "target killed", 0.8),
    (KEEPER, "network cut silently for 1 s", 0.3),
    (WRITER, "while held: controller killed", 0.0),
    (WRITER, "post-copy: target killed", 0.0),
)
"""A guest, what strikes its move, and how far the move must be."""


async def test_moves_that_are_struck_lose_and_double_nothing() -> None:
    known = {fault.name: fault for fault in faults()}
    async with fault_pool() as pool:
        for guest in (KEEPER, WRITER):
            await pool.boot(guest)
        for number, (guest, name, fraction) in enumerate(STRUCK):
            drill = Drill(
                number=number, fault=known[name], guest=guest, fraction=fraction, after_s=0.1
            )
            result = await run(pool, drill, random.Random(number))
            assert str(result.damage) == "", str(result)
            assert result.ended == known[name].ends, str(result)


async def test_a_source_that_runs_on_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that does not end the source, and lets its guest run, is found out."""

    async def forget(*_: object) -> None: ...

    monkeypatch.setattr(move, "leave", forget)
    async with fault_pool() as pool:
        await pool.boot(WRITER)
        source = pool.home(WRITER)
        drill = Drill(number=1, fault=Fault(name="none"), guest=WRITER, fraction=0.0, after_s=0.0)
        await run(pool, drill, random.Random(1))
        async with talk(pool.residence(source, WRITER).socket) as monitor:
            await monitor.execute("cont")
        await asyncio.sleep(1.0)
        damage = await pool.look(WRITER)
    assert damage.doubled
    assert any("process" in text for text in damage.left)
