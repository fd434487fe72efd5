# SPDX-License-Identifier: Apache-2.0
"""A controller dies before or after any step of an incident; the next one brings it to its end."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from billow.model.ha.incident import Fate, Phase
from billow.model.ha.step import IncidentStep
from billow.store.store import Store
from billow.testing.pools import pool
from tests.act.control import Died, Lab
from tests.ha.stand import Fleet, Stand, responding

pytestmark = pytest.mark.anyio
POOL = "6 hosts x 64GiB 16c; a: 4 vms x 4GiB 2c on=h1"
MOST_STEPS = 20


class MortalBooks:
    """Books that take their controller with them before or after its n-th step (from 1)."""

    def __init__(self, store: Store, at: int, *, after: bool) -> None:
        self._store = store
        self._at = at
        self._after = after
        self._steps = count(1)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - it stands in for a whole protocol
        return getattr(self._store, name)

    async def open_incident(self, step: IncidentStep) -> None:
        await self._write(self._store.open_incident, step)

    async def advance_incident(self, step: IncidentStep) -> None:
        await self._write(self._store.advance_incident, step)

    async def _write(self, write: Any, step: IncidentStep) -> None:  # noqa: ANN401 - one of two
        number = next(self._steps)
        if number == self._at and not self._after:
            raise Died
        await write(step)
        if number == self._at:
            raise Died


async def _killed_at(lab: Lab, fleet: Fleet, at: int, *, after: bool) -> bool:
    """Let a controller die at a step; return whether it came so far."""
    first = await lab.controller()
    books = MortalBooks(lab.store, at, after=after)
    died = False
    async with responding(fleet, lab, first, books=books) as responder:
        held = Stand(fleet, lab, first, responder)
        await held.until(lambda: True)
        fleet.die("h1")
        try:
            await held.until_phase("h1", Phase.QUARANTINE)
        except Died:
            died = True
    await lab.bury(first)
    return died


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whoever_dies_at_any_step_is_followed(tmp_path: Path, *, after: bool) -> None:
    ends: Sequence[bool] = []
    for at in range(1, MOST_STEPS):
        folder = tmp_path / str(at)
        folder.mkdir()
        async with Lab(pool(POOL), folder) as lab:
            fleet = Fleet(lab.sim)
            died = await _killed_at(lab, fleet, at, after=after)
            ends = [*ends, died]
            if not died:
                break
            second = await lab.controller()
            async with responding(fleet, lab, second) as responder:
                held = Stand(fleet, lab, second, responder)
                incident = await held.until_phase("h1", Phase.QUARANTINE)
                assert {each.fate for each in incident.victims} == {Fate.STARTED}
                assert all(host != "h1" for host in held.homes().values())
                await held.until(lambda: bool(lab.pool().host("h1").cordon))
            await second.loop.aclose()
    assert ends.count(True) >= 5
    assert not ends[-1]
