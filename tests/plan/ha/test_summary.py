# SPDX-License-Identifier: Apache-2.0
"""What an incident was and what is to be done, in few words, from its recorded steps."""

from dataclasses import replace

from billow.model.ha.evidence import Network, Sight
from billow.model.ha.incident import Phase
from billow.model.kinds import Power
from billow.model.text import parse
from billow.plan.ha.facts import Facts
from billow.plan.ha.summary import advice_of, affected, deciding, decisive_row, diagnosis_of
from billow.plan.ha.table import respond, row_of
from billow.plan.ha.word import worded
from tests.recorded import BEGAN, Recorder, held, recovered

POOL = """\
billow-pool 1 taken=2026-11-22T08:00:00Z
shape small cpu=2 memory=4GiB
host h[1-2] nodes=1x(16,64GiB) rack=r1 zone=a
vm db-1 small h1 running
vm db-2 small h1 stopped
vm web-1 small h2 running
"""


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
