# SPDX-License-Identifier: Apache-2.0
"""What adds up to a storm and what does not, what a word opens, and what a decision costs."""

import cProfile
from collections.abc import Callable, Mapping

import pytest

from billow.model.ha.care import Maintenance, Reach
from billow.model.ha.evidence import Hardware, Network, Sight
from billow.model.ha.incident import Incident, Phase, Recovery
from billow.model.ha.response import MoveAway
from billow.model.kinds import Power
from billow.plan.ha.decide import decide
from billow.plan.ha.fleet import Evidence, Layout, Place
from billow.plan.ha.gates import Gates
from tests.plan.ha.fleets import START, Drive, fleet, lossy, silent

HOUR_S = 3600.0


def apart(hosts: int) -> Layout:
    """Return hosts of one zone, each in a rack of its own."""
    return Layout({f"h{n}": Place("z", f"r{n}") for n in range(hosts)})


def ill(host: str, now: float) -> Sight:
    """Return a host that works, and of which a failure is predicted."""
    return Sight(host=host, heard_at=now, hardware=Hardware.PREDICTED, power=Power.ON)


def dying(at: Mapping[str, float], now: float) -> dict[str, Sight]:
    """Return the hosts that are dead by now."""
    return {host: silent(host, Power.ON, at=died) for host, died in at.items() if died <= now}


def queued(layout: Layout, deaths: list[float]) -> Drive:
    """Return a fleet of which one host after the other dies for good."""
    at = {f"h{n}": START + died for n, died in enumerate(deaths)}
    drive = Drive(layout, lambda now: dying(at, now))
    return drive.run(deaths[-1] + 30, every_s=1.0)


@pytest.mark.parametrize("hosts", [6, 10])
def test_hosts_whose_failure_is_predicted_together_are_drained_after_the_cool_down(
    hosts: int,
) -> None:
    faulty = [f"h{n}" for n in range(hosts * 3 // 10 + 1)]
    drive = Drive(apart(hosts), lambda now: {each: ill(each, now) for each in faulty})
    drive.run(300, every_s=5.0)
    assert not drive.deeds(MoveAway), "a storm it is"
    drive.run(100, every_s=5.0)
    assert len(drive.deeds(MoveAway)) == len(faulty)


def test_hosts_that_are_drained_hold_up_no_true_death_for_ever() -> None:
    def seen(now: float) -> dict[str, Sight]:
        drained = {host: ill(host, now) for host in ("h0", "h1")}
        return {**drained, **dying({"h5": START + 2 * HOUR_S}, now)}

    drive = Drive(apart(6), seen).run(2 * HOUR_S, every_s=20.0).run(10)
    assert drive.evacuated() == ["h5"]


@pytest.mark.parametrize(("hosts", "deaths"), [(6, [0, 300, 400]), (10, [0, 100, 200, 300])])
def test_hosts_that_died_one_by_one_and_wait_for_their_turn_are_no_storm(
    hosts: int, deaths: list[float]
) -> None:
    drive = queued(apart(hosts), deaths)
    assert not any(each.held.startswith("storm") for each in drive.open.values())
    drive.run(600.0 * len(deaths), every_s=20.0)
    assert drive.evacuated() == [f"h{n}" for n in range(len(deaths))]


def test_hosts_that_a_storm_holds_keep_it_alive_as_long_as_they_wait() -> None:
    """One that waited for its turn before is held by it like the others."""
    at = {"h0": START, "h7": START + 100, **{f"h{n}": START + 300 for n in (1, 2, 3, 4)}}
    drive = Drive(apart(12), lambda now: dying(at, now)).run(200, every_s=1.0)
    assert "a few at a time" in drive.open["h7"].held
    drive.run(24 * HOUR_S, every_s=60.0)
    assert drive.evacuated() == ["h0"]
    assert drive.phases([*at][1:]) == {Phase.WAITING}
    assert {drive.open[host].held.split(":")[0] for host in [*at][1:]} == {"storm in zone z"}


def test_a_word_is_shown_to_open_the_gates_that_count_hosts_and_no_other() -> None:
    faulty = ("h0", "h1")
    drive = Drive(apart(6), lambda now: {each: silent(each, Power.ON) for each in faulty}).run(5)
    disarmed = Maintenance(
        id="m", reach=Reach.POOL, name="", owner="ada", why="core", since=0.0, until=drive.now + 9
    )
    known = Evidence(
        fence=1, layout=drive.layout, incidents=drive.open, maintenance=[disarmed], present=1
    )
    gates = Gates(known, drive.now)
    held, let_go = (
        {each.gate.name: each for each in gates.rulings("h0", Recovery.RESTART, released=released)}
        for released in (False, True)
    )
    assert held.keys() == let_go.keys()
    assert not held["storm"].gate.open
    assert let_go["storm"].gate.open
    assert not let_go["storm"].rule
    assert let_go["storm"].gate.text.startswith("opened by a person's word, else shut: storm in")
    assert [each for each in let_go.values() if each.rule] == [held["armed"]]
    assert let_go["window"] == held["window"], "what is open anyhow needs no word"


def closed(host: str, suspected_at: float) -> Incident:
    """Return an incident that is over."""
    return Incident(
        id=f"x-{host}-{suspected_at:g}",
        host=host,
        opened_at=suspected_at,
        row=97,
        since=suspected_at,
        phase=Phase.CLOSED,
        suspected_at=suspected_at,
    )


def test_what_a_clock_that_was_put_back_has_before_it_counts_for_nothing() -> None:
    now = START - HOUR_S
    drive = Drive(fleet(16, 4), lambda _: {"h9": silent("h9", Power.ON, at=now)}, now=now)
    drive.history = [closed(f"h{4 * n % 16}", START - 600 * n) for n in range(5)]
    drive.run(5)
    assert drive.evacuated() == ["h9"]


def test_what_is_open_begins_now_when_a_clock_was_put_back() -> None:
    dead = [f"h{n}" for n in range(8)]
    drive = Drive(fleet(16, 8), lambda _: {each: silent(each, Power.ON) for each in dead}).run(5)
    drive.now -= HOUR_S
    drive.run(2 * HOUR_S, every_s=60.0)
    assert drive.phases(dead) == {Phase.WAITING}


def steps(known: Evidence, now: float) -> tuple[int, dict[str, Incident]]:
    """Return how many calls a decision takes, and the incidents after it."""
    profile = cProfile.Profile()
    turns = profile.runcall(decide, known, now)
    calls = sum(each.callcount for each in profile.getstats())
    return calls, {turn.incident.host: turn.incident for turn in turns}


def silent_ones(hosts: int) -> int:
    """Return what it costs to decide for hosts that all fell silent together, the second time."""
    layout = fleet(hosts)
    sights = {host: silent(host, Power.ON) for host in layout.hosts}
    _, incidents = steps(Evidence(fence=1, layout=layout, sights=sights), START + 1)
    faint = layout.hosts
    known = Evidence(fence=1, layout=layout, sights=sights, incidents=incidents, faint=faint)
    return steps(known, START + 2)[0]


def flapping_ones(hosts: int) -> int:
    """Return what it costs to decide for hosts that all fail for the fourth time in an hour."""
    layout = fleet(hosts)
    past = [closed(host, START - 1000 * n) for host in layout.hosts for n in (1, 2, 3)]
    sights = {host: lossy(host, START, Network.MANAGEMENT) for host in layout.hosts}
    return steps(Evidence(fence=1, layout=layout, sights=sights, history=past), START + 1)[0]


@pytest.mark.parametrize("cost", [silent_ones, flapping_ones])
def test_a_decision_costs_as_much_for_each_host_however_many_there_are(
    cost: Callable[[int], int],
) -> None:
    cost(10)
    assert cost(800) < 6 * cost(200), "quadratic would be sixteen times as much"


@pytest.mark.parametrize("lasts_s", [100.0, 1000.0])
def test_a_storm_that_was_long_cools_down_from_when_its_hosts_were_back(lasts_s: float) -> None:
    """Some come back a little later than the others: they are not what is left of it."""

    def seen(now: float) -> dict[str, Sight]:
        found = {}
        for n in range(10):
            back = START + lasts_s + (0.0 if n < 4 else 30.0)
            beats = int(max(0.0, now - back) / 0.2)
            well = Sight(host=f"h{n}", heard_at=now, power=Power.ON, clean_beats=beats)
            found[f"h{n}"] = well if now >= back else silent(f"h{n}", Power.ON)
        return found

    drive = Drive(fleet(40), seen).run(10).run(lasts_s - 20, every_s=5).run(60, every_s=0.5)
    assert drive.fenced == set()
    assert len(drive.history) == 10
