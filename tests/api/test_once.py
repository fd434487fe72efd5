# SPDX-License-Identifier: Apache-2.0
"""Many clients with one key at one time: one does it, the others are told or get its answer."""

from concurrent.futures import ThreadPoolExecutor

import httpx2

from tests.control_planes import ControlPlane

WISH = {
    "capability": "placement",
    "requests": [
        {"id": f"crowd-{number}", "shape": {"cpu_milli": 1, "memory_mib": 1}}
        for number in range(300)
    ],
}


def test_one_of_many_does_it(plane: ControlPlane) -> None:
    headers = {"Idempotency-Key": "one-of-many"}

    def ask(_: int) -> httpx2.Response:
        with plane.client() as client:
            return client.post("/v1/plans", json=WISH, headers=headers)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    made = {each.json()["id"] for each in answers if each.status_code == 201}
    told = {each.json()["code"] for each in answers if each.status_code == 409}
    assert len(made) == 1
    assert told <= {"idempotency-in-flight"}
    assert {each.status_code for each in answers} <= {201, 409}
    with plane.client() as client:
        again = client.post("/v1/plans", json=WISH, headers=headers)
        assert (again.status_code, again.json()["id"]) == (201, *made)
        plans = client.get("/v1/plans", params={"limit": 500}).json()["items"]
    assert sum(each["title"] == "create 300 instances" for each in plans) == 1


def test_a_key_is_its_owners_alone(plane: ControlPlane, operator_token: str) -> None:
    headers = {"Idempotency-Key": "mine-alone"}
    body = {"capability": "placement"}
    with plane.client() as admin, plane.client(operator_token) as operator:
        first = admin.post("/v1/plans", json=body, headers=headers)
        second = operator.post("/v1/plans", json=body, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]


def test_a_key_gives_nothing_to_whom_is_not_known(plane: ControlPlane) -> None:
    headers = {"Idempotency-Key": "known-only"}
    body = {"capability": "placement"}
    with plane.client() as client:
        assert client.post("/v1/plans", json=body, headers=headers).status_code == 201
    with plane.client("") as client:
        assert client.post("/v1/plans", json=body, headers=headers).status_code == 401
