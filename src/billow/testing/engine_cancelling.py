# SPDX-License-Identifier: Apache-2.0
"""The part of the engine contract about taking a move back half-way.

An engine that is no `Canceller` says so: its tests here are skipped.
"""

import asyncio
from dataclasses import replace

import pytest

from billow.errors import Conflict, NotFound, Refused
from billow.model.kinds import State
from billow.model.migration import CANCELLED
from billow.ports import Canceller, Engine, Trace
from billow.testing.stand import EngineStand, digest, do, homes, migrate, place

_ATTEMPTS = 8


class EngineCancelling:
    """Tests of moves that are taken back; part of `EngineContract`."""

    async def test_a_move_is_cancelled(self, engine: Engine, stand: EngineStand) -> None:
        """A move that is taken back leaves the instance running where it was, and no trace."""
        taking_back = _canceller(engine)
        await do(engine, place(stand, "x"))
        before = await digest(engine)
        moving = migrate(stand, "x")
        task = asyncio.create_task(do(engine, moving))
        await _begun(stand, engine, moving.id)
        try:
            await taking_back.cancel(moving.id)
        except Conflict:  # a small instance may have arrived first: told, and nothing else
            await task
            assert homes(await engine.sense()) == {"x": stand.second}
            return
        with pytest.raises(Refused) as refusal:
            await task
        assert refusal.value.code == CANCELLED
        pool = await engine.sense()
        assert pool.digest == before
        assert pool.instance("x").host == stand.first
        assert pool.instance("x").state is State.RUNNING
        assert await engine.find(moving.id) is Trace.FAILED
        again = replace(moving, id="migrate-again")
        await do(engine, again)
        assert homes(await engine.sense()) == {"x": stand.second}

    async def test_a_cancelled_move_stays_cancelled(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """All who follow a cancelled move hear of it, and so does who repeats its id later."""
        taking_back = _canceller(engine)
        await do(engine, place(stand, "x"))
        moving = migrate(stand, "x")
        for attempt in range(_ATTEMPTS):
            tasks = [asyncio.create_task(do(engine, moving)) for _ in range(2)]
            await _begun(stand, engine, moving.id)
            try:
                await taking_back.cancel(moving.id)
                break
            except Conflict:  # a small instance may have arrived first: then it is to go back
                await asyncio.gather(*tasks)
            source, target = moving.target, moving.source
            moving = replace(moving, id=f"migrate-{attempt}", source=source, target=target)
        else:
            pytest.fail("no move could be cancelled before its end")
        again = await stand.open()
        outcomes = await asyncio.gather(*tasks, do(again, moving), return_exceptions=True)
        assert [getattr(each, "code", each) for each in outcomes] == [CANCELLED] * 3
        assert await again.find(moving.id) is Trace.FAILED
        assert homes(await again.sense()) == {"x": moving.source}
        await again.aclose()

    async def test_what_is_not_under_way_is_not_cancelled(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """Before it began, after it ended, and for what never was, there is nothing to cancel."""
        taking_back = _canceller(engine)
        await do(engine, place(stand, "x"))
        moving = migrate(stand, "x")
        for action_id in (moving.id, "place-x", "never-seen", ""):
            with pytest.raises(NotFound):
                await taking_back.cancel(action_id)
        await do(engine, moving)
        with pytest.raises(NotFound):
            await taking_back.cancel(moving.id)
        assert homes(await engine.sense()) == {"x": stand.second}


def _canceller(engine: Engine) -> Canceller:
    """Return an engine as one that can take actions back; leave the test out when it cannot."""
    if not isinstance(engine, Canceller):
        pytest.skip(f"the engine {engine.name} is no Canceller: it takes nothing back")
    return engine


async def _begun(stand: EngineStand, engine: Engine, action_id: str) -> None:
    """Wait until an action is under way."""
    while await engine.find(action_id) is not Trace.RUNNING:
        await stand.clock.sleep(0.01)
