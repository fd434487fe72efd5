# SPDX-License-Identifier: Apache-2.0
"""What an incident does when its host boots anew, waits for its lease, or was seen too late."""

from dataclasses import replace

import pytest

from billow.model.ha.care import Maintenance, Reach
from billow.model.ha.evidence import Hardware, Network, Sight, Symptom
from billow.model.ha.incident import Fate, Incident, Method, Phase, Proof, Victim
from billow.model.ha.response import (
    Answer,
    AskAgent,
    CutPower,
    Deed,
    MoveAway,
    Severity,
    StartElsewhere,
    Tell,
    Turn,
)
from billow.model.kinds import Power
from billow.plan.ha.aftermath import NOBODY_HAS_ROOM, UNSEEN
from billow.plan.ha.decide import barred, decide, decisions
from billow.plan.ha.explain import explain
from billow.plan.ha.fleet import Evidence, Layout, Place
from billow.plan.ha.protocol import NEVER_ADMITTED
from billow.plan.ha.recovery import NO_ROOM
from tests.plan.ha.fleets import START, Drive, fleet, obliging, silent

WORK_S = 600.0
OURS = Maintenance(
    id="m", reach=Reach.POOL, name="", owner="ann", why="work", since=START, until=START + WORK_S
)


def rebooted(now: float, *guests: str) -> dict[str, Sight]:
    """Return a host that falls silent at 1 s, and is back under another boot at 60 s."""
    if now < START + 1:
        return {"h0": Sight(host="h0", heard_at=now, power=Power.ON, boot="b1", clean_beats=100)}
    if now < START + 60:
        return {"h0": replace(silent("h0", Power.ON, at=START + 1), boot="b1")}
    back = Sight(host="h0", heard_at=now, power=Power.ON, boot="b2", clean_beats=100)
    return {"h0": replace(back, quarantined=True, guests=guests)}


def tells(turns: list[Turn]) -> list[Tell]:
    return [deed for turn in turns for deed in turn.deeds if isinstance(deed, Tell)]


def without_power(deed: Deed, now: float) -> Answer | None:
    """Answer as if all went well, but for management controllers, which say nothing."""
    return None if isinstance(deed, CutPower) else obliging(deed, now)


def test_a_host_that_boots_anew_is_asked_for_a_proof_before_anything_starts_elsewhere() -> None:
    """What starts by itself in the new boot would run twice."""
    drive = Drive(fleet(20), rebooted, outside=lambda deed, now: None).run(70)
    incident = drive.open["h0"]
    assert (incident.phase, incident.boot, incident.proof) == (Phase.FENCING, "b2", None)
    assert incident.attempts[0].method is Method.AGENT
    assert not drive.deeds(StartElsewhere)
    proved = Drive(fleet(20), rebooted, outside=without_power).run(70)
    (asked, *_), (started, *_) = proved.deeds(AskAgent), proved.deeds(StartElsewhere)
    orders = [deed for _, turn in proved.log for deed in turn.deeds]
    assert orders.index(asked) < orders.index(started)


@pytest.mark.parametrize("guests", [("h0-vm0", "h0-vm1"), ("h0-vm1",)])
def test_guests_that_came_up_again_while_a_gate_was_shut_are_left_alone(
    guests: tuple[str, ...],
) -> None:
    drive = Drive(fleet(20), lambda now: rebooted(now, *guests), instances=2)
    drive.maintenance = [OURS]
    drive.run(WORK_S + 20)
    assert not drive.deeds(AskAgent, CutPower, StartElsewhere)
    (closed,) = drive.history
    assert closed.outcome.startswith(f"it has booted anew, and {len(guests)} guests run on it")
    told = tells([turn for _, turn in drive.log])[-1]
    missing = len(guests) < 2
    assert told.severity is (Severity.CRITICAL if missing else Severity.NOTICE)
    assert ("h0-vm0" in told.text) is missing


def test_what_did_not_come_up_again_while_a_gate_was_shut_starts_elsewhere() -> None:
    drive = Drive(fleet(20), rebooted, instances=2)
    drive.maintenance = [OURS]
    drive.run(WORK_S - 1)
    assert not drive.deeds(AskAgent, StartElsewhere)
    drive.run(20)
    assert len(drive.deeds(StartElsewhere)) == 2


@pytest.mark.parametrize(("hosts", "dead", "at_once", "in_all"), [(40, 10, 2, 4), (16, 4, 1, 1)])
def test_hosts_that_wait_for_their_leases_go_by_turns(
    hosts: int, dead: int, at_once: int, in_all: int
) -> None:
    """Their management controllers are dead: the lease is the proof, and no case for people."""
    layout = Layout({f"h{n}": Place("z", f"r{n // 4}") for n in range(hosts)})
    names = [f"h{4 * n}" for n in range(dead)]
    seen = {each: silent(each, Power.UNKNOWN, lease_s=10.0) for each in names}
    drive = Drive(layout, lambda _: seen).run(120)
    assert drive.most_fencing == at_once
    assert len(drive.evacuated()) == in_all
    for host in drive.evacuated():
        turns = [turn for _, turn in drive.log if turn.incident.host == host]
        assert not [each for each in tells(turns) if "nothing proves" in each.text]


def test_people_are_told_of_each_reason_why_an_incident_is_held() -> None:
    drive = Drive(fleet(20), lambda _: {"h0": silent("h0", Power.UNKNOWN)})
    drive.maintenance = [OURS]
    drive.run(WORK_S + 20)
    held = [each for each in tells([turn for _, turn in drive.log]) if "/held/" in each.key]
    assert ["disarmed by ann" in each.text for each in held] == [True, False]
    assert "nothing proves yet" in held[-1].text
    assert len({each.key for each in held}) == 2


def recovering(*victims: Victim) -> Incident:
    return Incident(
        id="i",
        host="h0",
        opened_at=START,
        row=170,
        since=START,
        phase=Phase.RECOVERING,
        proof=Proof(Method.BMC, START, "off"),
        victims=victims,
    )


def known(incident: Incident, *, unseen: bool, victims: tuple[Victim, ...] = ()) -> Evidence:
    return Evidence(
        fence=1,
        layout=fleet(20),
        incidents={"h0": incident},
        victims={"h0": victims},
        unseen={"h0"} if unseen else (),
        rooms={"late": "h1"},
    )


def test_nothing_is_recovered_before_the_pool_was_looked_at_since_the_proof() -> None:
    blind = known(recovering(), unseen=True)
    assert decide(blind, START + 1) == ()
    (turn,) = decide(blind, START + 60)
    assert turn.incident.held == UNSEEN
    assert [each.severity for each in tells([turn])] == [Severity.CRITICAL]
    (turn,) = decide(known(turn.incident, unseen=False), START + 61)
    assert (turn.incident.phase, turn.incident.held) == (Phase.QUARANTINE, "")


def test_what_came_to_a_host_just_before_its_death_starts_elsewhere() -> None:
    (turn,) = decide(known(recovering(), unseen=False, victims=(Victim("late"),)), START + 1)
    assert turn.deeds == (StartElsewhere("late", "h0", "h1", 1),)


@pytest.mark.parametrize("network", [Network.STORAGE, Network.TENANT])
def test_nothing_is_ended_or_moved_on_a_host_that_was_never_admitted(network: Network) -> None:
    """A network that never got through to it is a fault of its set-up."""
    seen = Sight(host="h0", heard_at=START, power=Power.ON, boot="b1", quarantined=True)
    drive = Drive(fleet(20), lambda now: {"h0": replace(seen, heard_at=now, lost={network: START})})
    drive.run(60)
    assert not drive.deeds(AskAgent, CutPower, MoveAway)
    assert drive.open["h0"].held == NEVER_ADMITTED


def test_people_are_told_that_no_host_has_room() -> None:
    full = replace(known(recovering(Victim("one")), unseen=False), nowhere={"one": NO_ROOM})
    assert decide(full, START + 1) == ()
    (turn,) = decide(full, START + 60)
    assert (turn.incident.held, len(tells([turn]))) == (NOBODY_HAS_ROOM, 1)
    (turn,) = decide(
        replace(full, incidents={"h0": turn.incident}, rooms={"one": "h1"}), START + 61
    )
    assert (turn.incident.held, turn.deeds) == ("", (StartElsewhere("one", "h0", "h1", 1),))


def test_who_finds_no_room_is_left_to_people_once_its_own_host_is_back() -> None:
    """After a loss of power of all, each host would wait for the others for ever."""
    full = replace(known(recovering(Victim("one")), unseen=False), nowhere={"one": NO_ROOM})
    back = Sight(host="h0", heard_at=START + 60, power=Power.ON, clean_beats=100, boot="b2")
    (turn,) = decide(replace(full, sights={"h0": back}), START + 60)
    assert [each.fate for each in turn.incident.victims] == [Fate.LEFT]
    ended = replace(full, sights={"h0": back}, incidents={"h0": turn.incident})
    (turn,) = decide(ended, START + 61)
    assert (turn.incident.phase, tells([turn])[0].severity) == (Phase.QUARANTINE, Severity.CRITICAL)


@pytest.mark.parametrize(
    ("nowhere", "told"),
    [
        ({}, ""),
        ({"one": NO_ROOM}, ""),
        ({"one": NO_ROOM, "two": "nobody can say: no answer"}, "and nobody can say: no answer"),
    ],
)
def test_nobody_is_left_to_people_while_rooms_may_be_found(
    nowhere: dict[str, str], told: str
) -> None:
    """Many wait for their turn after a large loss; that nobody can choose is told at least."""
    both = known(recovering(Victim("one"), Victim("two")), unseen=False)
    back = Sight(host="h0", heard_at=START + 60, power=Power.ON, clean_beats=100, boot="b2")
    turns = decide(replace(both, sights={"h0": back}, nowhere=nowhere), START + 60)
    assert [told in each.text for each in tells(list(turns))] == [True] * bool(told)
    assert all(each.fate is Fate.WAITING for turn in turns for each in turn.incident.victims)


def test_a_fleet_that_rebooted_at_once_is_held() -> None:
    """Nobody has room for all: people start what ran there, or let one after the other go."""

    def seen(now: float) -> dict[str, Sight]:
        back = [Sight(host=f"h{n}", heard_at=now, power=Power.ON, boot="b2") for n in range(6)]
        fresh = [replace(each, clean_beats=100, quarantined=True) for each in back]
        return {each.host: replace(each, rebooted=now < START + 1) for each in fresh}

    drive = Drive(fleet(6, per_rack=1), seen).run(120)
    assert {each.held.partition(":")[0] for each in drive.open.values()} == {"storm in zone z"}
    assert not drive.deeds(AskAgent, StartElsewhere)


def failing(now: float) -> dict[str, Sight]:
    worn = Symptom("drive", "sda", Hardware.PREDICTED, "worn", START)
    return {"h0": Sight(host="h0", heard_at=now, hardware=Hardware.PREDICTED, symptoms=(worn,))}


def test_who_is_being_emptied_is_barred_when_a_gate_shuts() -> None:
    drive = Drive(fleet(20), failing).run(5)
    assert drive.deeds(MoveAway)
    seen = Evidence(fence=1, layout=fleet(20), incidents=drive.open, present=3, controllers=3)
    assert barred(seen, drive.now) == set()
    assert barred(replace(seen, maintenance=[OURS]), drive.now) == {"h0"}


def test_a_power_that_nobody_has_read_yet_is_not_said_to_be_disbelieved() -> None:
    sight = replace(silent("h0", Power.UNKNOWN), power_since=0.0)
    decision = decisions(Evidence(fence=1, layout=fleet(20), sights={"h0": sight}), START + 1)[0]
    said = explain(decision.facts, decision.rulings)
    assert 'power: not read yet, taken for "on"' in said.evidence


def test_a_storm_that_dark_hosts_pass_is_told_with_words() -> None:
    seen = {f"h{n}": silent(f"h{n}", Power.OFF) for n in range(10)}
    drive = Drive(fleet(20), lambda _: seen).run(5)
    told = [each for each in tells([turn for _, turn in drive.log]) if "storm/" in each.key]
    assert told
    assert all(each.text for each in told)
