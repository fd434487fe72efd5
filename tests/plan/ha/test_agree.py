# SPDX-License-Identifier: Apache-2.0
"""Who may speak of a host, and when a majority agrees that it is down."""

from dataclasses import replace

import numpy as np
import pytest

from billow.model.ha.evidence import Network
from billow.model.ha.view import VIEW_S, View
from billow.plan.ha.agree import Agreement, agree
from billow.plan.ha.fleet import Layout, Place

NOW = 1_000.0
LIMIT_S = 1.0


def fleet(hosts: int, per_switch: int = 4) -> Layout:
    """Return hosts on as many switches of each network as are needed."""
    return Layout(
        {
            f"h{n}": Place(
                "z", f"r{n // per_switch}", tuple(f"{each}{n // per_switch}" for each in "mts")
            )
            for n in range(hosts)
        }
    )


def view(
    layout: Layout,
    observer: str,
    missed: dict[str, set[Network]] | None = None,
    *,
    age_s: float = 0.0,
    sound: tuple[bool, ...] = (True, True, True),
) -> View:
    """Return what a controller heard that misses some hosts since three seconds."""
    heard = np.full((len(layout.hosts), 3), NOW - age_s - 0.1)
    for host, networks in (missed or {}).items():
        for network in networks:
            heard[layout.row[host], tuple(Network).index(network)] = NOW - age_s - 3.0
    limit_s = np.full(3, LIMIT_S)
    return View(observer, NOW - age_s, layout.hosts, heard, limit_s, sound=sound, age_s=age_s)


ALL = set(Network)
TENANT = {Network.TENANT}


@pytest.fixture
def layout() -> Layout:
    return fleet(12)


def lost(agreement: Agreement) -> dict[str, set[Network]]:
    return {host: set(networks) for host, networks in agreement.lost.items()}


def test_all_well_is_nothing(layout: Layout) -> None:
    views = [view(layout, each) for each in "abc"]
    assert agree(views, layout, NOW, 3) == Agreement()


def test_two_of_three_agree_while_the_third_says_nothing(layout: Layout) -> None:
    missing = {"h0": TENANT}
    one = agree([view(layout, "a", missing), view(layout, "b")], layout, NOW, 3)
    two = agree([view(layout, each, missing) for each in "ab"], layout, NOW, 3)
    assert not one.lost
    assert lost(two) == missing
    assert two.lost["h0"][Network.TENANT] == pytest.approx(NOW - 2.0)


def test_whom_one_misses_while_the_others_stand_still_is_faint_for_as_long(layout: Layout) -> None:
    """A storm whose hosts were lost one after the other must not seem over in between."""
    still = [view(layout, each, age_s=1.7) for each in "bc"]
    agreement = agree([view(layout, "a", {"h0": ALL, "h1": ALL}), *still], layout, NOW, 3)
    assert not agreement.lost
    assert agreement.faint == ("h0", "h1")
    judged = agree([view(layout, each, {"h0": ALL}) for each in "abc"], layout, NOW, 3)
    assert (set(judged.lost), judged.faint) == ({"h0"}, ())


def test_who_is_heard_by_anybody_is_not_lost_the_network_is_torn(layout: Layout) -> None:
    """Nifty: a partial partition. Two that miss it do not make a host dead that a third hears."""
    views = [view(layout, each, {"h0": ALL}) for each in "ab"]
    agreement = agree([*views, view(layout, "c")], layout, NOW, 3)
    assert not agreement.lost
    assert set(agreement.torn["h0"]) == ALL
    late = agree([*views, view(layout, "c", age_s=1.5)], layout, NOW, 3)
    assert lost(late) == {"h0": ALL}, "what was heard long ago says nothing of now"
    assert late.lost["h0"][Network.TENANT] == pytest.approx(NOW - 0.6), "the last to hear it counts"


@pytest.mark.parametrize(
    ("voters", "missing", "agreed"), [(1, 1, True), (5, 2, False), (5, 3, True)]
)
def test_majority_of_all_that_should_speak(
    layout: Layout, voters: int, missing: int, *, agreed: bool
) -> None:
    views = [view(layout, str(n), {"h0": ALL}) for n in range(missing)]
    assert bool(agree(views, layout, NOW, voters).lost) is agreed


def test_one_voice_of_three_is_no_majority_when_the_others_are_silent(layout: Layout) -> None:
    assert not agree([view(layout, "a", {"h0": ALL})], layout, NOW, 3).lost


def test_an_old_view_has_no_voice(layout: Layout) -> None:
    views = [view(layout, "a", {"h0": ALL}), view(layout, "b", {"h0": ALL}, age_s=VIEW_S + 0.1)]
    assert not agree(views, layout, NOW, 3).lost


def test_who_hears_no_witness_on_another_switch_is_not_believed(layout: Layout) -> None:
    deaf = dict.fromkeys(layout.hosts, TENANT)
    agreement = agree([view(layout, "a", deaf), view(layout, "b", deaf)], layout, NOW, 3)
    assert not agreement.lost
    assert {fault.observer for fault in agreement.faults} == {"a", "b"}
    assert agreement.unjudged["h0"] == (Network.TENANT,)


def test_who_fails_its_own_check_is_not_believed(layout: Layout) -> None:
    unsound = (True, False, True)
    views = [view(layout, each, {"h0": TENANT}, sound=unsound) for each in "ab"]
    agreement = agree([*views, view(layout, "c")], layout, NOW, 3)
    assert not agreement.lost
    assert {(each.observer, each.network) for each in agreement.faults} == {
        ("a", Network.TENANT),
        ("b", Network.TENANT),
    }


def test_who_alone_misses_many_is_broken_itself(layout: Layout) -> None:
    many = dict.fromkeys(layout.hosts[:6], TENANT)
    views = [view(layout, "a", many), view(layout, "b", {"h0": TENANT}), view(layout, "c")]
    agreement = agree(views, layout, NOW, 3)
    assert not agreement.lost
    assert [each.observer for each in agreement.faults] == ["a"]


def test_a_switch_that_fails_is_agreed_on_where_others_still_hear(layout: Layout) -> None:
    switch = dict.fromkeys(layout.hosts[:4], TENANT)
    agreement = agree([view(layout, each, switch) for each in "abc"], layout, NOW, 3)
    assert lost(agreement) == switch


def test_one_flat_network_without_switches_known() -> None:
    layout = Layout({f"h{n}": Place() for n in range(3)})
    views = [view(layout, each, {"h0": ALL, "h1": ALL}) for each in "abc"]
    assert set(agree(views, layout, NOW, 3).lost) == {"h0", "h1"}
    views = [view(layout, each, dict.fromkeys(layout.hosts, ALL)) for each in "abc"]
    assert not agree(views, layout, NOW, 3).lost


def test_views_may_know_other_hosts_in_another_order(layout: Layout) -> None:
    part = Layout({host: layout.places[host] for host in reversed(layout.hosts[:8])})
    views = [view(layout, "a", {"h0": ALL}), view(part, "b", {"h0": ALL})]
    assert set(agree(views, layout, NOW, 3).lost) == {"h0"}
    gone = Layout({host: layout.places[host] for host in layout.hosts[1:]})
    assert not agree([views[0], view(gone, "b")], layout, NOW, 3).lost
    nobody_yet = view(Layout({}), "c")
    assert set(agree([*views, nobody_yet], layout, NOW, 3).lost) == {"h0"}


def test_clocks_that_differ_do_no_harm(layout: Layout) -> None:
    behind = view(layout, "b", {"h0": ALL})
    behind = View("b", behind.at - 500, behind.hosts, behind.heard_at - 500, behind.limit_s)
    agreement = agree([view(layout, "a", {"h0": ALL}), behind], layout, NOW, 3)
    assert agreement.lost["h0"][Network.STORAGE] == pytest.approx(NOW - 2.0)


def test_who_was_held_up_just_now_makes_the_picture_uneven(layout: Layout) -> None:
    views = [view(layout, each, {"h1": ALL}, age_s=0.2) for each in "abc"]
    assert not agree(views, layout, NOW, 3).uneven
    for awake_s, uneven in ((0.5, True), (2.0, False)):
        views[1] = replace(views[1], woke_at=NOW - awake_s)
        assert agree(views, layout, NOW, 3).uneven is uneven
