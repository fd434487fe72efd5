# SPDX-License-Identifier: Apache-2.0
"""The part of the engine contract about evacuation: never twice, never by an older try.

An engine that does not claim the verb has nothing to prove here.
"""

import asyncio
from dataclasses import replace

import pytest

from billow.act.premise import unmet
from billow.errors import BillowError, Leased, NotFound, Refused
from billow.model.action import Action, Delete, Evacuate, Fence, PowerOn, Start, Stop, Suspend
from billow.model.kinds import State
from billow.ports import Engine, Trace
from billow.testing.stand import EngineStand, digest, do, evacuate, homes, migrate, place


def claimed(engine: Engine) -> bool:
    """Return whether an engine evacuates."""
    return {Evacuate, Fence} <= engine.verbs


class EngineEvacuation:
    """Tests of one verb that must never be wrong; part of `EngineContract`."""

    async def test_what_runs_is_not_evacuated(self, engine: Engine, stand: EngineStand) -> None:
        """While its guest may still run, a second opinion holds whatever the record proves."""
        if not claimed(engine):
            return
        await do(engine, place(stand, "x"))
        before = await digest(engine)
        await _check_refused(engine, evacuate(stand, "x"), before)
        if Suspend in engine.verbs:
            await do(engine, Suspend(id="suspend-x", instance="x", host=stand.first))
            await _check_refused(engine, evacuate(stand, "x", epoch=2), await digest(engine))

    async def test_evacuations_that_make_no_sense(self, engine: Engine, stand: EngineStand) -> None:
        """Nobody, nowhere, from where it is not, to where it is: refused, with reasons."""
        if not claimed(engine):
            return
        await do(engine, place(stand, "x"), Fence(id="fence", host=stand.first))
        good, before = evacuate(stand, "x"), await digest(engine)
        for number, wrong in enumerate(
            (
                replace(good, instance="no-such-instance"),
                replace(good, target="no-such-host"),
                replace(good, source=stand.second, target=stand.first),
                replace(good, target=stand.first),
                replace(good, target_nodes=(31,)),
            )
        ):
            await _check_refused(engine, replace(wrong, id=f"bad-{number}"), before)
        await do(engine, good)

    async def test_an_older_try_is_refused(self, engine: Engine, stand: EngineStand) -> None:
        """Whoever comes with an older epoch, or for an older incident, is too late for ever."""
        if not claimed(engine):
            return
        await do(engine, place(stand, "x"), Fence(id="fence", host=stand.first))
        await do(engine, evacuate(stand, "x", "i-1", epoch=3))
        await do(engine, PowerOn(id="on", host=stand.first), Fence(id="f2", host=stand.second))
        back = replace(
            evacuate(stand, "x", "i-2", epoch=1), source=stand.second, target=stand.first
        )
        await do(engine, back)
        await do(engine, PowerOn(id="on-2", host=stand.second), Fence(id="f3", host=stand.first))
        before = await digest(engine)
        again = await stand.open()
        for each in (engine, again):
            for late in (evacuate(stand, "x", "i-1", epoch=2), evacuate(stand, "x", "i-1", 4)):
                await _check_refused(each, late, before)
        await again.aclose()
        await do(engine, evacuate(stand, "x", "i-3", epoch=1))
        assert (await engine.sense()).instance("x").state is State.RUNNING

    async def test_two_controllers_evacuate_at_once(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """The same try side by side is done once; of two tries, one is done."""
        if not claimed(engine):
            return
        await do(engine, place(stand, "x"), Fence(id="fence", host=stand.first))
        other = await stand.open()
        tries = [evacuate(stand, "x"), evacuate(stand, "x"), evacuate(stand, "x", epoch=2)]
        outcomes = await asyncio.gather(
            *(do(each, action) for each in (engine, other) for action in tries),
            return_exceptions=True,
        )
        assert any(isinstance(each, list) for each in outcomes), outcomes
        assert all(isinstance(each, list | BillowError) for each in outcomes)
        pool = await engine.sense()
        assert homes(pool) == {"x": stand.second}
        assert pool.instance("x").state is State.RUNNING
        await other.aclose()

    async def test_what_was_stopped_is_not_started(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """A dead host's stopped instance is given another home, and stays stopped there."""
        if not claimed(engine):
            return
        stop = Stop(id="stop-x", instance="x", host=stand.first)
        await do(engine, place(stand, "x"), stop, Fence(id="fence", host=stand.first))
        action = evacuate(stand, "x")
        await do(engine, action)
        pool = await engine.sense()
        assert unmet(pool, action.achieves) == ()
        assert pool.instance("x").state is State.STOPPED
        await do(engine, Start(id="start-x", instance="x", host=stand.second))

    async def test_what_was_paused_is_not_started(self, engine: Engine, stand: EngineStand) -> None:
        """Its memory died with its host; to boot it is a person's decision."""
        if not claimed(engine) or Suspend not in engine.verbs:
            return
        pause = Suspend(id="suspend-x", instance="x", host=stand.first)
        await do(engine, place(stand, "x"), pause, Fence(id="fence", host=stand.first))
        await do(engine, evacuate(stand, "x"))
        pool = await engine.sense()
        assert (pool.instance("x").host, pool.instance("x").state) == (stand.second, State.STOPPED)

    async def test_a_host_that_returns_starts_nothing(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """What went elsewhere stays there, runs once, and can be moved back and deleted."""
        if not claimed(engine):
            return
        await do(engine, place(stand, "x"), Fence(id="fence", host=stand.first))
        await do(engine, evacuate(stand, "x"), PowerOn(id="on", host=stand.first))
        again = await stand.open()
        pool = await again.sense()
        assert homes(pool) == {"x": stand.second}
        assert pool.instance("x").state is State.RUNNING
        back = replace(migrate(stand, "x"), source=stand.second, target=stand.first)
        await do(again, back, Delete(id="delete-x", instance="x", host=stand.first))
        assert homes(await again.sense()) == {}
        await again.aclose()

    async def test_a_former_writer_evacuates_nothing(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """An older fence is refused before anything is looked at."""
        if not claimed(engine):
            return
        await do(engine, place(stand, "x"), Fence(id="fence", host=stand.first), fence=4)
        before = await digest(engine)
        with pytest.raises(Leased):
            await do(engine, evacuate(stand, "x"), fence=3)
        assert await digest(engine) == before


async def _check_refused(engine: Engine, action: Action, before: str) -> None:
    """Check that an action is refused with a typed error, and that the world is as before."""
    assert await engine.blockers(action), action
    with pytest.raises((Refused, NotFound)) as refusal:
        await do(engine, action)
    assert refusal.value.brief
    assert await digest(engine) == before
    assert await engine.find(action.id) in (Trace.UNKNOWN, Trace.FAILED)
