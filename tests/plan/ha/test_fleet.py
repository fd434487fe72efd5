# SPDX-License-Identifier: Apache-2.0
"""Which hosts are witnesses for each other, by as much of the layout as is known."""

import numpy as np
import pytest

from billow.model.ha.view import View
from billow.plan.ha.agree import agree
from billow.plan.ha.fleet import Layout, Place
from tests.plan.ha.fleets import START


def lost(places: dict[str, Place], dead: set[str]) -> tuple[set[str], set[str]]:
    """Return whom three controllers agree to be lost, and whom too few may judge."""
    layout = Layout(places)
    heard = np.array([[START - (100.0 if each in dead else 0.1)] * 3 for each in layout.hosts])
    views = [View(f"c{n}", START, layout.hosts, heard, np.full(3, 1.0)) for n in range(3)]
    agreement = agree(views, layout, START, 3)
    return set(agreement.lost), set(agreement.unjudged)


UNLABELLED = {f"h{n}": Place("a") for n in range(1, 20)}


@pytest.mark.parametrize(
    "other",
    [Place("a", "r1"), Place("b"), Place("b", "r1"), Place("a"), Place("b", pools=("p",))],
    ids=["one rack", "one zone", "one zone with a rack", "alike", "one pool"],
)
def test_hosts_without_a_rack_are_witnesses_of_each_other_whatever_else_is_labelled(
    other: Place,
) -> None:
    places = {"h0": other, **UNLABELLED}
    assert lost(places, {"h0", "h5"}) == ({"h0", "h5"}, set())
    assert lost(places, {"h5"}) == ({"h5"}, set())


def numbers(layout: Layout) -> list[int]:
    return [int(each) for each in layout.groups[:, 0]]


def test_hosts_without_a_rack_are_each_a_group_of_their_own() -> None:
    racks = {"h0": Place("a", "r"), "h1": Place("a"), "h2": Place("a", "r"), "h3": Place("a")}
    assert numbers(Layout(racks)) == [0, 1, 0, 2]
    assert numbers(Layout({f"h{n}": Place(zone) for n, zone in enumerate("aab")})) == [0, 1, 2]


def test_racks_are_groups_and_where_all_stand_in_one_each_host_is_its_own() -> None:
    places = {"h0": Place("a", "r"), "h1": Place("b", "r"), "h2": Place("a", "r")}
    assert numbers(Layout(places)) == [0, 1, 0]
    assert numbers(Layout({f"h{n}": Place("a", "r") for n in range(3)})) == [0, 1, 2]
