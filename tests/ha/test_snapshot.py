# SPDX-License-Identifier: Apache-2.0
"""Views of what an ear heard: their ages, and whom they let a controller acknowledge."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.ha.snapshot import Snapshot, Views
from billow.model.ha.evidence import NETWORKS, AgentReport, Hardware, Network, Symptom
from billow.model.ha.view import MOST_CLEAN, VIEW_S, View
from billow.plan.ha.agree import Agreement, agree
from billow.plan.ha.fleet import Layout, Place

HOSTS = ("h1", "h2")


def snapshot(looked: float, *ages: list[float]) -> Snapshot:
    """Return what was heard so long ago."""
    return Snapshot(looked, HOSTS, looked - np.array(ages), {})


@given(jump=st.floats(-1e6, 1e6), held_up=st.floats(0, 100))
def test_a_jump_of_the_clock_on_the_wall_and_an_ear_that_is_held_up_change_no_age(
    jump: float, held_up: float
) -> None:
    views = Views("c1", 1.0, lambda: 50 + held_up)
    view = views.view(snapshot(50.0, [0.5, 2, 0.5], [0, 0, 0]), 1e9 + jump)
    assert np.allclose(view.at - view.heard_at, np.array([[0.5, 2, 0.5], [0, 0, 0]]), atol=1e-3)
    assert view.missed(view.at).tolist() == [[False, True, False], [False, False, False]]
    assert abs(1e9 + jump - view.at - held_up) < 1e-3


def test_whom_a_view_misses_everywhere_is_not_acknowledged_on_its_strength() -> None:
    views = Views("c1", 1.0, lambda: 50.0)
    one = views.view(snapshot(49.0, [3, 3, 3], [0, 3, 3]), 1000.0)
    views.view(snapshot(49.5, [0, 0, 0], [0, 0, 0]), 1000.0)  # somebody else looks meanwhile
    assert views.acknowledgeable(one) == (["h2"], 49.0 + VIEW_S)


def test_a_view_of_another_one_lets_nobody_be_acknowledged() -> None:
    views, others = Views("c1", 1.0, lambda: 50.0), Views("c2", 1.0, lambda: 50.0)
    view = others.view(snapshot(49.0, [0, 0, 0], [0, 0, 0]), 1000.0)
    assert views.acknowledgeable(view)[1] < 0


def test_an_ear_that_hears_nobody_on_a_network_doubts_itself() -> None:
    views = Views("c1", 1.0, lambda: 50.0)
    assert views.view(snapshot(50.0, [0, 3, 0], [0, 3, 3]), 0.0).sound == (True, False, True)


NO_CARRIER = Symptom("nic", "eth2", Hardware.HURTING, "no carrier", 0.0, network=Network.STORAGE)


def seen(hosts: int, heard: tuple[int, ...], *, ailing: tuple[int, ...] = ()) -> View:
    """Return the view of a fleet in which some are heard everywhere; some have no storage card."""
    names = tuple(f"h{number}" for number in range(hosts))
    ages = np.array([[0.0 if number in heard else 30.0] * 3 for number in range(hosts)])
    reports = {
        name: AgentReport(host=name, at=0, symptoms=(NO_CARRIER,) if number in ailing else ())
        for number, name in enumerate(names)
    }
    heard_last = Snapshot(50.0, names, 50 - ages.reshape(hosts, 3), reports)
    return Views("c1", 1.0, lambda: 50.0).view(heard_last, 1000.0)


def agreed(view: View) -> Agreement:
    """Return what one controller alone makes of its view."""
    layout = Layout({host: Place("z", "") for host in view.hosts})
    return agree([view], layout, 1000.0, 1)


@pytest.mark.parametrize(
    ("hosts", "heard", "sound"),
    [
        (0, (), True),
        (1, (0,), True),
        (1, (), False),
        (2, (0,), True),
        (2, (), False),
        (3, (0,), True),
        (4, (0,), True),
        (4, (), False),
        (5, (0,), False),
        (5, (0, 1), True),
    ],
)
def test_as_many_witnesses_are_wanted_as_a_lost_host_has_neighbours_for(
    hosts: int, heard: tuple[int, ...], *, sound: bool
) -> None:
    assert seen(hosts, heard).sound == (sound,) * 3


@pytest.mark.parametrize(("hosts", "lost"), [(2, {"h1"}), (3, {"h1", "h2"})])
def test_the_death_of_one_of_the_last_two_hosts_is_agreed_on(hosts: int, lost: set[str]) -> None:
    found = agreed(seen(hosts, (0,)))
    assert set(found.lost) == lost
    assert all(set(on) == set(NETWORKS) for on in found.lost.values())
    assert not found.unjudged


def test_a_lone_host_is_never_judged() -> None:
    found = agreed(seen(1, ()))
    assert not found.lost
    assert found.unjudged == {"h0": NETWORKS}


def test_a_lone_witness_that_has_no_path_itself_bears_no_witness() -> None:
    """With a controller on a host that it watches, the agent beside it is always heard."""
    view = seen(2, (0,), ailing=(0,))
    assert view.sound == (True, True, False)
    found = agreed(view)
    assert set(found.lost["h1"]) == {Network.MANAGEMENT, Network.TENANT}
    assert found.unjudged == {"h1": (Network.STORAGE,)}


def test_in_a_larger_fleet_a_storage_pool_that_ails_everybody_makes_nobody_doubt_itself() -> None:
    view = seen(6, (0, 1, 2, 3, 4), ailing=(0, 1, 2, 3, 4))
    assert view.sound == (True, True, True)
    assert set(agreed(view).lost["h5"]) == set(NETWORKS)


def test_a_host_that_never_came_is_missed_and_judged() -> None:
    never = Snapshot(50.0, HOSTS, np.array([[50.0] * 3, [-math.inf] * 3]), {})
    view = Views("c1", 1.0, lambda: 50.0).view(never, 1000.0)
    assert view.sound == (True, True, True)
    assert view.missed(view.at)[1].all()


def test_others_are_told_of_hosts_that_are_missed_or_not_well() -> None:
    well = AgentReport(host="h1", at=0, lease_s=10, clean_beats=MOST_CLEAN)
    fresh = AgentReport(host="h2", at=0, clean_beats=3)
    ages = np.zeros((2, 3))
    heard = Snapshot(50.0, HOSTS, 50 - ages, {"h1": well, "h2": fresh})
    views = Views("c1", 1.0, lambda: 50.0)
    assert set(views.view(heard, 0.0).told()) == {"h2"}
    ages[0, 1] = 5
    lost = Snapshot(50.0, HOSTS, 50 - ages, {"h1": well, "h2": fresh})
    assert set(views.view(lost, 0.0).told()) == {"h1", "h2"}
