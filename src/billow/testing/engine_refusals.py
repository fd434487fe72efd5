# SPDX-License-Identifier: Apache-2.0
"""The part of the engine contract about saying no: typed errors, reasons, and a world as before."""

from dataclasses import replace

import pytest

from billow.errors import BillowError, NotFound, Refused
from billow.model.action import (
    Action,
    Cordon,
    Delete,
    Migrate,
    Place,
    PowerOff,
    Start,
    Stop,
)
from billow.ports import Engine, Trace
from billow.testing.stand import EngineStand, digest, do, migrate, place

NOWHERE = "no-such-host"
NOBODY = "no-such-instance"
HOSTILE_NAMES = (
    "../../etc/passwd",
    "..",
    "a/b",
    "x;reboot",
    "$(reboot)",
    "`id`",
    "a|b",
    "x" * 64,
    "Ünïcødé",
    "UPPER",
    "under_score",
    "ends-",
)
"""Names that a pool may hold (other clouds are generous) but that no engine may give."""


def impossible(stand: EngineStand) -> dict[str, Action]:
    """Return actions that cannot be done while `x` runs on the first host, by what is wrong."""
    wanted, first, second = stand.instance("y"), stand.first, stand.second
    vast = replace(wanted, shape=stand.too_large())
    wrong: dict[str, Action] = {
        "place on an unknown host": Place(id="bad", instance=wanted, host=NOWHERE),
        "place what exists": Place(id="bad", instance=stand.instance("x"), host=second),
        "place what fits nowhere": Place(id="bad", instance=vast, host=first),
        "place on unknown nodes": Place(id="bad", instance=wanted, host=first, nodes=(31,)),
        "migrate an unknown instance": migrate(stand, NOBODY),
        "migrate from where it is not": Migrate(
            id="bad", instance="x", source=second, target=first
        ),
        "migrate to an unknown host": Migrate(id="bad", instance="x", source=first, target=NOWHERE),
        "migrate to where it is": Migrate(id="bad", instance="x", source=first, target=first),
        "start an unknown instance": Start(id="bad", instance=NOBODY, host=first),
        "start on the wrong host": Start(id="bad", instance="x", host=second),
        "stop an unknown instance": Stop(id="bad", instance=NOBODY, host=first),
        "delete an unknown instance": Delete(id="bad", instance=NOBODY, host=first),
        "delete on the wrong host": Delete(id="bad", instance="x", host=second),
        "delete a path": Delete(id="bad", instance="../../x", host=first),
    }
    return {
        what: replace(action, id=f"bad-{number}")
        for number, (what, action) in enumerate(wrong.items())
    }


class EngineRefusals:
    """Tests of what an engine must not do; part of `EngineContract`."""

    pytestmark = pytest.mark.anyio

    async def test_impossible_actions_are_refused(self, engine: Engine, stand: EngineStand) -> None:
        """What cannot be done has reasons beforehand and a typed error, and changes nothing."""
        await do(engine, place(stand, "x"))
        before = await digest(engine)
        for wrong, action in impossible(stand).items():
            assert await engine.blockers(action), wrong
            await _check_refused(engine, action, before)

    async def test_hostile_names_are_refused(self, engine: Engine, stand: EngineStand) -> None:
        """A name that could be a path, a command or a trick is no name for a new instance."""
        before = await digest(engine)
        for number, name in enumerate(HOSTILE_NAMES):
            named = replace(stand.instance("y"), id=name)
            action = Place(id=f"hostile-{number}", instance=named, host=stand.first)
            assert await engine.blockers(action), name
            await _check_refused(engine, action, before)

    async def test_hostile_action_ids_are_harmless(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """Whatever an action's id holds, it is found again or refused, never a path or a crash."""
        for number, wild in enumerate(("../../escape", "a/b\0c", "x" * 5000, "\ud800", "")):
            assert await engine.find(wild) is Trace.UNKNOWN
            action = replace(place(stand, f"n{number}"), id=wild)
            try:
                await do(engine, action)
            except BillowError:
                assert f"n{number}" not in (await engine.sense()).instances.row
            else:
                assert await engine.find(wild) is Trace.DONE

    async def test_blockers_change_nothing(self, engine: Engine, stand: EngineStand) -> None:
        """Asking is free: the world is as before, and the action is still unknown."""
        await do(engine, place(stand, "x"))
        before = await digest(engine)
        for action in (migrate(stand, "x"), place(stand, "y"), *impossible(stand).values()):
            await engine.blockers(action)
            assert await engine.find(action.id) is Trace.UNKNOWN
        assert await digest(engine) == before

    async def test_an_immovable_instance_stays(self, engine: Engine, stand: EngineStand) -> None:
        """What cannot be migrated live is not, and the reason is told."""
        await do(engine, place(stand, "x", immovable="passthrough"))
        before = await digest(engine)
        reasons = [blocker.reason for blocker in await engine.blockers(migrate(stand, "x"))]
        assert any("passthrough" in reason for reason in reasons)
        await _check_refused(engine, migrate(stand, "x"), before)

    async def test_a_cordoned_host_takes_nothing(self, engine: Engine, stand: EngineStand) -> None:
        """Nothing new comes to a cordoned host; what is on it stays."""
        if Cordon not in engine.verbs:
            return
        await do(engine, place(stand, "x"), place(stand, "z", stand.second))
        await do(engine, Cordon(id="cordon", host=stand.second, why="disk"))
        before = await engine.sense()
        assert before.host(stand.second).cordon == "disk"
        assert before.instance("z").host == stand.second
        for action in (place(stand, "y", stand.second), migrate(stand, "x")):
            assert await engine.blockers(action)
            await _check_refused(engine, action, before.digest)

    async def test_a_host_without_power_takes_nothing(
        self, engine: Engine, stand: EngineStand
    ) -> None:
        """Nothing is placed on a host that is off, and only an empty host goes off."""
        if PowerOff not in engine.verbs:
            return
        await do(engine, place(stand, "x"))
        off = PowerOff(id="off-first", host=stand.first)
        assert await engine.blockers(off)
        await _check_refused(engine, off, await digest(engine))
        await do(engine, PowerOff(id="off-second", host=stand.second))
        before = await digest(engine)
        for action in (place(stand, "y", stand.second), migrate(stand, "x")):
            assert await engine.blockers(action)
            await _check_refused(engine, action, before)


async def _check_refused(engine: Engine, action: Action, before: str) -> None:
    """Check that an action is refused with a typed error, and that the world is as before."""
    with pytest.raises((Refused, NotFound)) as refusal:
        await do(engine, action)
    assert refusal.value.brief
    assert await digest(engine) == before
    assert await engine.find(action.id) in (Trace.UNKNOWN, Trace.FAILED)
