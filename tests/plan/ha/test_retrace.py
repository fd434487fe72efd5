# SPDX-License-Identifier: Apache-2.0
"""A recorded incident comes out the same when the production protocol takes its steps again."""

from dataclasses import replace

import pytest

from billow.errors import Conflict, Invalid
from billow.model.ha.document import pack_step, step_document, step_from_document, unpack_step
from billow.model.ha.evidence import Network, Sight
from billow.model.ha.incident import Fate, Method, Phase
from billow.model.kinds import Power
from billow.model.text import parse
from billow.plan.ha.facts import Facts
from billow.plan.ha.record import facts_document, facts_from_document
from billow.plan.ha.retrace import (
    advice_of,
    affected,
    deciding,
    decisive_row,
    diagnosis_of,
    retraced,
    row_of,
)
from billow.plan.ha.table import respond
from billow.plan.ha.word import waits, worded
from tests.recorded import BEGAN, Recorder, held, recovered

POOL = """\
billow-pool 1 taken=2026-11-22T08:00:00Z
shape small cpu=2 memory=4GiB
host h[1-2] nodes=1x(16,64GiB) rack=r1 zone=a
vm db-1 small h1 running
vm db-2 small h1 stopped
vm web-1 small h2 running
"""


def test_every_step_comes_out_the_same_from_its_record() -> None:
    for steps in (recovered().steps, held().steps):
        kept = [unpack_step(pack_step(step)) for step in steps]
        assert kept == steps
        again = list(retraced(kept))
        assert [each.differs for each in again] == [()] * len(steps)
        assert all(each.turn is not None for each in again)


def test_the_recorded_incident_is_a_whole_one() -> None:
    end = recovered().incident
    assert end.phase is Phase.QUARANTINE
    assert end.proof is not None
    assert end.proof.method is Method.BMC
    assert {each.fate for each in end.victims} == {Fate.STARTED}
    assert held().incident.held


def test_what_was_known_is_kept_whole() -> None:
    for recorder in (recovered(), held()):
        for step in recorder.steps:
            facts, terms = facts_from_document(step.facts)
            assert facts_document(facts, terms) == step.facts
            assert facts.now == step.at


def test_a_rule_that_changed_since_is_told() -> None:
    steps = recovered().steps
    patient = {**steps[1].facts, "terms": {"settle_s": 30.0}}
    waited = [steps[0], replace(steps[1], facts=patient), *steps[2:]]
    differs = [each.differs for each in retraced(waited)]
    assert differs[1] == ("it would wait",)
    assert not any(differs[2:])
    other = replace(steps[2], deeds=())
    assert "1 deeds would be begun, 0 were" in list(retraced([*steps[:2], other]))[2].differs
    bare = replace(steps[0], facts={})
    assert next(retraced([bare])).differs == ("what was known was not kept",)
    with pytest.raises(Invalid):
        list(retraced([replace(steps[0], facts={"known": {}})]))


def test_a_person_s_word_is_a_step_like_any_other() -> None:
    made = held()
    assert waits(made.incident)
    step = worded(made.incident, actor="ada", why="its plug is out", at=BEGAN + 60, is_dead=True)
    made.steps.append(step)
    assert step_from_document(step_document(step)) == step
    assert made.go(60.0)
    assert made.incident.proof is not None
    assert made.incident.proof.method is Method.WORD
    assert "ada: its plug is out" in made.incident.proof.text
    assert made.incident.phase is Phase.RECOVERING
    assert [each.differs for each in retraced(made.steps)] == [()] * len(made.steps)


def test_a_word_that_is_not_asked_for_is_refused() -> None:
    done = recovered().incident
    with pytest.raises(Conflict):
        worded(done, actor="ada", why="so", at=BEGAN)
    with pytest.raises(Conflict):
        worded(replace(held().incident, held=""), actor="ada", why="so", at=BEGAN)
    with pytest.raises(Invalid):
        worded(held().incident, actor="ada", why=" ", at=BEGAN)
    assert not waits(done)


def test_the_step_that_decided_explains_the_incident() -> None:
    begun, waiting = recovered(), held()
    found = deciding(begun.steps)
    assert found is not None
    assert found.incident.phase is Phase.FENCING
    assert found is begun.steps[1]
    assert deciding(waiting.steps) is waiting.steps[-1]
    assert deciding([]) is None


def lost_and_well_again() -> Recorder:
    """Return an incident whose host lost its tenant network for a while, and nothing was done."""
    heard = Sight(host="h1", heard_at=BEGAN, power=Power.ON, power_since=BEGAN)
    lost = replace(heard, lost={Network.TENANT: BEGAN})
    facts = Facts(now=BEGAN, fence=1, sight=lost, response=respond(lost))
    made = Recorder("ha-h1-1", facts)
    made.go()
    well = replace(heard, clean_beats=30)
    while made.go(1.0, sight=well, response=respond(well)):
        pass
    return made


def test_an_incident_that_ends_well_tells_what_it_was() -> None:
    made = lost_and_well_again()
    assert made.incident.phase is Phase.CLOSED
    assert made.incident.row == respond(made.facts.sight).row
    found = deciding(made.steps)
    assert found is made.steps[0]
    first = row_of(made.steps[0].incident.row)
    assert decisive_row(made.incident) == first
    assert diagnosis_of(made.incident) == f"{first.diagnosis}; well again"
    assert "closed" in advice_of(made.incident)


def test_what_is_done_is_told_by_phase_and_proof() -> None:
    waiting, done = held().incident, recovered().incident
    assert advice_of(waiting) == row_of(waiting.row).advice
    assert advice_of(done).startswith("Its death is proved by its management controller.")
    spoken = held()
    spoken.steps.append(worded(spoken.incident, actor="ada", why="so", at=BEGAN + 60, is_dead=True))
    spoken.go(60.0)
    assert advice_of(spoken.incident).startswith("Its death is proved by a person's word: its")


def test_until_proof_is_sought_the_pool_says_how_many_are_affected() -> None:
    noted = lost_and_well_again().steps[0].incident
    pool = parse(POOL)
    assert affected(noted, pool) == 2
    assert affected(noted, None) is None
    assert affected(replace(noted, host="h9"), pool) == 0
    assert affected(recovered().incident, None) == 3
    assert affected(lost_and_well_again().incident, None) == 0
