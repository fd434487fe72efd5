# SPDX-License-Identifier: Apache-2.0
"""Live migrations over the API: listed, read with their curve, cancelled by who may."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from billow.api.migrations import MigrationDocument, MigrationRow
from tests.control_planes import ControlPlane, control_plane

PATIENCE_S = 60.0  # a busy machine is no failure
BIG = {"cpu_milli": 1000, "memory_mib": 131_072}
POOL = """billow-pool 1 taken=2026-11-22T08:00:00Z
host h[1-3] nodes=1x(16,256GiB) bandwidth=1000MiB/s
"""
SMALL = {"cpu_milli": 1000, "memory_mib": 512}


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane in whose world a minute takes a minute: there is time to cancel."""
    folder = tmp_path_factory.mktemp("moves")
    (folder / "pool").write_text(POOL)
    with control_plane(folder, "--pool", str(folder / "pool")) as plane:
        with plane.client() as client:
            asked = [{"id": "big", "shape": BIG}, {"id": "small", "shape": SMALL}]
            begin(client, client.post("/v1/instances", json={"instances": asked}))
        yield plane


@pytest.fixture
def client(slow: ControlPlane) -> Iterator[httpx2.Client]:
    with slow.client() as client:
        yield client


def begin(client: httpx2.Client, planned: httpx2.Response, *, wait: bool = True) -> dict[str, Any]:
    """Carry a plan out; return its run, at its end if that is wanted."""
    assert planned.status_code == 201, planned.text
    run = client.post(f"/v1/plans/{planned.json()['id']}/runs").json()
    path = f"/v1/runs/{run['id']}"
    if wait:
        until(lambda: client.get(path).json()["state"] != "running")
    return dict(client.get(path).json())


def until(is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


def moving(client: httpx2.Client, name: str, body: dict[str, object] | None = None) -> str:
    """Begin to move an instance; return the migration's id when it is under way."""
    planned = client.post(f"/v1/instances/{name}/migrate", json=body or {})
    begin(client, planned, wait=False)
    migration = str(planned.json()["steps"][0]["action"]["id"])
    until(lambda: client.get(f"/v1/migrations/{migration}").json()["curve"])
    return migration


def test_a_migration_is_listed_and_read(client: httpx2.Client) -> None:
    before = client.get("/v1/instances/small").json()["host"]
    body = {"policy": "shortest", "downtime_s": 0.1}
    run = begin(client, client.post("/v1/instances/small/migrate", json=body))
    assert run["state"] == "done"
    (listed,) = client.get("/v1/migrations", params={"run": run["id"]}).json()["items"]
    row = MigrationRow.model_validate(listed)
    assert (row.instance, row.source, row.state) == ("small", before, "done")
    assert (row.policy, row.promise_s, row.error) == ("shortest", 0.1, {})
    assert row.started_at < row.ended_at
    told = client.get(f"/v1/migrations/{row.id}")
    whole = MigrationDocument.model_validate(told.json())
    assert whole.model_extra == {}
    assert whole.flow is not None
    assert 1 <= len(whole.curve) <= 200
    assert [each.seconds for each in whole.curve] == sorted(each.seconds for each in whole.curve)
    events = client.get("/v1/events", params={"subject": f"migration/{row.id}"}).json()["items"]
    kinds = [each["kind"] for each in events]
    assert (kinds[0], kinds[-1]) == ("step.started", "step.ended")


def test_a_migration_is_cancelled(client: httpx2.Client) -> None:
    before = client.get("/v1/instances/big").json()["host"]
    migration = moving(client, "big")
    running = client.get("/v1/migrations", params={"running": "true"}).json()["items"]
    assert [each["id"] for each in running] == [migration]
    cancelled = client.post(f"/v1/migrations/{migration}/cancel")
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["state"] == "cancelled"
    assert cancelled.json()["error"]["code"] == "cancelled"
    there = client.get("/v1/instances/big").json()
    assert (there["host"], there["state"]) == (before, "running")
    run = client.get(f"/v1/runs/{cancelled.json()['run_id']}").json()
    assert run["entries"][0]["error"]["code"] == "cancelled"
    again = client.post(f"/v1/migrations/{migration}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "not-under-way")
    about = {"subject": f"migration/{migration}"}
    events = client.get("/v1/events", params=about).json()["items"]
    audits = [each["text"] for each in events if each["kind"] == "audit"]
    assert [text.rpartition(": ")[2][:4] for text in audits] == ["done", "migr"]
    assert "refused" in audits[1]


def test_only_operators_cancel(slow: ControlPlane, client: httpx2.Client) -> None:
    migration = moving(client, "big")
    with slow.client(slow.token_for("viewer")) as viewer:
        assert viewer.get(f"/v1/migrations/{migration}").status_code == 200
        assert viewer.post(f"/v1/migrations/{migration}/cancel").status_code == 403
    with slow.client(slow.token_for("operator")) as operator:
        assert operator.post(f"/v1/migrations/{migration}/cancel").status_code == 200


def test_pages_have_cursors(client: httpx2.Client) -> None:
    begin(client, client.post("/v1/instances/small/migrate", json={}))
    begin(client, client.post("/v1/instances/small/migrate", json={}))
    whole = client.get("/v1/migrations").json()
    assert whole["cursor"] == ""
    found: list[dict[str, Any]] = []
    cursor = ""
    while not found or cursor:
        page = client.get("/v1/migrations", params={"limit": 1, "cursor": cursor}).json()
        found += page["items"]
        cursor = page["cursor"]
    assert [each["id"] for each in found] == [each["id"] for each in whole["items"]]
    mine = client.get("/v1/migrations", params={"instance": "small"}).json()["items"]
    assert {each["instance"] for each in mine} == {"small"}


def test_what_is_not_there_is_not_found(client: httpx2.Client) -> None:
    assert client.get("/v1/migrations/never").status_code == 404
    assert client.post("/v1/migrations/never/cancel").status_code == 404
    assert client.get("/v1/migrations", params={"cursor": "never"}).status_code == 404


def test_ended_migrations_are_counted(client: httpx2.Client) -> None:
    begin(client, client.post("/v1/instances/small/migrate", json={}))
    client.post(f"/v1/migrations/{moving(client, 'big')}/cancel")
    until(lambda: "billow_migrations_under_way 0.0" in client.get("/metrics").text)
    text = client.get("/metrics").text
    counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if "migration" in line)
    done = 'way="pre-copy"'
    assert float(counted[f'billow_migrations_total{{outcome="done",{done}}}']) >= 1
    assert float(counted[f'billow_migrations_total{{outcome="cancelled",{done}}}']) >= 1
    assert float(counted[f"billow_migration_copied_bytes_total{{{done}}}"]) >= 512 * 2**20
    assert float(counted[f"billow_migration_seconds_count{{{done}}}"]) >= 1
    assert float(counted[f"billow_migration_downtime_seconds_count{{{done}}}"]) >= 1
