# SPDX-License-Identifier: Apache-2.0
"""No instance ever runs twice: every state of a small world, by the production protocol.

And the proof that this can fail: with any one part of the design left out, a way to two running
copies, or to two writers of one disk, is found.
"""

from dataclasses import replace

import pytest

from billow.errors import Bug
from billow.model.ha.incident import Incident, Phase
from billow.model.ha.response import Turn
from billow.plan.ha import protocol
from billow.plan.ha.facts import Facts, Terms
from billow.testing.ha.orders import Weakness
from billow.testing.ha.records import TERMS
from billow.testing.ha.search import RUN_TWICE, WRITTEN_TWICE, Search
from billow.testing.ha.world import SPARE, Rules

ONE_FAILS = Rules(failing=(0,))
"""One host fails in every way, and two instances were on it."""
ONE_INSTANCE = Rules(placed=(0, SPARE))
"""Two hosts fail in every way, the second one while it takes in what the first one ran."""


@pytest.mark.parametrize("rules", [ONE_FAILS, ONE_INSTANCE], ids=["one host", "two hosts"])
def test_whatever_fails_nothing_runs_twice(rules: Rules) -> None:
    _holds(rules)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "rules",
    [
        replace(ONE_FAILS, lease=False),
        replace(ONE_FAILS, bmc=False),
        replace(ONE_FAILS, views=True),
        replace(ONE_FAILS, slow_acks=True),
        replace(ONE_FAILS, split=True),
        replace(ONE_FAILS, lying=True),
        replace(ONE_FAILS, faults=3),
        replace(ONE_INSTANCE, fenced=False),
    ],
    ids=[
        *("no watchdog", "no management controllers", "views", "slow acknowledgements"),
        *("late writing", "lying management controller", "three faults", "no fence"),
    ],
)
def test_whatever_else_fails_nothing_runs_twice(rules: Rules) -> None:
    _holds(rules)


def _holds(rules: Rules) -> None:
    found = Search(rules).run()
    assert found.whole
    assert not found.broken, "\n".join(found.way)
    assert found.states > 1_000


def _at_once(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """Start elsewhere as soon as proof is sought."""
    turn = protocol.advance(incident, facts, terms)
    if incident.phase is Phase.FENCING and (turn is None or turn.incident.proof is None):
        return Turn(replace(incident, phase=Phase.RECOVERING, victims=facts.victims))
    return turn


def test_a_start_before_the_proof_is_found() -> None:
    found = Search(replace(ONE_FAILS, faults=1), advance=_at_once).run()
    assert found.broken == RUN_TWICE


def test_a_timeout_that_counts_as_proof_is_found() -> None:
    found = Search(replace(ONE_FAILS, faults=2), Weakness(hasty=True)).run()
    assert found.broken == RUN_TWICE
    assert any("management controller of 0 is lost" in step for step in found.way)


@pytest.mark.thorough
def test_a_lease_without_margin_is_found() -> None:
    found = Search(ONE_FAILS, terms=replace(TERMS, margin_s=0)).run()
    assert found.broken == RUN_TWICE
    assert any("lose a tick" in step for step in found.way)


@pytest.mark.thorough
def test_a_lease_that_counts_from_the_acknowledgement_is_found() -> None:
    rules = replace(ONE_INSTANCE, faults=3, failing=(0,), slow_acks=True, clock=False, bmc=False)
    late = Search(replace(rules, from_send=False), terms=replace(TERMS, margin_s=0)).run()
    assert late.broken == RUN_TWICE
    right = Search(rules, terms=replace(TERMS, margin_s=0)).run()
    assert right.whole
    assert not right.broken


def test_acknowledging_what_is_not_published_is_found() -> None:
    found = Search(replace(ONE_FAILS, views=True, view_first=False)).run()
    assert found.broken == RUN_TWICE
    assert any("cannot write" in step for step in found.way)


def test_a_disk_that_takes_writes_from_an_older_home_is_found() -> None:
    found = Search(replace(ONE_FAILS, lying=True, locked=False)).run()
    assert found.broken == WRITTEN_TWICE


def test_a_host_that_starts_its_instances_when_it_boots_is_found() -> None:
    found = Search(replace(ONE_FAILS, autostart=True)).run()
    assert found.broken == RUN_TWICE


@pytest.mark.thorough
def test_a_returning_host_without_quarantine_is_found() -> None:
    found = Search(replace(ONE_INSTANCE, faults=3, quarantined=False)).run()
    assert found.broken == RUN_TWICE


@pytest.mark.thorough
def test_a_start_that_does_not_ask_for_the_home_is_found() -> None:
    found = Search(replace(ONE_INSTANCE, home_first=False)).run()
    assert found.broken == RUN_TWICE


def test_writing_without_compare_and_set_is_found() -> None:
    """The record of homes alone would still save the instance; so it is left out here, too."""
    rules = replace(ONE_INSTANCE, failing=(0,), split=True, home_first=False)
    assert Search(rules, Weakness(unchecked=True)).run().broken == RUN_TWICE
    right = Search(rules).run()
    assert right.whole
    assert not right.broken


def test_a_step_that_depends_on_what_the_checker_cuts_off_is_told() -> None:
    def by_row(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
        cut_off = incident.phase is Phase.RECOVERING and not incident.row
        return None if cut_off else protocol.advance(incident, facts, terms)

    with pytest.raises(Bug, match="cuts off"):
        Search(replace(ONE_FAILS, faults=1), advance=by_row).run()
