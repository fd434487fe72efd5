# SPDX-License-Identifier: Apache-2.0
"""No instance ever runs twice, however many faults there are: every state of a world that forgets.

It may stand for the world in which faults are counted: each step of this is one of its own. And it
can fail: with a part of the design left out, a way to two running copies is found.
"""

from dataclasses import replace

import pytest

from billow.testing.ha.boundless import Boundless, Care
from billow.testing.ha.choices import Choice, Choices, Look, choices_of
from billow.testing.ha.records import Records
from billow.testing.ha.search import RUN_TWICE, Search
from billow.testing.ha.stands import Compared, compare
from billow.testing.ha.sweep import swept
from billow.testing.ha.world import LEASE, Rules

pytestmark = [pytest.mark.thorough, pytest.mark.xdist_group("boundless")]

FENCING = Look("fencing", fate="waiting 0")
RECOVERING = Look("recovering", fate="waiting 0")


@pytest.fixture(scope="module")
def choices() -> Choices:
    """All that the production functions may choose to do."""
    return choices_of(Records(LEASE))


def test_however_many_faults_nothing_runs_twice(choices: Choices) -> None:
    found = swept(Boundless(choices))
    assert not found.broken, "\n".join(found.way)
    assert found.whole
    assert found.states > 1_000_000


def test_it_can_do_all_that_the_counted_world_does(choices: Choices) -> None:
    compared = _compared(choices, Rules(faults=2))
    assert compared.steps > 1_000_000
    assert not compared.strange, compared.example


def test_a_step_that_it_lacks_is_told(choices: Choices) -> None:
    never = {key: each for key, each in choices.steps.items() if key[0].phase != "fencing"}
    compared = _compared(replace(choices, steps=never), Rules(faults=1))
    assert compared.strange
    assert "look0" in compared.example


def _compared(choices: Choices, rules: Rules) -> Compared:
    found, compared = compare(Search(rules), Boundless(choices))
    assert found.whole, "\n".join(found.way)
    return compared


@pytest.mark.parametrize(
    ("care", "step"),
    [
        (Care(refuses=False), "cleans itself for an older controller"),
        (Care(quarantined=False), "ends all, and says so"),
        (Care(home_first=False), "home 2 -> 1"),
    ],
    ids=["an old cleaning", "no quarantine", "a start without the home"],
)
def test_what_is_left_out_is_found(choices: Choices, care: Care, step: str) -> None:
    found = swept(Boundless(choices, care))
    assert found.broken == RUN_TWICE
    assert any(step in each for each in found.way), "\n".join(found.way)


def test_a_start_before_the_proof_is_found(choices: Choices) -> None:
    at_once = {
        key: each | {Choice(RECOVERING, 0, 0, 0, 0)} if key[0] == FENCING else each
        for key, each in choices.steps.items()
    }
    found = swept(Boundless(replace(choices, steps=at_once)))
    assert found.broken == RUN_TWICE
