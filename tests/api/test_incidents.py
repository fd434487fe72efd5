# SPDX-License-Identifier: Apache-2.0
"""Failures of hosts over the API: read step by step, released and left alone by who may."""

from collections.abc import Iterator

import httpx2
import pytest

from billow.api.incident_answers import (
    DrillDocument,
    HaStatus,
    IncidentDocument,
    IncidentPage,
    IncidentRow,
    MaintenanceDocument,
    Maintenances,
    ReadinessPage,
    incident_row,
)
from billow.model.ha.document import step_from_document
from billow.model.text import parse
from billow.plan.ha.retrace import retraced
from tests.api.test_routes import ended
from tests.control_planes import ControlPlane, control_plane
from tests.recorded import held, record_now, recovered, silent

DONE, HELD = "ha-gone-1-1", "ha-gone-2-2"


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane that knows two incidents."""
    with control_plane(tmp_path_factory.mktemp("struck"), "--hosts", "4") as plane:
        incidents = recovered(DONE, "gone-1"), held(HELD, "gone-2")
        record_now(f"sqlite:///{plane.state}/billow.db", *incidents)
        yield plane


@pytest.fixture
def client(struck: ControlPlane) -> Iterator[httpx2.Client]:
    with struck.client() as client:
        yield client


def test_incidents_are_listed(client: httpx2.Client) -> None:
    page = IncidentPage.model_validate(client.get("/v1/incidents").json())
    assert [each.id for each in page.items] == [HELD, DONE]
    waiting, done = page.items
    assert (waiting.held, waiting.waits_for_word, waiting.proof) == (
        "nothing proves yet that it is dead",
        True,
        None,
    )
    assert (done.phase, done.instances, done.started, done.left) == ("quarantine", 3, 3, 0)
    assert done.proof is not None
    assert done.proof.method == "bmc"
    first = client.get("/v1/incidents", params={"limit": 1}).json()
    assert first["cursor"] == HELD
    rest = client.get("/v1/incidents", params={"limit": 1, "cursor": HELD}).json()
    assert [each["id"] for each in rest["items"]] == [DONE]
    mine = client.get("/v1/incidents", params={"host": "gone-1", "open": "true"}).json()
    assert [each["id"] for each in mine["items"]] == [DONE]


def test_what_is_affected_is_told_before_proof_is_sought() -> None:
    pool = parse(
        "billow-pool 1\nshape s cpu=1 memory=1GiB\nhost h1 nodes=(4,8GiB)\nvm a s h1 running"
    )
    row = IncidentRow.model_validate(incident_row(silent("ha-h1-1", "h1").incident, pool))
    assert (row.phase, row.instances, row.affected) == ("waiting", 0, 1)
    unseen = IncidentRow.model_validate(incident_row(silent("ha-h1-1", "h1").incident, None))
    assert unseen.affected is None


def test_an_incident_tells_each_step_and_can_be_taken_again(client: httpx2.Client) -> None:
    found = client.get(f"/v1/incidents/{DONE}").json()
    whole = IncidentDocument.model_validate(found)
    assert whole.model_extra == {}
    assert [each.instance for each in whole.victims] == ["web", "db", "gpu-job"]
    assert whole.alarms
    explanation = whole.steps[0].explanation
    assert explanation is not None
    assert explanation.evidence
    assert explanation.gates
    assert explanation.otherwise
    steps = [step_from_document(each) for each in found["steps"]]
    assert len(steps) == whole.version
    assert not any(each.differs for each in retraced(steps))
    assert client.get("/v1/incidents/never").status_code == 404
    assert client.get("/v1/incidents", params={"cursor": "never"}).status_code == 404


def test_a_held_incident_is_released_by_an_operator(struck: ControlPlane) -> None:
    path, body = f"/v1/incidents/{HELD}/release", {"why": "I pulled its plug", "dead": True}
    with struck.client(struck.token_for("viewer")) as viewer:
        assert viewer.post(path, json=body).status_code == 403
    with struck.client(struck.token_for("operator")) as operator:
        assert operator.post(path, json={"why": ""}).status_code == 422
        assert operator.post(f"/v1/incidents/{DONE}/release", json=body).status_code == 409
        answer = operator.post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["held"] == ""
        whole = operator.get(f"/v1/incidents/{HELD}").json()
        assert whole["vouched"] == "test-operator: I pulled its plug"
        assert (whole["steps"][-1]["fence"], whole["steps"][-1]["actor"]) == (0, "test-operator")
        told = operator.get("/v1/events", params={"subject": f"incident/{HELD}"}).json()["items"]
        assert any("release: done" in each["text"] for each in told)


def test_it_is_disarmed_for_a_while_and_armed_again(client: httpx2.Client) -> None:
    status = HaStatus.model_validate(client.get("/v1/ha").json())
    assert (status.armed, status.watching, status.hosts) == (True, True, 4)
    assert status.observers[0].missed == {"management": 0, "tenant": 0, "storage": 0}
    assert status.incidents == 2
    made = client.post("/v1/ha/disarm", json={"for_s": 600, "why": "core switches are replaced"})
    assert made.status_code == 201, made.text
    kept = MaintenanceDocument.model_validate(made.json())
    assert (kept.reach, kept.owner, kept.until - kept.since) == ("pool", "admin", 600)
    assert client.get("/v1/ha").json()["armed"] is False
    assert client.post("/v1/ha/arm").status_code == 200
    assert client.get("/v1/ha").json()["armed"] is True
    assert client.post("/v1/ha/arm").status_code == 409


def test_hosts_are_left_alone_for_a_while(client: httpx2.Client) -> None:
    path, body = (
        "/v1/ha/maintenance",
        {"reach": "host", "name": "host-3", "for_s": 60, "why": "fan"},
    )
    assert client.post(path, json=body).status_code == 201
    there = Maintenances.model_validate(client.get(path).json())
    assert [(each.reach, each.name, each.why) for each in there.items] == [
        ("host", "host-3", "fan")
    ]
    for wrong, status in (
        ({"name": "nobody"}, 404),
        ({"reach": "rack", "name": "none"}, 404),
        ({"for_s": 0}, 422),
        ({"for_s": 1e9}, 422),
        ({"reach": "galaxy"}, 422),
    ):
        assert client.post(path, json={**body, **wrong}).status_code == status, wrong
    end = {"reach": "host", "name": "host-3"}
    assert client.post(f"{path}/end", json=end).status_code == 200
    assert client.post(f"{path}/end", json=end).status_code == 404
    assert client.get(path).json()["items"] == []
    told = client.get("/v1/events", params={"subject": "host/host-3", "newest": "true"}).json()
    texts = [each["text"] for each in told["items"]]
    assert "POST /v1/ha/maintenance (host host-3, 60 s: fan): done" in texts


def test_readiness_is_told_of_hosts_that_are_watched(client: httpx2.Client) -> None:
    page = ReadinessPage.model_validate(client.get("/v1/ha/readiness", params={"limit": 3}).json())
    assert (len(page.items), page.hosts) == (3, 4)
    assert page.items[0].heard == ["management", "tenant", "storage"]
    assert "agent" in page.items[0].proofs


def test_a_death_is_rehearsed_of_an_empty_cordoned_host_only(struck: ControlPlane) -> None:
    body = {"host": "host-4"}
    with struck.client(struck.token_for("viewer")) as viewer:
        assert viewer.post("/v1/ha/rehearse", json=body).status_code == 403
    with struck.client() as client:
        refused = client.post("/v1/ha/rehearse", json=body)
        assert refused.status_code == 409
        assert "not cordoned" in refused.text
        assert client.post("/v1/ha/rehearse", json={"host": "never"}).status_code == 404
        run = client.post(
            "/v1/hosts/host-4/cordon", json={"why": "rehearsal"}, params={"apply": "true"}
        )
        assert ended(client, run.json()["id"])["state"] == "done"
        full = client.post("/v1/ha/rehearse", json=body)
        assert "not empty" in full.text
        there = client.get("/v1/instances", params={"host": "host-4", "limit": 100}).json()["items"]
        asks = [{"verb": "delete", "subject": each["id"]} for each in there]
        run = client.post("/v1/changes", json={"asks": asks}, params={"apply": "true"})
        assert ended(client, run.json()["id"])["state"] == "done", run.text
        drill = DrillDocument.model_validate(client.post("/v1/ha/rehearse", json=body).json())
        assert drill.ok, drill.text
        assert (drill.host, drill.method) == ("host-4", "bmc")
        alone = client.get("/v1/ha/maintenance").json()["items"]
        assert [each["name"] for each in alone] == ["host-4"]
        client.post("/v1/ha/maintenance/end", json={"reach": "host", "name": "host-4"})


def test_the_doctor_and_the_metrics_tell_of_incidents(client: httpx2.Client) -> None:
    checks = {each["name"]: each for each in client.get("/v1/doctor").json()["items"]}
    assert "incidents open" in checks["high availability"]["text"]
    shown = client.get("/metrics").text
    assert 'billow_incidents{phase="recovering"}' in shown
    assert "billow_incidents_held" in shown
