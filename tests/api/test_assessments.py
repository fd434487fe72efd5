# SPDX-License-Identifier: Apache-2.0
"""Assessing moves over the API: who may look may ask, and nothing is changed by it."""

from typing import Any

import httpx2
import pytest

from billow.api.assessments import AssessmentDocument
from tests.control_planes import ControlPlane


def running(admin: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = admin.get("/v1/instances?state=running&limit=1").json()["items"][0]
    return found


def test_a_viewer_assesses_a_move(
    plane: ControlPlane, admin: httpx2.Client, viewer_token: str
) -> None:
    instance = running(admin)
    hosts = [each["id"] for each in admin.get("/v1/hosts").json()["items"]]
    target = next(each for each in hosts if each != instance["host"])
    path = f"/v1/instances/{instance['id']}/assessment"
    with plane.client(viewer_token) as viewer:
        answer = viewer.get(path, params={"target": target})
    assert answer.status_code == 200, answer.text
    told = AssessmentDocument.model_validate(answer.json(), strict=False)
    assert (told.instance, told.source, told.target) == (instance["id"], instance["host"], target)
    assert told.memory_mib == instance["memory_mib"]
    assert told.model_extra == {}
    chosen = told.prediction
    assert chosen.ends is (chosen.seconds is not None)
    assert len(chosen.speeds) == len(chosen.limits_mib_s) == len(told.vcpus)
    ways = {chosen.way, *(each.way for each in told.others)}
    assert ways == {"pre-copy", "dirty-limit", "auto-converge"}


@pytest.mark.parametrize(
    ("instance", "target", "status"), [("nobody", "", 404), ("", "nowhere", 404)]
)
def test_who_is_not_there_cannot_be_assessed(
    admin: httpx2.Client, instance: str, target: str, status: int
) -> None:
    name = instance or running(admin)["id"]
    answer = admin.get(f"/v1/instances/{name}/assessment", params={"target": target})
    assert answer.status_code == status
    assert answer.json()["code"]


def test_it_does_not_move_to_where_it_is(admin: httpx2.Client) -> None:
    there = running(admin)
    path = f"/v1/instances/{there['id']}/assessment"
    assert admin.get(path, params={"target": there["host"]}).status_code == 400
