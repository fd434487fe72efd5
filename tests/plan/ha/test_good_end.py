# SPDX-License-Identifier: Apache-2.0
"""From every state, once nothing fails more, each instance runs and no incident is left open."""

from dataclasses import replace

import pytest

from billow.model.ha.incident import Incident, Phase
from billow.model.ha.response import Turn
from billow.plan.ha import protocol
from billow.plan.ha.facts import Facts, Terms
from billow.testing.ha.healing import Mended
from billow.testing.ha.search import NO_END, Search
from billow.testing.ha.world import Rules

ONE_FAILS = Rules(failing=(0,), heals=True)
OFF_FOR_GOOD = Mended(boots=False)


@pytest.mark.parametrize(
    ("rules", "mended"),
    [
        (replace(ONE_FAILS, faults=1), Mended()),
        (replace(ONE_FAILS, faults=1), OFF_FOR_GOOD),
        (replace(ONE_FAILS, bmc=False), OFF_FOR_GOOD),
        pytest.param(ONE_FAILS, Mended(), marks=pytest.mark.thorough),
        pytest.param(ONE_FAILS, Mended(boots=False, bmc=False), marks=pytest.mark.thorough),
        pytest.param(replace(ONE_FAILS, faults=3), Mended(), marks=pytest.mark.thorough),
    ],
    ids=[
        *("returns", "off for good", "off for good, no management controllers"),
        *("two faults", "management controllers stay dead", "three faults"),
    ],
)
def test_all_comes_to_a_good_end(rules: Rules, mended: Mended) -> None:
    found = Search(rules, mended=mended).run()
    assert found.whole
    assert not found.broken, "\n".join(found.way)


def test_without_watchdog_and_management_controller_a_dead_host_is_held() -> None:
    """No proof can be had, so there is no good end; that is found, and nothing runs twice."""
    rules = replace(ONE_FAILS, faults=1, bmc=False, lease=False)
    assert Search(rules, mended=OFF_FOR_GOOD).run().broken == NO_END


def test_an_incident_that_stops_is_found() -> None:
    def stops(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
        stuck = incident.phase is Phase.RECOVERING
        return None if stuck else protocol.advance(incident, facts, terms)

    found = Search(replace(ONE_FAILS, faults=1), advance=stops, mended=Mended()).run()
    assert found.broken == NO_END


@pytest.mark.thorough
def test_a_try_that_stays_open_after_its_controller_is_found() -> None:
    """What the protocol did before: the old try was never settled, and the incident was stuck."""

    def keeps(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
        turn = protocol.advance(incident, facts, terms)
        last = incident.attempts[-1] if incident.attempts else None
        again = turn is not None and len(turn.incident.attempts) == len(incident.attempts)
        if turn is None or last is None or last.fence == facts.fence or last.failed or not again:
            return turn
        attempts = (*incident.attempts, turn.incident.attempts[-1])
        return replace(turn, incident=replace(turn.incident, attempts=attempts))

    mended = Mended(boots=False, bmc=False)
    assert Search(ONE_FAILS, advance=keeps, mended=mended).run().broken == NO_END


@pytest.mark.thorough
def test_forgetting_that_an_agent_was_asked_is_found() -> None:
    """What the protocol did before: a host that had ended its instances was taken for well."""

    def forgets(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
        asked = any(each.method == "agent" for each in incident.attempts)
        return protocol.advance(replace(incident, asked=asked), facts, terms)

    rules = replace(ONE_FAILS, faults=3)
    assert Search(rules, advance=forgets, mended=Mended()).run().broken == NO_END
