# SPDX-License-Identifier: Apache-2.0
"""Real use, as a cloud's own Gnocchi tells of it: answers are in the form of Gnocchi 4.7."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.engines.openstack.replay import Replay, cloud_of

from billow.engines.openstack.landscape import Use
from billow.engines.openstack.read.gnocchi import ASKED, Gnocchi, servers
from billow.engines.openstack.transport import Versions
from billow.errors import Denied, Unavailable
from billow.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio
SERVER = "0e1f2a3b-0000-4000-8000-000000000001"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
HALF_A_CPU = 0.5e9


def rows(*values: float, from_s: float = NOON - 1200, long_s: float = 300.0) -> list[list[Any]]:
    """Return granules of a metric, one after the other, as Gnocchi writes them."""
    return [
        [datetime.fromtimestamp(from_s + long_s * n, UTC).isoformat(), long_s, value]
        for n, value in enumerate(values)
    ]


def answer(cpu: object, memory: object = ()) -> dict[str, Any]:
    """Return what Gnocchi tells of one server."""
    return {"measures": {SERVER: {"cpu": {"mean": cpu}, "memory.usage": {"mean": memory}}}}


def test_a_counter_that_rises_is_a_rate() -> None:
    counted = [1e12 + HALF_A_CPU * 300 * n for n in range(4)]
    found = servers(answer(rows(*counted), rows(100, 200, 300, 512)), NOON)
    assert found == {SERVER: Use(cpu_milli=500, memory_mib=512)}


def test_a_granule_that_is_not_over_says_too_little() -> None:
    counted = [1e12, 1e12 + HALF_A_CPU * 300, 1e12 + HALF_A_CPU * 330]
    begun = rows(*counted, from_s=NOON - 750)
    assert servers(answer(begun, rows(256, from_s=NOON - 100)), NOON)[SERVER].cpu_milli == 500
    assert math.isnan(servers(answer(begun, rows(256, from_s=NOON - 100)), NOON)[SERVER].memory_mib)


def test_a_granule_that_is_missing_is_bridged() -> None:
    counted = rows(1e12, 0, 1e12 + HALF_A_CPU * 600)
    del counted[1]
    assert servers(answer(counted), NOON)[SERVER].cpu_milli == 500


def test_the_finest_granules_are_taken() -> None:
    coarse = rows(5e12, long_s=1200)
    fine = rows(*(1e12 + HALF_A_CPU * 60 * n for n in range(10)), long_s=60)
    assert servers(answer([*coarse, *fine]), NOON)[SERVER].cpu_milli == 500


@pytest.mark.parametrize(
    "kept", [[], rows(1e12), rows(2e12, 1e12), [["today", 300, 1]], [[]], "odd", None]
)
def test_what_cannot_be_told_is_not_a_number(kept: object) -> None:
    assert math.isnan(servers(answer(kept), NOON)[SERVER].cpu_milli)


@pytest.mark.parametrize("odd", [{}, {"measures": []}, {"measures": {SERVER: 3}}])
def test_an_odd_answer_tells_nothing(odd: dict[str, Any]) -> None:
    assert servers(odd, NOON) == {}


async def read(replay: Replay) -> dict[str, Use]:
    hosts, found = await Gnocchi(cloud_of(replay), VirtualClock(NOON)).read()
    assert hosts == {}
    return dict(found)


async def test_a_cloud_without_one_is_not_asked() -> None:
    replay = Replay()
    assert await read(replay) == {}
    assert replay.paths() == []


async def test_a_cloud_with_one_is_asked_once() -> None:
    replay = Replay()
    replay.spoken["metric"] = Versions()
    replay.say("/v1/aggregates", answer(rows(1e12, 1e12 + HALF_A_CPU * 300)))
    assert (await read(replay))[SERVER].cpu_milli == 500
    [sent] = replay.sent
    assert (sent.method, sent.service, sent.body) == ("POST", "metric", ASKED)
    assert sent.path == "/v1/aggregates?start=-30+minutes"


@pytest.mark.parametrize("status", [400, 404])
async def test_one_that_keeps_nothing_of_servers_tells_nothing(status: int) -> None:
    replay = Replay()
    replay.spoken["metric"] = Versions()
    replay.say("/v1/aggregates", {"description": "Metrics not found"}, status)
    assert await read(replay) == {}


@pytest.mark.parametrize(("status", "kind"), [(403, Denied), (503, Unavailable)])
async def test_one_that_does_not_tell_says_so(status: int, kind: type[Exception]) -> None:
    replay = Replay()
    replay.spoken["metric"] = Versions()
    replay.say("/v1/aggregates", {}, status)
    with pytest.raises(kind):
        await read(replay)
