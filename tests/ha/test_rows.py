# SPDX-License-Identifier: Apache-2.0
"""Each of the 192 rows of the decision table, from the fault to its end, explained (G12).

Both truths are played where nobody can see which it is: a silent host that is dead, and one that
is only cut off. No instance ever runs twice in either.
"""

import pytest

from billow.engines.sim.fault import Blow
from billow.engines.sim.rows import fault_for
from billow.model.ha.evidence import Hardware
from billow.model.ha.incident import Method, Phase, Recovery
from billow.model.ha.policy import HaPolicy
from billow.model.ha.response import Response, Severity
from billow.model.kinds import Power, State
from billow.plan.ha.table import ROWS, Key, key_of, rows
from billow.testing.pools import pool
from tests.ha.simulated import Drama, drama

pytestmark = pytest.mark.anyio
POOL = "9 hosts x 64GiB 16c; a: 3 vms x 4GiB 2c on=h1; b: 2 vms x 4GiB 2c on=h2"
VICTIMS = ("a1", "a2", "a3")
QUICK = HaPolicy(storage_grace_s=4.0, isolation_grace_s=4.0)
STORY_S = 30.0


@pytest.mark.parametrize(
    ("row", "dead"),
    [
        pytest.param(row, dead, id=f"{row}-{'dead' if dead else 'alive'}")
        for row in range(1, ROWS + 1)
        for dead in ((False, True) if all(key_of(row).lost) else (False,))
    ],
)
async def test_a_row_is_played_to_its_end(
    row: int,
    dead: bool,  # noqa: FBT001 - a parameter of the test
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key, response = key_of(row), rows()[key_of(row)]
    async with drama(pool(POOL), monkeypatch, QUICK) as held:
        await held.play(1.0)
        assert held.books.all() == []
        await _befall(held, key, dead=dead)
        await _check(held, *_in_the_end(key, response))
        assert held.world.field.copies.double_runs == []
        assert [held.homes()[each] for each in ("b1", "b2")] == ["h2", "h2"]
        _check_explained(held, key, response)


async def _befall(held: Drama, key: Key, *, dead: bool) -> None:
    """Let faults befall; an agent speaks at once, so it does when its paths are missed already."""
    faults = fault_for(key, "h1", dead=dead)
    ill = [each for each in faults if each.blow is Blow.HARDWARE and not all(key.lost)]
    held.strike(*(each for each in faults if each not in ill))
    if key.power is Power.OFF and not any(key.lost):
        await _let_be_watched(held)
    if ill:
        await held.play(1.5)
        held.strike(*ill)


async def _let_be_watched(held: Drama) -> None:
    """Let somebody care for the host until its BMC is caught: of one that is well none is asked."""
    held.strike("host h1 loses management")
    await held.play(QUICK.doubt_s + 3.0)
    held.strike("host h1 regains management")


def _in_the_end(key: Key, response: Response) -> tuple[Key, Response]:
    """Return the row that decides: one whose BMC is found to be wrong goes on as one without."""
    if not response.distrust or not any(key.lost):
        return key, response
    without = key._replace(power=Power.UNKNOWN)
    return without, rows()[without]


async def _check(held: Drama, key: Key, response: Response) -> None:
    match response.recovery:
        case Recovery.RESTART if _provable(key, response):
            assert await held.play(STORY_S, lambda: _phase(held) is Phase.QUARANTINE)
            incident = held.incident("h1")
            assert incident is not None
            assert incident.proof is not None
            assert incident.proof.method in response.fence
            assert all(held.homes()[each] != "h1" for each in VICTIMS)
            assert {held.states()[each] for each in VICTIMS} == {State.RUNNING}
        case Recovery.RESTART:
            await held.play(STORY_S)
            incident = held.incident("h1")
            assert incident is not None
            assert incident.held
            assert incident.proof is None
            assert all(held.homes()[each] == "h1" for each in VICTIMS)
        case Recovery.MOVE | Recovery.DRAIN:
            moved = await held.play(
                STORY_S, lambda: all(held.homes()[each] != "h1" for each in VICTIMS)
            )
            assert moved
            assert {held.states()[each] for each in VICTIMS} == {State.RUNNING}
            assert _phase(held) is Phase.MOVING
            assert held.world.field.condition("h1").powered
        case Recovery.NONE:
            await held.play(6.0)
            assert all(held.homes()[each] == "h1" for each in VICTIMS)
            assert {held.states()[each] for each in VICTIMS} == {State.RUNNING}
            assert held.world.field.condition("h1").powered


def _check_explained(held: Drama, key: Key, response: Response) -> None:
    """Check that whoever is told of the host is told of this row, and of what speaks for it."""
    told = [step for steps in held.books.steps.values() for step in steps]
    if response.severity in (Severity.NONE, Severity.NOTICE):
        return
    seen = {step.incident.row for step in told}
    if key.hardware is Hardware.FATAL and all(key.lost):  # told before anybody could miss it
        assert {key_of(row).hardware for row in seen} & {Hardware.FATAL}
    else:
        assert response.row in seen
    for step in told:
        assert step.explanation is not None
        assert step.explanation.diagnosis
        assert step.explanation.evidence
        assert step.why


def _provable(key: Key, response: Response) -> bool:
    """Return whether any way of the row can end in a proof: its agent, its BMC, a lease."""
    reached = not all(key.lost) and Method.AGENT in response.fence
    cut = Method.BMC in response.fence and key.power is not Power.UNKNOWN
    return reached or cut or (Method.LEASE in response.fence and all(key.lost))


def _phase(held: Drama) -> Phase | None:
    incident = held.incident("h1")
    return None if incident is None else incident.phase
