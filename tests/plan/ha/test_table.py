# SPDX-License-Identifier: Apache-2.0
"""Each of the 192 rows says what the research says, and each is driven to its end."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from billow.model.ha.evidence import NETWORKS, Hardware, Network, Sight, Symptom
from billow.model.ha.incident import Method, Phase, Proof, Recovery
from billow.model.ha.response import (
    Answer,
    AskAgent,
    CloseOff,
    CutPower,
    Deed,
    Grace,
    MoveAway,
    Response,
    Severity,
    StartElsewhere,
    Tell,
)
from billow.model.kinds import Power
from billow.plan.ha.protocol import WELL
from billow.plan.ha.table import Key, key_for, key_of, masakari, respond, rows
from tests.plan.ha.fleets import START, Drive, fleet, obliging, well

with (Path(__file__).parent / "research_table.csv").open(encoding="utf-8", newline="") as text:
    RESEARCH = list(csv.DictReader(text))
POWER = {"on": Power.ON, "off": Power.OFF, "?": Power.UNKNOWN}
EACH = pytest.mark.parametrize("key", rows(), ids=lambda key: f"row {rows()[key].row}")


def research_key(line: dict[str, str]) -> Key:
    lost = tuple(line[name] == "down" for name in ("mgmt", "tenant", "storage"))
    return Key(lost, POWER[line["power"]], Hardware(int(line["hw"])), line["lease"] == "1")


@pytest.mark.parametrize("line", RESEARCH, ids=lambda line: ",".join(list(line.values())[:6]))
def test_row_says_what_the_research_says(line: dict[str, str]) -> None:
    key, action = research_key(line), line["action"]
    response = rows()[key]
    ways = set(response.fence)
    if "agent-fence over" in action:
        assert response.fence[0] is Method.AGENT
        assert response.grace is expected_grace(action)
    else:
        assert Method.AGENT not in ways
    if "kdump message" in action:
        assert response.fence[0] is Method.GASP
    cuts = "BMC off" in action or "2 reads 1 s apart" in action
    assert (Method.BMC in ways) is cuts
    if "lease" in action:
        assert Method.LEASE in ways
    if "hold and page" in action and "storage locks" not in action:
        assert not ways - {Method.GASP, Method.AGENT}
    assert response.distrust is ("by this BMC" in action or "read again" in action)
    assert response.recovery in expected_recovery(action, key)
    assert masakari()[response.row].split()[0] == line["masakari_default"].split()[0]


def expected_grace(action: str) -> Grace:
    if "grace 10 s" in action:
        return Grace.STORAGE
    return Grace.ISOLATION if "per-VM policy" in action else Grace.NONE


def expected_recovery(action: str, key: Key) -> set[Recovery]:
    if "by this BMC" in action:  # it stays in service; what fails in it is moved live all the same
        moving = {1: Recovery.DRAIN, 2: Recovery.MOVE}
        return {moving.get(key.hardware, Recovery.NONE)}
    if action == "none" or action.startswith(("alarm", "read again")):
        return {Recovery.NONE}
    if "drain over storage" in action or "drain by live" in action:
        return {Recovery.DRAIN if key.hardware is Hardware.PREDICTED else Recovery.MOVE}
    if "no VM action" in action:
        return {Recovery.NONE}
    return {Recovery.MOVE} if "live-migrate" in action else {Recovery.RESTART}


def test_table_is_whole_and_numbered() -> None:
    assert len(RESEARCH) == len(rows()) == 192
    assert [each.row for each in rows().values()] == list(range(1, 193))
    assert all(key_of(response.row) == key for key, response in rows().items())


@EACH
def test_no_row_ends_what_is_well_and_none_without_a_way_to_proof(key: Key) -> None:
    response = rows()[key]
    if not any(key.lost) and key.power is Power.OFF:
        assert response.recovery is not Recovery.RESTART
        assert not response.fence
    if response.recovery is Recovery.RESTART:
        assert any(key.lost) or key.hardware is Hardware.FATAL
        assert response.severity is Severity.CRITICAL


def sight_for(key: Key, now: float, *, gasped: bool = False) -> Sight:
    """Return a host that falls under a row."""
    lost = {network: START for network, is_lost in zip(NETWORKS, key.lost, strict=True) if is_lost}
    return Sight(
        host="h0",
        lost=lost,
        heard_at=START - 1.0 if all(key.lost) else now,
        power=key.power,
        power_since=START,
        hardware=key.hardware,
        lease_s=10.0 if key.lease else 0.0,
        gasped=gasped,
        clean_beats=0 if any(key.lost) or key.hardware else 1_000,
    )


def believed(key: Key) -> Response:
    """Return the row that is followed in the end: a contradicted reading is treated as none."""
    contradicted = key.power is Power.OFF and any(key.lost) and not all(key.lost)
    return rows()[key._replace(power=Power.UNKNOWN) if contradicted else key]


@EACH
def test_row_is_driven_to_its_end(key: Key) -> None:
    drive = Drive(fleet(40), lambda now: {"h0": sight_for(key, now)}).run(60, every_s=0.5)
    response = believed(key)
    if rows()[key].severity in WELL:
        assert not drive.log
        return
    incident = drive.open["h0"]
    assert incident.row == response.row
    assert bool(drive.deeds(CloseOff)) is incident.cordoned
    assert drive.deeds(Tell)
    if response.recovery is Recovery.NONE:
        assert incident.phase is Phase.NOTED
        assert not drive.deeds(AskAgent, CutPower, StartElsewhere, MoveAway)
    elif response.recovery is not Recovery.RESTART:
        assert incident.phase is Phase.MOVING
        away = [MoveAway("h0", at_once=response.recovery is Recovery.MOVE)]
        assert drive.deeds(MoveAway) == away
        assert not drive.fenced
    else:
        check_restart(key, drive, response)


def check_restart(key: Key, drive: Drive, response: Response) -> None:
    incident = drive.open["h0"]
    can = [each for each in response.fence if each is not Method.GASP]
    if Method.LEASE in can and not all(key.lost):
        can.remove(Method.LEASE)  # who is heard is not reset by its watchdog
    if not can:
        assert (incident.phase, incident.proof) == (Phase.FENCING, None)
        assert incident.held
        assert not drive.deeds(StartElsewhere)
        return
    assert incident.proof is not None
    assert incident.proof.method is can[0]
    assert incident.phase is Phase.QUARANTINE
    assert drive.deeds(StartElsewhere) == [StartElsewhere("h0-vm0", "h0", "spare", 1)]
    drive.seen = lambda now: {"h0": well("h0", now)}
    drive.run(30, every_s=0.5)
    assert drive.history[0].phase is Phase.CLOSED


@EACH
def test_row_whose_first_ways_fail_goes_on_to_the_next(key: Key) -> None:
    """Only the last way of a row gives a proof; whatever happens, none starts without one."""
    response = believed(key)
    if response.recovery is not Recovery.RESTART:
        return

    def refusing(deed: Deed, now: float) -> Answer | None:
        if isinstance(deed, AskAgent | CutPower):
            return Answer(deed, ok=False, at=now, text="it does not answer")
        return obliging(deed, now)

    drive = Drive(fleet(40), lambda now: {"h0": sight_for(key, now)}, refusing).run(90, every_s=0.5)
    incident = drive.open["h0"]
    if Method.LEASE in response.fence and all(key.lost):
        assert incident.proof is not None
        assert incident.proof.method is Method.LEASE
        assert incident.proof.at >= START - 1.0 + 10.0 + drive.policy.margin_s
    else:
        assert incident.proof is None
        assert incident.held
        assert not drive.deeds(StartElsewhere)
    asked = {type(each) for each in drive.deeds(AskAgent, CutPower)}
    ways = {Method.AGENT: AskAgent, Method.BMC: CutPower}
    assert asked == {ways[each] for each in response.fence if each in ways}


def test_a_dying_kernels_word_is_a_proof_once_its_host_is_silent() -> None:
    proof = _proof_of_a_gasp(NETWORKS)
    assert proof is not None
    assert proof.method is Method.GASP
    assert proof.at == pytest.approx(START + 0.8)


def test_a_dying_kernels_word_is_no_proof_while_its_host_is_heard() -> None:
    """Other processors may run guests for as long as the kernel's last words take."""
    assert _proof_of_a_gasp(()) is None


def _proof_of_a_gasp(lost: tuple[Network, ...]) -> Proof | None:
    places = tuple(each in lost for each in NETWORKS)
    key = Key(places, Power.UNKNOWN, Hardware.FATAL, lease=False)
    drive = Drive(fleet(40), lambda now: {"h0": sight_for(key, now, gasped=True)}).run(5)
    return drive.open["h0"].proof


def test_a_path_that_the_agent_proves_broken_is_lost_though_beats_pass() -> None:
    broken = Symptom("gateway", "br-ex", Hardware.HURTING, "no answer", START, Network.TENANT)
    key = key_for(Sight(host="h0", power=Power.ON, symptoms=(broken,)))
    assert key.lost == (False, True, False)
    everywhere = tuple(replace(broken, network=each) for each in NETWORKS)
    key = key_for(Sight(host="h0", power=Power.OFF, symptoms=everywhere))
    assert key.lost == (False, True, True), "who is heard is not silent"
    assert respond(Sight(host="h0", power=Power.ON)).severity is Severity.NONE
