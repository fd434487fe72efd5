# SPDX-License-Identifier: Apache-2.0
"""Schemathesis makes requests of the OpenAPI: no 5xx, and every answer is as the schema says."""

from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import object_authorization

from billow.api.application import application
from billow.app import Billow
from tests.control_planes import ControlPlane

assert object_authorization.__name__  # imported late it is parsed too deep for CPython 3.11.2
STREAM = "/v1/events/stream"
"""It does not end, so test_routes has its tests."""
SENSELESS = ["400", "412", "413", "422"]
"""What fits the schema may still make no sense in this pool: an unknown group, a stale digest."""
SCHEMA = schemathesis.openapi.from_dict(application(cast("Billow", None)).openapi())
SCHEMA.config.checks.positive_data_acceptance.expected_statuses += SENSELESS


OPERATIONS = [found.ok() for found in SCHEMA.exclude(path=STREAM).get_all_operations()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_operation_keeps_its_schema(
    operation: APIOperation[Any, Any, Any, Any], data: st.DataObject, plane: ControlPlane
) -> None:
    headers = {"Authorization": f"Bearer {plane.token}"}
    case = data.draw(operation.as_strategy())
    case.call_and_validate(base_url=plane.url, headers=headers)


def test_the_schema_is_the_one_that_is_served(plane: ControlPlane) -> None:
    with plane.client("") as client:
        assert client.get("/v1/openapi.json").json() == SCHEMA.raw_schema
