# SPDX-License-Identifier: Apache-2.0
"""Views of what an ear heard: their ages, and whom they let a controller acknowledge."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from billow.ha.snapshot import Snapshot, Views
from billow.model.ha.evidence import AgentReport
from billow.model.ha.view import MOST_CLEAN, VIEW_S

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
    assert views.view(snapshot(50.0, [0, 3, 0], [0, 3, 3]), 0.0).sound == (True, False, False)


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
