# SPDX-License-Identifier: Apache-2.0
"""The API as a client meets it: a real server, the simulator behind it."""

import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from billow import capabilities
from tests.control_planes import ControlPlane

PATIENCE_S = 10.0

SMALL = {"cpu_milli": 1000, "memory_mib": 512}


def ended(client: httpx2.Client, run_id: str) -> dict[str, Any]:
    """Return a run when it has ended."""
    for _ in range(200):
        run: dict[str, Any] = client.get(f"/v1/runs/{run_id}").json()
        if run["state"] != "running":
            return run
        time.sleep(0.05)
    raise AssertionError(f"run {run_id} does not end")


def create(client: httpx2.Client, name: str, **more: object) -> dict[str, Any]:
    """Create an instance and return its run."""
    body = {"instances": [{"id": name, "shape": SMALL, **more}]}
    answer = client.post("/v1/instances", json=body, params={"apply": "true"})
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/runs/{answer.json()['id']}"
    return ended(client, answer.json()["id"])


def digest(client: httpx2.Client) -> str:
    return str(client.post("/v1/pool/sense").json()["digest"])


def test_an_instance_lives_and_dies(admin: httpx2.Client) -> None:
    assert create(admin, "life")["state"] == "done"
    born = admin.get("/v1/instances/life").json()
    assert (born["state"], born["size"]["memory_mib"]) == ("running", 512)
    for verb, state in (("stop", "stopped"), ("start", "running")):
        answer = admin.post(f"/v1/instances/life/{verb}", params={"apply": "true"})
        assert ended(admin, answer.json()["id"])["state"] == "done"
        assert admin.get("/v1/instances/life").json()["state"] == state
    answer = admin.post("/v1/instances/life/migrate", params={"apply": "true"})
    assert ended(admin, answer.json()["id"])["state"] == "done"
    assert admin.get("/v1/instances/life").json()["host"] != born["host"]
    bigger = {"shape": {"cpu_milli": 2000, "memory_mib": 1024}}
    answer = admin.post("/v1/instances/life/resize", json=bigger, params={"apply": "true"})
    assert ended(admin, answer.json()["id"])["state"] == "done"
    assert admin.get("/v1/instances/life").json()["memory_mib"] == 1024
    answer = admin.delete("/v1/instances/life", params={"apply": "true"})
    assert answer.status_code == 202
    assert ended(admin, answer.json()["id"])["state"] == "done"
    assert admin.get("/v1/instances/life").status_code == 404


def test_a_plan_is_read_before_it_runs_once_and_is_undone(admin: httpx2.Client) -> None:
    before = digest(admin)
    body = {"capability": "placement", "requests": [{"id": "planned", "shape": SMALL}]}
    made = admin.post("/v1/plans", json=body)
    plan = made.json()
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/plans/{plan['id']}"
    assert [step["action"]["verb"] for step in plan["steps"]] == ["place"]
    assert plan["based_on"] == before == digest(admin)
    assert admin.get(f"/v1/plans/{plan['id']}").json() == plan
    assert "place planned" in admin.get(f"/v1/plans/{plan['id']}/text").text
    assert admin.get(f"/v1/plans/{plan['id']}/diff").text.startswith("+ instance planned on ")
    started = admin.post(f"/v1/plans/{plan['id']}/runs", headers={"If-Match": f'"{before}"'})
    assert started.status_code == 202
    run = ended(admin, started.json()["id"])
    assert (run["state"], run["done"], run["total"]) == ("done", 1, 1)
    assert admin.post(f"/v1/plans/{plan['id']}/runs").status_code in {409, 412}
    back = admin.post(f"/v1/runs/{run['id']}/undo")
    assert back.status_code == 201
    undone = admin.post(f"/v1/plans/{back.json()['id']}/runs")
    assert ended(admin, undone.json()["id"])["state"] == "done"
    assert digest(admin) == before


def test_a_host_is_cordoned_and_uncordoned(admin: httpx2.Client) -> None:
    host = admin.get("/v1/hosts", params={"takes_instances": "true"}).json()["items"][0]["id"]
    plan = admin.post(f"/v1/hosts/{host}/cordon", json={"why": "new fan"})
    assert plan.status_code == 201
    assert admin.get(f"/v1/hosts/{host}").json()["cordon"] == ""
    for verb, cordon in (("cordon", "new fan"), ("uncordon", "")):
        answer = admin.post(
            f"/v1/hosts/{host}/{verb}", json={"why": "new fan"}, params={"apply": "true"}
        )
        assert ended(admin, answer.json()["id"])["state"] == "done"
        assert admin.get(f"/v1/hosts/{host}").json()["cordon"] == cordon


def test_several_things_are_one_plan(admin: httpx2.Client) -> None:
    for name in ("several-1", "several-2"):
        assert create(admin, name)["state"] == "done"
    bigger = {"cpu_milli": 2000, "memory_mib": 1024}
    asks = [
        {"verb": "stop", "subject": "several-1", "why": "night"},
        {"verb": "resize", "subject": "several-1", "shape": bigger},
        {"verb": "migrate", "subject": "several-2"},
    ]
    made = admin.post("/v1/changes", json={"asks": asks})
    plan = made.json()
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/plans/{plan['id']}"
    verbs = [step["action"]["verb"] for step in plan["steps"]]
    assert sorted(verbs) == ["migrate", "resize", "stop"]
    stale = {"If-Match": '"0123456789abcdef0123456789abcdef"'}
    assert admin.post("/v1/changes", json={"asks": asks}, headers=stale).status_code == 412
    ends = [{"verb": "delete", "subject": f"several-{number}"} for number in (1, 2)]
    key = {"Idempotency-Key": "several-end"}
    answers = [
        admin.post("/v1/changes", json={"asks": ends}, params={"apply": "true"}, headers=key)
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    run = ended(admin, answers[0].json()["id"])
    assert (run["state"], run["done"]) == ("done", 2)
    assert admin.get("/v1/instances", params={"q": "several-"}).json()["total"] == 0


def test_the_audit_names_everything_that_was_asked_for(
    admin: httpx2.Client, plane: ControlPlane, viewer_token: str
) -> None:
    asks = [{"verb": "stop", "subject": "vm-1"}, {"verb": "cordon", "subject": "audited"}]
    with plane.client(viewer_token) as viewer:
        assert viewer.post("/v1/changes", json={"asks": asks}).status_code == 403
    assert admin.post("/v1/changes", json={"asks": asks}).status_code == 404
    heard = admin.get("/v1/events", params={"subject": "host/audited"}).json()["items"]
    assert [each["actor"] for each in heard] == ["test-viewer", "admin"]
    for each in heard:
        assert each["subjects"] == ["instance/vm-1", "host/audited"]
        assert each["text"].startswith("POST /v1/changes (stop, cordon): refused: ")


def test_what_is_impossible_says_why(admin: httpx2.Client) -> None:
    before = digest(admin)
    huge = {"id": "huge", "shape": {"cpu_milli": 10**9, "memory_mib": 1}}
    answer = admin.post("/v1/instances", json={"instances": [huge]}, params={"apply": "true"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "not-possible")
    assert problem["blockers"]
    asked = admin.post("/v1/why-not", json={"request": huge}).json()
    assert asked["rejections"][0]["causes"]
    chosen = admin.post("/v1/choices", json={"instances": [huge]})
    assert (chosen.status_code, chosen.json()["code"]) == (409, "no-scheduler")
    assert digest(admin) == before


def test_a_stale_digest_changes_nothing(admin: httpx2.Client) -> None:
    stale = {"If-Match": '"0123456789abcdef0123456789abcdef"'}
    before = digest(admin)
    body = {"instances": [{"id": "late", "shape": SMALL}]}
    for answer in (
        admin.post("/v1/instances", json=body, headers=stale, params={"apply": "true"}),
        admin.delete("/v1/instances/vm-1", headers=stale, params={"apply": "true"}),
        admin.post("/v1/plans", json={"capability": "placement"}, headers=stale),
    ):
        assert (answer.status_code, answer.json()["code"]) == (412, "stale")
    fresh = {"If-Match": admin.get("/v1/pool").headers["etag"]}
    assert admin.post("/v1/instances", json=body, headers=fresh).status_code == 201
    assert digest(admin) == before


def test_a_key_does_a_thing_once(admin: httpx2.Client) -> None:
    body = {"capability": "placement", "requests": [{"id": "once", "shape": SMALL}]}
    key = {"Idempotency-Key": "a-key-of-mine"}
    first = admin.post("/v1/plans", json=body, headers=key)
    second = admin.post("/v1/plans", json=body, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    other = admin.post("/v1/plans", json={"capability": "placement"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
    wrong = admin.post("/v1/plans", json={"capability": "nonsense"}, headers={**key, "x": "1"})
    assert wrong.status_code == 422
    failed = {"Idempotency-Key": "a-failed-one"}
    for _ in range(2):
        again = admin.post("/v1/plans", json={"capability": "nonsense"}, headers=failed)
        assert again.status_code == 404
    secret = admin.post("/v1/tokens", json={"name": "x"}, headers=key)
    assert secret.status_code == 400


def test_lists_are_paged_filtered_and_sorted_by_the_server(admin: httpx2.Client) -> None:
    whole = admin.get("/v1/instances", params={"limit": 1000, "sort": "-memory_mib"}).json()
    pieces: list[dict[str, Any]] = []
    cursor = ""
    while True:
        params = {"limit": "7", "sort": "-memory_mib", "cursor": cursor}
        page = admin.get("/v1/instances", params=params).json()
        pieces += page["items"]
        cursor = page["cursor"]
        if not cursor:
            break
    assert [each["id"] for each in pieces] == [each["id"] for each in whole["items"]]
    assert whole["total"] == len(pieces)
    host = whole["items"][0]["host"]
    few = admin.get("/v1/instances", params={"host": host, "fields": "id,host"}).json()
    assert {frozenset(each) for each in few["items"]} == {frozenset({"id", "host"})}
    assert few["total"] == sum(each["host"] == host for each in pieces)


def test_a_batch_instance_is_created_and_found(admin: httpx2.Client) -> None:
    assert create(admin, "nightly", service="batch")["state"] == "done"
    assert create(admin, "daily")["state"] == "done"
    assert admin.get("/v1/instances/nightly").json()["service"] == "batch"
    found = admin.get("/v1/instances", params={"service": "batch", "q": "ly"}).json()["items"]
    assert [(each["id"], each["cpu_limit_milli"]) for each in found] == [("nightly", 0)]
    wrong = {"id": "x", "shape": SMALL, "service": "best-effort"}
    refused = admin.post("/v1/instances", json={"instances": [wrong]})
    assert refused.status_code in {400, 422}
    warm = {"load": "0..", "fields": "id,load,cpu_pressure,watts,power_curve,cpu_ratio"}
    assert admin.get("/v1/hosts", params=warm).status_code == 200


def test_a_move_takes_a_policy_and_a_promise(admin: httpx2.Client) -> None:
    assert create(admin, "torn", migration="post_copy")["state"] == "done"
    assert admin.get("/v1/instances/torn").json()["migration"] == "post_copy"
    found = admin.get("/v1/instances", params={"migration": "post_copy"}).json()["items"]
    assert [each["id"] for each in found] == ["torn"]
    body = {"policy": "shortest", "downtime_s": 0.05, "why": "a test"}
    plan = admin.post("/v1/instances/torn/migrate", json=body).json()
    (step,) = plan["steps"]
    assert (step["action"]["policy"], step["action"]["downtime_s"]) == ("shortest", 0.05)
    assert step["change"].endswith(", shortest, still at most 50 ms")
    several = {"asks": [{"verb": "migrate", "subject": "torn"}]}
    (step,) = admin.post("/v1/changes", json=several).json()["steps"]
    assert (step["action"]["policy"], step["action"]["downtime_s"]) == (None, None)


@pytest.mark.parametrize(
    "ask",
    [
        {"verb": "migrate", "subject": "x", "policy": "wild"},
        {"verb": "migrate", "subject": "x", "downtime_s": 0.001},
        {"verb": "migrate", "subject": "x", "downtime_s": "50ms"},
        {"verb": "stop", "subject": "x", "policy": "shortest"},
        {"verb": "stop", "subject": "x", "downtime_s": 0.05},
    ],
)
def test_a_wrong_policy_or_promise_is_refused(admin: httpx2.Client, ask: dict[str, object]) -> None:
    assert admin.post("/v1/changes", json={"asks": [ask]}).status_code in {400, 422}


def test_events_tell_who_did_what(admin: httpx2.Client) -> None:
    run = create(admin, "told")
    wanted = {"run.started", "step.started", "step.ended", "run.ended"}
    kinds: set[str] = set()
    until = time.monotonic() + PATIENCE_S
    while not wanted <= kinds and time.monotonic() < until:  # the end is told once it is kept
        events = admin.get("/v1/events", params={"subject": f"run/{run['id']}"}).json()["items"]
        kinds = {event["kind"] for event in events}
        time.sleep(0.05)
    assert wanted <= kinds
    newest = admin.get("/v1/events", params={"newest": "true", "limit": "50"}).json()["items"]
    audits = [each for each in newest if each["kind"] == "audit"]
    assert any("POST /v1/instances: done" in each["text"] for each in audits)
    assert {each["actor"] for each in audits} >= {"admin"}


@pytest.mark.parametrize("after", [0, 2])
def test_the_stream_goes_on_where_it_broke(admin: httpx2.Client, after: int) -> None:
    seen: list[int] = []
    headers = {"Last-Event-ID": str(after)}
    with admin.stream("GET", "/v1/events/stream", headers=headers) as response:
        for event in httpx2.EventSource(response):
            seen.append(int(event.id))
            assert event.json()["id"] == int(event.id)  # type: ignore[index]
            if len(seen) == 5:
                break
    listed = admin.get("/v1/events", params={"after": after, "limit": 5}).json()["items"]
    assert seen == [each["id"] for each in listed]


def test_the_stream_says_when_history_is_gone(admin: httpx2.Client) -> None:
    headers = {"Last-Event-ID": str(2**40)}
    with admin.stream("GET", "/v1/events/stream", headers=headers) as response:
        first = next(iter(httpx2.EventSource(response)))
    assert first.event == "resync"
    assert admin.get("/v1/events/stream", headers={"Last-Event-ID": "x"}).status_code == 400


def test_capabilities_doctor_errors_and_metrics(admin: httpx2.Client) -> None:
    known = {each["name"]: each for each in admin.get("/v1/capabilities").json()["items"]}
    folders = (Path(capabilities.__file__).parent).glob("*/plan.py")
    assert set(known) == {path.parent.name for path in folders}
    for name, each in known.items():
        assert each["policy"]["type"] == "object", name
        assert each["policy"]["properties"].keys() >= {knob["name"] for knob in each["knobs"]}, name
        assert each["about"], name
    assert "strategy" in known["placement"]["policy"]["properties"]
    assert admin.get("/v1/doctor").json()["ok"] is True
    kinds = {each["code"]: each["exit_code"] for each in admin.get("/v1/errors").json()}
    assert (kinds["stale"], kinds["blocked"], kinds["invalid"]) == (4, 5, 2)
    assert admin.get("/healthz").json()["status"] == "ok"
    text = admin.get("/metrics").text
    assert 'billow_request_seconds_count{method="GET",route="/v1/doctor",status="200"}' in text
    assert "billow_hosts 4.0" in text


def test_the_console_is_served_beside_the_api(admin: httpx2.Client) -> None:
    answer = admin.get("/", headers={"Authorization": ""})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
    assert "html" in admin.get("/login").headers["content-type"]


def test_limits_and_ratios_are_plans(admin: httpx2.Client) -> None:
    """What two classes of instances need to share hosts can be asked for by hand."""
    wanted = {"instances": [{"id": "noisy", "shape": {"cpu_milli": 2000, "memory_mib": 512}}]}
    started = admin.post("/v1/instances", json=wanted, params={"apply": "true"}).json()
    ended(admin, started["id"])
    limit = admin.post("/v1/instances/noisy/throttle", json={"cpus": 0.5})
    assert limit.status_code == 201
    assert [step["action"]["verb"] for step in limit.json()["steps"]] == ["throttle"]
    held = admin.post("/v1/instances/noisy/suspend").json()
    assert [step["action"]["verb"] for step in held["steps"]] == ["suspend"]
    host = admin.get("/v1/hosts", params={"limit": 1}).json()["items"][0]["id"]
    sold = admin.post(f"/v1/hosts/{host}/allot", json={"cpu_ratio": 2.0}).json()
    assert [step["action"]["verb"] for step in sold["steps"]] == ["allot"]
    asks = [{"verb": "throttle", "subject": "noisy", "cpus": 1.0},
            {"verb": "allot", "subject": host, "memory_ratio": 1.5}]  # fmt: skip
    both = admin.post("/v1/changes", json={"asks": asks}).json()
    assert {step["action"]["verb"] for step in both["steps"]} == {"throttle", "allot"}
    for wrong in (
        {"verb": "throttle", "subject": "noisy"},
        {"verb": "start", "subject": "noisy", "cpus": 1.0},
        {"verb": "start", "subject": "noisy", "cpu_ratio": 1.0},
    ):
        assert admin.post("/v1/changes", json={"asks": [wrong]}).status_code == 400


def test_the_cpu_baseline_names_what_all_hosts_have(admin: httpx2.Client) -> None:
    answer = admin.get("/v1/pool/cpu-baseline", params={"arch": "x86_64"}).json()
    assert {item["arch"] for item in answer["items"]} == {"x86_64"}
    everything = admin.get("/v1/pool/cpu-baseline").json()
    hosts = admin.get("/v1/hosts").json()["total"]
    known = sum(item["hosts"] for item in everything["items"])
    unknown = {item["arch"]: item["unknown"] for item in everything["items"]}
    assert known + sum(unknown.values()) == hosts
    for item in everything["items"]:
        assert item["model"]
        assert all(better["in_the_way"][0]["lacks"] for better in item["better"])
    assert admin.get("/v1/pool/cpu-baseline", params={"arch": "vax"}).status_code == 422
