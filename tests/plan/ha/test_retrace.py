# SPDX-License-Identifier: Apache-2.0
"""A recorded incident comes out the same when the production protocol takes its steps again."""

from dataclasses import replace

import pytest

from billow.errors import Conflict, Invalid
from billow.model.ha.document import pack_step, step_document, step_from_document, unpack_step
from billow.model.ha.incident import Fate, Method, Phase
from billow.plan.ha.record import facts_document, facts_from_document
from billow.plan.ha.retrace import retraced
from billow.plan.ha.word import waits, worded
from tests.recorded import BEGAN, held, recovered


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
