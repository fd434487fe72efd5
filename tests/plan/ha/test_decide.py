# SPDX-License-Identifier: Apache-2.0
"""What holds for every history of evidence, however odd."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billow.model.ha.evidence import NETWORKS, Hardware, Network, Sight, Symptom
from billow.model.ha.incident import Method, Phase, Proof
from billow.model.ha.policy import HaPolicy
from billow.model.ha.response import Answer, AskAgent, Clean, CutPower, Deed, StartElsewhere
from billow.model.kinds import Power
from billow.plan.ha.decide import decisions
from billow.plan.ha.explain import explain
from billow.plan.ha.facts import Facts, Terms
from billow.plan.ha.fleet import Evidence
from billow.plan.ha.gates import Ruling
from tests.plan.ha.fleets import START, Drive, fleet, obliging, silent, well

HOSTS = 12
LAYOUT = fleet(HOSTS, per_rack=3)
Moment = tuple[set[Network], Power, Hardware, bool]
History = list[tuple[Moment, int]]
MOMENT: st.SearchStrategy[Moment] = st.tuples(
    st.sets(st.sampled_from(NETWORKS)),
    st.sampled_from(Power),
    st.sampled_from(Hardware),
    st.booleans(),
)
HISTORY = st.lists(st.tuples(MOMENT, st.integers(1, 40)), min_size=1, max_size=6)


def sight_at(history: History, now: float) -> Sight:
    """Return what is seen of a host whose state changes after so many seconds each."""
    begin, heard_at = START, START
    for moment, lasts_s in history[:-1]:
        if now < begin + lasts_s:
            return seen_as(moment, begin, heard_at, now)
        begin += lasts_s
        if len(moment[0]) < len(NETWORKS):
            heard_at = begin
    return seen_as(history[-1][0], begin, heard_at, now)


def seen_as(moment: Moment, since: float, heard_at: float, now: float) -> Sight:
    lost, power, hardware, leased = moment
    return Sight(
        host="h0",
        lost=dict.fromkeys(lost, since),
        heard_at=heard_at if len(lost) == len(NETWORKS) else now,
        power=power,
        power_since=since,
        hardware=hardware,
        lease_s=10.0 if leased else 0.0,
        clean_beats=0 if lost else 20,
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=HISTORY, says_yes=st.booleans())
def test_nothing_starts_elsewhere_without_a_proof_that_was_really_given(
    history: History, *, says_yes: bool
) -> None:
    def outside(deed: Deed, now: float) -> Answer | None:
        if isinstance(deed, AskAgent | CutPower):
            return Answer(deed, ok=says_yes, at=now, text="so it is")
        return obliging(deed, now)

    drive = Drive(LAYOUT, lambda now: {"h0": sight_at(history, now)}, outside)
    drive.run(sum(lasts for _, lasts in history) + 30, every_s=1.0)
    proofs = [turn.incident.proof for _, turn in drive.log]
    for (_, turn), proof in zip(drive.log, proofs, strict=True):
        if any(isinstance(each, StartElsewhere) for each in turn.deeds):
            assert proof is not None
            check_proof(proof, drive, history, says_yes=says_yes)


def check_proof(proof: Proof, drive: Drive, history: History, *, says_yes: bool) -> None:
    if proof.method is Method.LEASE:
        sight = sight_at(history, proof.at)
        assert proof.at - sight.heard_at >= sight.lease_s + drive.policy.margin_s
    else:
        assert says_yes
        assert proof.method in {Method.AGENT, Method.BMC}


@settings(max_examples=150, deadline=None)
@given(
    power=st.sampled_from(Power),
    hardware=st.sampled_from([Hardware.SOUND, Hardware.PREDICTED, Hardware.HURTING]),
    leased=st.booleans(),
)
def test_who_is_heard_on_all_networks_is_never_ended(
    power: Power, hardware: Hardware, *, leased: bool
) -> None:
    def seen(now: float) -> dict[str, Sight]:
        sight = well("h0", now, power)
        lease_s = 10.0 if leased else 0.0
        return {"h0": replace(sight, hardware=hardware, power_since=START, lease_s=lease_s)}

    drive = Drive(LAYOUT, seen).run(40, every_s=1.0)
    assert not drive.fenced
    assert not drive.evacuated()


@given(st.sets(st.sampled_from(LAYOUT.hosts), min_size=1), st.sampled_from(Power))
@settings(max_examples=60, deadline=None)
def test_fencing_never_exceeds_the_gate(hosts: set[str], power: Power) -> None:
    def mute(deed: Deed, now: float) -> Answer | None:
        return None if isinstance(deed, CutPower) else obliging(deed, now)

    sights = {host: silent(host, power) for host in hosts}
    drive = Drive(LAYOUT, lambda _: sights, mute).run(20, every_s=0.5)
    busy = [each for each in drive.open.values() if each.phase is Phase.FENCING and not each.held]
    assert len(busy) <= 1


@given(MOMENT)
@settings(deadline=None)
def test_every_decision_explains_itself(
    moment: Moment,
) -> None:
    sight = sight_at([(moment, 10)], START + 5)
    known = Evidence(fence=1, layout=LAYOUT, sights={"h0": sight}, controllers=3, present=3)
    for decision in decisions(known, START + 5):
        said = explain(decision.facts, decision.rulings)
        assert said.row == decision.facts.response.row
        assert {"armed", "maintenance", "quorum", "storm", "flapping"} <= {
            gate.name for gate in said.gates
        }
        assert said.otherwise
        assert len(said.evidence) >= 6


def test_an_explanation_names_the_gate_that_is_shut_and_what_would_have_been_otherwise() -> None:
    dead = {host: silent(host, Power.ON) for host in LAYOUT.hosts}
    known = Evidence(fence=1, layout=LAYOUT, sights=dead, controllers=3, present=3)
    said = explain(*_first(known))
    storm = next(gate for gate in said.gates if gate.name == "storm")
    assert not storm.open
    assert any("if the gate storm were open" in each for each in said.otherwise)
    assert any(each.startswith("if management were heard") for each in said.otherwise)


def _first(known: Evidence) -> tuple[Facts, tuple[Ruling, ...]]:
    decision = decisions(known, START)[0]
    return decision.facts, decision.rulings


def test_an_explanation_says_what_the_agent_proves() -> None:
    broken = Symptom("gateway", "10.0.0.1", Hardware.HURTING, "no answer", START, Network.TENANT)
    sight = Sight(host="h0", heard_at=START, power=Power.ON, symptoms=(broken,))
    known = Evidence(fence=1, layout=LAYOUT, sights={"h0": sight})
    said = explain(*_first(known))
    assert "tenant: heard, but its agent proves the path broken" in said.evidence
    assert "gateway 10.0.0.1: no answer" in said.evidence


def test_terms_are_the_policys() -> None:
    assert Terms.of(HaPolicy()) == Terms()
    assert Terms.of(HaPolicy(margin_s=5.0)).margin_s == 5.0


def hung(now: float) -> Sight:
    return replace(silent("h0", Power.ON), answers=True)


def test_a_host_whose_kernel_answers_is_given_time_and_is_ended_when_it_goes_on_hanging() -> None:
    def frozen(now: float) -> dict[str, Sight]:
        return {"h0": hung(now) if now < START + 7.0 else well("h0", now)}

    drive = Drive(LAYOUT, frozen).run(30)
    assert not drive.fenced
    assert drive.history[0].outcome == "it is well again"
    assert Drive(LAYOUT, lambda now: {"h0": hung(now)}).run(12).evacuated() == ["h0"]


def test_a_clock_that_is_put_forward_cuts_no_grace_short() -> None:
    """Ages tell how long a path is lost; the record's own times may be of another clock."""
    jump_s = 3600.0

    def seen(now: float) -> dict[str, Sight]:
        jumped = now > START + jump_s
        since = START + (jump_s if jumped else 0.0)
        return {"h0": replace(hung(now), lost=dict.fromkeys(NETWORKS, since), answers=True)}

    drive = Drive(LAYOUT, seen).run(3)
    drive.now += jump_s
    drive.run(5)
    assert not drive.fenced
    drive.now -= 2 * jump_s
    assert drive.run(5).open["h0"].phase is Phase.WAITING


def test_a_grace_counts_from_the_loss_that_its_row_speaks_of() -> None:
    """An old loss of users' network must not cut short what is waited for a new, total silence."""

    def seen(now: float) -> dict[str, Sight]:
        cut = {Network.MANAGEMENT: START, Network.TENANT: START}
        if now < START + 20.0:
            return {"h0": Sight(host="h0", lost=cut, heard_at=now, power=Power.ON)}
        if now < START + 26.0:
            lost = {**cut, Network.STORAGE: START + 20.0}
            frozen = Sight(host="h0", lost=lost, heard_at=START + 19.0, power=Power.ON)
            return {"h0": replace(frozen, answers=True)}
        return {"h0": well("h0", now)}

    assert not Drive(LAYOUT, seen).run(40).fenced


def test_a_host_that_is_heard_again_before_anything_was_ended_is_judged_anew() -> None:
    def refused(deed: Deed, now: float) -> Answer | None:
        return Answer(deed, ok=False, at=now, text="it is another host's")

    def seen(now: float) -> dict[str, Sight]:
        if now < START + 5.0:
            return {"h0": silent("h0", Power.OFF)}
        back = replace(well("h0", now), lost={Network.STORAGE: START + 5.0}, clean_beats=0)
        return {"h0": back if now < START + 9.0 else well("h0", now)}

    drive = Drive(LAYOUT, seen, refused).run(20)
    assert drive.deeds(CutPower)
    assert not drive.deeds(AskAgent)
    assert drive.history[0].outcome == "it is well again"


def test_a_host_that_nobody_hears_and_nobody_may_judge_is_not_well() -> None:
    def seen(now: float) -> dict[str, Sight]:
        dead = silent("h0", Power.UNKNOWN, lease_s=10.0)
        deaf = 5.0 < now - START < 20.0
        return {"h0": replace(dead, lost={}, clean_beats=1_000) if deaf else dead}

    drive = Drive(LAYOUT, seen).run(18)
    assert drive.evacuated() == ["h0"], "its lease is over whoever may judge its networks"
    assert {turn.incident.phase for _, turn in drive.log} <= {
        Phase.WAITING,
        Phase.FENCING,
        Phase.RECOVERING,
        Phase.QUARANTINE,
    }


def test_a_clock_that_is_put_back_ends_no_storm() -> None:
    def seen(now: float) -> dict[str, Sight]:
        return {host: silent(host, Power.ON, at=min(now, START)) for host in LAYOUT.hosts}

    drive = Drive(LAYOUT, seen).run(5)
    drive.now -= 3600.0
    drive.run(20)
    assert not drive.fenced


@pytest.mark.parametrize("slow", [CutPower, StartElsewhere, Clean])
def test_a_clock_that_is_put_back_holds_nobody_up(slow: type[Deed]) -> None:
    """What was begun before may never be told by that clock to have ended."""
    back: list[float] = []

    def seen(now: float) -> dict[str, Sight]:
        if drive.phases(["h0"]) == {Phase.QUARANTINE}:
            back.append(now)
        return {"h0": well("h0", now) if back else silent("h0", Power.ON, at=min(now, START))}

    def outside(deed: Deed, now: float) -> Answer | None:
        return None if now >= START and isinstance(deed, slow) else obliging(deed, now)

    drive = Drive(LAYOUT, seen, outside)
    drive.run(20)
    assert drive.open
    drive.now -= 3600.0
    drive.run(20)
    assert drive.evacuated() == ["h0"]
    assert not drive.open


def test_one_that_was_held_up_is_waited_for_before_anything_is_ended() -> None:
    """It misses late: of the hosts of a switch that fails then, the first look like the only."""
    dead = {"h0": silent("h0", Power.ON, at=START - 2.0)}
    known = Evidence(fence=1, layout=LAYOUT, sights=dead, controllers=3, present=3, uneven=True)
    first = decisions(known, START)[0]
    assert "held up" in first.facts.shut
    assert not next(each for each in first.rulings if each.gate.name == "even").gate.open
    later = replace(known, incidents={"h0": first.turn.incident})
    assert decisions(later, START + 1.0)[0].turn.incident.phase is Phase.WAITING
    assert decisions(later, START + 4.0)[0].turn.incident.phase is Phase.FENCING
    assert decisions(replace(later, uneven=False), START + 1.0)[0].turn.incident.phase is (
        Phase.FENCING
    )


def test_hosts_that_are_about_to_be_missed_count_for_a_storm() -> None:
    first = {"h0": silent("h0", Power.ON, at=START - 2.0)}
    known = Evidence(fence=1, layout=LAYOUT, sights=first, controllers=3, present=3)
    assert not decisions(known, START)[0].facts.shut
    many = replace(known, faint=("h1", "h2"))
    assert "storm in rack" in decisions(many, START)[0].facts.shut
