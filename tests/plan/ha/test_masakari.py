# SPDX-License-Identifier: Apache-2.0
"""What masakari-monitors 22's consul driver gets wrong, each by name.

The six were found by running its own deciding code (see the decision record on high availability).
Each test has the same situation before Billow's agree and decide.
"""

import numpy as np
import pytest

from billow.model.ha.evidence import NETWORKS, Network, Sight
from billow.model.ha.incident import Phase
from billow.model.ha.response import Answer, AskAgent, CutPower, Deed, MoveAway, StartElsewhere
from billow.model.ha.view import View
from billow.model.kinds import Power
from billow.model.resources import FloatArray
from billow.plan.ha import table
from billow.plan.ha.agree import agree
from billow.plan.ha.fleet import Layout
from tests.plan.ha.fleets import START, Drive, fleet, lossy, obliging, silent, well


def view(layout: Layout, observer: str, heard_at: FloatArray) -> View:
    return View(observer, START, layout.hosts, heard_at, np.full(3, 1.0))


def heard(layout: Layout) -> FloatArray:
    return np.full((len(layout.hosts), 3), START - 0.1)


def test_masakari_1_an_observer_that_loses_its_own_storage_nic_condemns_nobody() -> None:
    """There: 100 of 100 healthy hosts are reported dead, in one poll."""
    layout = fleet(100)
    deaf = heard(layout)
    deaf[:, 2] = START - 60.0
    views = [
        view(layout, "c1", deaf),
        *(view(layout, each, heard(layout)) for each in ("c2", "c3")),
    ]
    agreement = agree(views, layout, START, 3)
    assert not agreement.lost
    assert [(each.observer, each.network) for each in agreement.faults] == [("c1", Network.STORAGE)]
    alone = agree(views[:1], layout, START, 1)
    assert not alone.lost, "and none either where it is the only controller there is"
    assert set(alone.unjudged) == set(layout.hosts)


def test_masakari_2_a_host_that_was_dead_before_the_controller_began_is_recovered() -> None:
    """There: the first sight only primes the state; it is never reported."""
    layout = fleet(20)
    never = heard(layout)
    never[0] = START - 1e6
    views = [view(layout, each, never) for each in ("c1", "c2", "c3")]
    assert set(agree(views, layout, START, 3).lost["h0"]) == set(NETWORKS)
    drive = Drive(layout, lambda _: {"h0": silent("h0", Power.ON, at=START - 1e6)}).run(5)
    assert drive.evacuated() == ["h0"]


def test_masakari_3_a_step_that_fails_is_taken_again_and_holds_up_no_other_host() -> None:
    """There: one notification, lost after 12 tries, while every other host waits."""
    layout = fleet(40)
    sights = {host: silent(host, Power.ON) for host in ("h0", "h20")}

    def one_stays_mute(deed: Deed, now: float) -> Answer | None:
        mute = isinstance(deed, CutPower) and deed.host == "h0" and now < START + 120
        return None if mute else obliging(deed, now)

    drive = Drive(layout, lambda _: sights, one_stays_mute).run(20)
    assert drive.evacuated() == ["h20"]
    drive.run(150)
    assert drive.evacuated() == ["h20", "h0"]


def test_masakari_4_a_host_that_flaps_is_one_incident_and_is_drained() -> None:
    """There: STOPPED, STARTED, STOPPED, at every poll."""
    layout = fleet(20)

    def flapping(now: float) -> dict[str, Sight]:
        gone = int(now - START) % 60 < 5
        return {"h0": lossy("h0", now, Network.MANAGEMENT) if gone else well("h0", now)}

    drive = Drive(layout, flapping).run(50)
    assert len(drive.history) == 1
    drive.run(250)
    assert len(drive.history) == 2, "the third is kept open: it does not count any more"
    assert drive.open["h0"].phase is Phase.MOVING
    assert drive.deeds(MoveAway) == [MoveAway("h0", at_once=False)]
    assert not drive.fenced


@pytest.mark.parametrize("network", NETWORKS)
def test_masakari_5_a_host_that_one_observer_does_not_know_shifts_no_row(network: Network) -> None:
    """There: a host missing from one ring gives ['up', 'down'], which matches no rule."""
    layout = fleet(20)
    gone = heard(layout)
    gone[0, NETWORKS.index(network)] = START - 60.0
    without = View("c1", START, layout.hosts[1:], heard(layout)[1:], np.full(3, 1.0))
    views = [without, view(layout, "c2", gone), view(layout, "c3", gone)]
    agreed = agree(views, layout, START, 3)
    assert {host: set(networks) for host, networks in agreed.lost.items()} == {"h0": {network}}
    key = table.key_for(lossy("h0", START, *agreed.lost["h0"]))
    assert key.lost == tuple(each is network for each in NETWORKS)


def test_masakari_6_a_host_that_is_down_for_days_stays_in_judgement() -> None:
    """There: reaped from the first ring after 72 h, it vanishes."""
    layout = fleet(20)
    drive = Drive(layout, lambda _: {"h0": silent("h0", Power.UNKNOWN)}).run(30)
    assert drive.open["h0"].held
    drive.run(100 * 3600, every_s=3600)
    assert drive.open["h0"].phase is Phase.FENCING
    drive.seen = lambda now: {"h0": silent("h0", Power.OFF)}
    drive.run(30)
    assert drive.evacuated() == ["h0"], "its power can be read again: it is recovered at once"


def test_masakari_never_acts_on_a_lost_tenant_path_and_billow_moves_live() -> None:
    drive = Drive(fleet(20), lambda now: {"h0": lossy("h0", now, Network.TENANT)}).run(3)
    assert drive.deeds(MoveAway) == [MoveAway("h0", at_once=True)]
    assert not drive.fenced


def test_masakari_restarts_elsewhere_without_a_fence_and_billow_asks_for_proof() -> None:
    """There: storage down is enough; the instances may run twice."""

    def mute(deed: Deed, now: float) -> Answer | None:
        return None if isinstance(deed, AskAgent | CutPower) else obliging(deed, now)

    drive = Drive(fleet(20), lambda now: {"h0": lossy("h0", now, Network.STORAGE)}, mute).run(120)
    assert drive.deeds(AskAgent, CutPower)
    assert not drive.deeds(StartElsewhere)
