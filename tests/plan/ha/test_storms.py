# SPDX-License-Identifier: Apache-2.0
"""What looks like many dead hosts: nothing is ended for it, but what is proved dead comes back."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from billow.model.ha.care import Maintenance, Reach
from billow.model.ha.evidence import NETWORKS, Network, Sight
from billow.model.ha.incident import Incident, Phase
from billow.model.ha.response import (
    Answer,
    CloseOff,
    CutPower,
    Deed,
    MoveAway,
    StartElsewhere,
    Tell,
)
from billow.model.kinds import Power
from tests.plan.ha.fleets import START, Drive, fleet, lossy, obliging, silent, well

HOSTS = 40


def sights(lost: Mapping[str, Sight], at: Mapping[str, float], now: float) -> dict[str, Sight]:
    """Return the hosts that are seen to be ill by now: not all are seen at the same instant."""
    return {host: sight for host, sight in lost.items() if at[host] <= now}


def spread(hosts: list[str], over_s: float = 0.4) -> dict[str, float]:
    return {host: START + over_s * n / len(hosts) for n, host in enumerate(hosts)}


def struck(hosts: list[str], *lost: Network, power: Power = Power.ON) -> Drive:
    """Return a fleet in which some hosts lose networks within 0.4 s."""
    at = spread(hosts)

    def seen(now: float) -> dict[str, Sight]:
        if len(lost) == len(NETWORKS):
            ill = {host: silent(host, power, at=at[host]) for host in hosts}
        else:
            ill = {host: lossy(host, now, *lost, power=power) for host in hosts}
        return sights(ill, at, now)

    return Drive(fleet(HOSTS), seen)


RACK = [f"h{n}" for n in range(10)]
ZONE = [f"h{n}" for n in range(HOSTS)]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("hosts", [RACK, ZONE], ids=["switch", "zone"])
def test_a_switch_that_fails_ends_and_moves_nothing(hosts: list[str], network: Network) -> None:
    drive = struck(hosts, network).run(10).run(900, every_s=5.0)
    assert not drive.fenced
    assert not drive.deeds(MoveAway, StartElsewhere, CutPower)


@pytest.mark.parametrize("power", [Power.ON, Power.UNKNOWN])
@pytest.mark.parametrize("hosts", [RACK, ZONE], ids=["rack", "zone"])
def test_hosts_that_fall_silent_together_are_left_alone(hosts: list[str], power: Power) -> None:
    drive = struck(hosts, *NETWORKS, power=power).run(10).run(900, every_s=5.0)
    assert not drive.fenced
    assert drive.phases(hosts) == {Phase.WAITING}
    assert not drive.evacuated()


def test_a_storage_pool_that_fails_ends_nothing_though_it_fails_slowly() -> None:
    hosts = [f"h{n}" for n in range(30)]
    at = spread(hosts, over_s=8.0)

    def seen(now: float) -> dict[str, Sight]:
        ill = {host: lossy(host, now, Network.STORAGE) for host in hosts}
        return sights(ill, at, now)

    drive = Drive(fleet(HOSTS), seen).run(10).run(900, every_s=5.0)
    assert not drive.fenced


def test_people_are_told_of_a_storm_once_and_no_host_is_closed_off() -> None:
    drive = struck(ZONE, *NETWORKS).run(30)
    assert len({deed.key for deed in drive.deeds(Tell) if isinstance(deed, Tell)}) <= 20
    together = [turn for at, turn in drive.log if at > START + 0.5]
    assert not [deed for turn in together for deed in turn.deeds if isinstance(deed, CloseOff)]


def test_all_controllers_cut_off_ends_nothing() -> None:
    drive = Drive(fleet(HOSTS), lambda _: {"h0": silent("h0", Power.ON)}, present=1).run(60)
    assert not drive.fenced
    assert "controllers speak" in drive.open["h0"].held
    drive.present = 2
    drive.run(5)
    assert drive.evacuated() == ["h0"]


def test_thirty_percent_really_without_power_all_come_back_in_order_and_never_over_the_gate() -> (
    None
):
    dead = [f"h{n}" for n in range(30)]
    layout = fleet(100)
    bands = {host: 2 - n % 3 for n, host in enumerate(dead)}

    def slow(deed: Deed, now: float) -> Answer | None:
        began = waits.setdefault(deed, now)
        return obliging(deed, now) if now - began >= 4.0 else None

    waits: dict[Deed, float] = {}
    gone = {host: silent(host, Power.OFF) for host in dead}
    drive = Drive(layout, lambda _: gone, slow, bands=bands).run(25 * 60, every_s=2.0)
    assert set(drive.evacuated()) == set(dead)
    assert drive.most_fencing <= 5
    order = [bands[host] for host in drive.evacuated()]
    assert order == sorted(order)
    begun = sorted(at for at, turn in drive.log for d in turn.deeds if isinstance(d, CutPower))
    within_a_minute = [sum(at <= other < at + 58 for other in begun) for at in begun]
    assert max(within_a_minute) <= 2, "the slow way of its own: 2 % of 100 hosts a minute"


def test_a_few_dead_hosts_at_once_are_recovered_one_after_the_other() -> None:
    dead = ["h0", "h10", "h20"]
    drive = Drive(fleet(HOSTS), lambda _: {each: silent(each, Power.ON) for each in dead})
    drive.run(30)
    assert set(drive.evacuated()) == set(dead)
    assert drive.most_fencing <= 2


def test_more_than_a_tenth_of_a_zone_in_ten_minutes_waits() -> None:
    dead = {f"h{n * 10}": START + 90.0 * n for n in range(4)}
    layout = fleet(20, per_rack=10)
    dead = {f"h{n * 6}": START + 90.0 * n for n in range(3)}

    def seen(now: float) -> dict[str, Sight]:
        return {host: silent(host, Power.ON, at=at) for host, at in dead.items() if at <= now}

    drive = Drive(layout, seen).run(400, every_s=0.5)
    assert drive.evacuated() == ["h0", "h6"]
    assert "a few at a time" in drive.open["h12"].held
    drive.run(400, every_s=0.5)
    assert drive.evacuated() == ["h0", "h6", "h12"]


def test_after_a_storm_comes_a_cool_down_and_then_one_goes_alone() -> None:
    back_s, dead = 30.0, ["h0", "h11", "h22"]

    def seen(now: float) -> dict[str, Sight]:
        if now < START + back_s:
            return {host: silent(host, Power.ON) for host in ZONE}
        ill = {host: silent(host, Power.ON) for host in dead}
        return {host: ill.get(host, well(host, now)) for host in ZONE}

    def slow(deed: Deed, now: float) -> Answer | None:
        began = waits.setdefault(deed, now)
        return obliging(deed, now) if now - began >= 5.0 else None

    waits: dict[Deed, float] = {}
    drive = Drive(fleet(HOSTS), seen, slow).run(330, every_s=0.5)
    assert not drive.fenced
    drive.run(120, every_s=0.5)
    cuts = [at for at, turn in drive.log for deed in turn.deeds if isinstance(deed, CutPower)]
    assert len(cuts) == 3
    assert cuts[0] >= START + back_s + 300
    assert cuts[1] - cuts[0] >= 5.0, "the first one goes alone until it has begun to come back"


def care(reach: Reach, name: str, until: float = START + 100) -> Maintenance:
    return Maintenance(
        id="m", reach=reach, name=name, owner="ada", why="new fans", since=0.0, until=until
    )


@pytest.mark.parametrize(
    ("reach", "name"),
    [(Reach.HOST, "h0"), (Reach.RACK, "r0"), (Reach.ZONE, "z"), (Reach.POOL, "")],
)
def test_maintenance_is_noted_and_nothing_is_ended_until_it_is_over(
    reach: Reach, name: str
) -> None:
    drive = Drive(fleet(HOSTS), lambda _: {"h0": silent("h0", Power.OFF)})
    drive.maintenance = [care(reach, name)]
    drive.run(90)
    assert not drive.fenced
    assert "ada" in drive.open["h0"].held
    drive.run(20)
    assert drive.evacuated() == ["h0"]


def test_maintenance_of_others_stops_nobody_and_counts_for_no_storm() -> None:
    asleep = [f"h{n}" for n in range(20)]
    drive = Drive(
        fleet(HOSTS), lambda _: {each: silent(each, Power.ON) for each in (*asleep, "h30")}
    )
    drive.maintenance = [care(Reach.HOST, each, until=START + 1e6) for each in asleep]
    drive.run(30)
    assert drive.evacuated() == ["h30"]


def test_an_incident_under_way_goes_on_through_a_storm_once_power_was_ordered_off() -> None:
    late: dict[str, Sight] = {}

    def seen(now: float) -> dict[str, Sight]:
        if now > START + 2:
            late.update({host: silent(host, Power.ON, at=now) for host in ZONE if host not in late})
        return {**late, "h0": silent("h0", Power.ON)}

    def slow(deed: Deed, now: float) -> Answer | None:
        began = waits.setdefault(deed, now)
        return obliging(deed, now) if now - began >= 4.0 else None

    waits: dict[Deed, float] = {}
    drive = Drive(fleet(HOSTS), seen, slow).run(60)
    assert drive.evacuated() == ["h0"]
    assert drive.fenced == {"h0"}


def test_off_that_is_heard_is_a_lie_and_is_never_believed_again() -> None:
    """A management controller of another host must not prove this one dead."""
    dead_at = START + 20.0

    def seen(now: float) -> dict[str, Sight]:
        if now < dead_at:
            return {"h0": replace(well("h0", now, Power.OFF), power_since=START)}
        return {"h0": silent("h0", Power.OFF, at=dead_at)}

    drive = Drive(fleet(HOSTS), seen).run(60)
    incident = drive.open["h0"]
    assert incident.distrust
    assert incident.held
    assert not drive.deeds(CutPower, StartElsewhere)


def test_off_that_is_read_while_the_last_beats_arrive_is_believed() -> None:
    """Power fails: it is read off before the last network is agreed to be lost."""

    def seen(now: float) -> dict[str, Sight]:
        if now < START + 1:
            early = Sight(
                host="h0", heard_at=now, power=Power.OFF, power_since=START, clean_beats=9
            )
            return {"h0": early}
        if now < START + 2:
            partly = lossy("h0", START, Network.MANAGEMENT, power=Power.OFF)
            return {"h0": replace(partly, power_since=START)}
        return {"h0": silent("h0", Power.OFF, at=START + 1)}

    drive = Drive(fleet(HOSTS), seen).run(10)
    assert drive.evacuated() == ["h0"]
    assert not drive.open["h0"].distrust


def test_off_after_which_nothing_was_heard_is_believed_though_a_network_cannot_be_judged() -> None:
    def seen(now: float) -> dict[str, Sight]:
        dark = lossy("h0", START - 1, Network.MANAGEMENT, Network.TENANT, power=Power.OFF)
        return {"h0": replace(dark, power_since=START)}

    drive = Drive(fleet(HOSTS), seen).run(10)
    assert drive.evacuated() == ["h0"]


def test_turns_are_the_same_for_the_same_evidence_and_the_most_urgent_comes_first() -> None:
    dead = ["h0", "h10", "h20", "h30"]
    drives = [
        Drive(
            fleet(HOSTS),
            lambda _: {each: silent(each, Power.ON) for each in dead},
            bands={"h30": 0, "h0": 1, "h10": 1, "h20": 1},
        ).run(60)
        for _ in range(2)
    ]
    assert drives[0].log == drives[1].log
    assert drives[0].evacuated()[0] == "h30"


def test_no_incident_is_known_twice() -> None:
    drive = struck(ZONE, *NETWORKS).run(5)
    names = [turn.incident.id for _, turn in drive.log if turn.incident.version == 1]
    assert len(names) == len(set(names)) == HOSTS
    assert all(isinstance(each, Incident) for each in drive.open.values())


def test_a_switch_that_flaps_drains_none_of_its_hosts() -> None:
    def seen(now: float) -> dict[str, Sight]:
        gone = int(now - START) % 600 < 10
        return {
            host: lossy(host, now, Network.MANAGEMENT) if gone else well(host, now) for host in RACK
        }

    drive = Drive(fleet(HOSTS), seen).run(2_500, every_s=2.0)
    assert len(drive.history) >= 4 * len(RACK)
    assert not drive.deeds(MoveAway)
