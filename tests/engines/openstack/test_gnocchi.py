# SPDX-License-Identifier: Apache-2.0
"""Real use, as a cloud's own Gnocchi tells of it: answers are in the form of Gnocchi 4.7."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.engines.openstack.replay import Replay, cloud_of

from billow.engines.openstack.landscape import Use
from billow.engines.openstack.read.gnocchi import (
    AGAIN_S,
    CPU,
    MEMORY,
    Gnocchi,
    kept,
    servers,
    wanted,
)
from billow.engines.openstack.transport import Versions
from billow.errors import Denied, NotFound, Refused, Unavailable
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


def answer(metric: str, rows: object, server: str = SERVER) -> list[dict[str, Any]]:
    """Return what Gnocchi tells of a metric of one server."""
    measures = {"measures": {server: {metric: {"mean": rows}}}}
    return [{"group": {"id": server}, "measures": measures}]


def use(cpu: object, memory: object = ()) -> Use:
    """Return what is made of the granules of a server."""
    told = {CPU: cpu, MEMORY: memory}
    cpus, memories = (kept({"": answer(name, rows)}, name) for name, rows in told.items())
    return servers(cpus, memories, NOON)[SERVER]


def test_a_counter_that_rises_is_a_rate() -> None:
    counted = [1e12 + HALF_A_CPU * 300 * n for n in range(4)]
    assert use(rows(*counted), rows(100, 200, 300, 512)) == Use(cpu_milli=500, memory_mib=512)


def test_a_granule_that_is_not_over_says_too_little() -> None:
    counted = [1e12, 1e12 + HALF_A_CPU * 300, 1e12 + HALF_A_CPU * 330]
    found = use(rows(*counted, from_s=NOON - 750), rows(256, from_s=NOON - 100))
    assert found.cpu_milli == 500
    assert math.isnan(found.memory_mib)


def test_a_granule_that_is_missing_is_bridged() -> None:
    counted = rows(1e12, 0, 1e12 + HALF_A_CPU * 600)
    del counted[1]
    assert use(counted).cpu_milli == 500


def test_the_finest_granules_are_taken() -> None:
    coarse = rows(5e12, long_s=1200)
    fine = rows(*(1e12 + HALF_A_CPU * 60 * n for n in range(10)), long_s=60)
    assert use([*coarse, *fine]).cpu_milli == 500


def test_who_has_one_metric_only_has_no_other() -> None:
    found = servers({}, kept({"": answer(MEMORY, rows(512))}, MEMORY), NOON)[SERVER]
    assert math.isnan(found.cpu_milli)
    assert found.memory_mib == 512


@pytest.mark.parametrize(
    "told", [[], rows(1e12), rows(2e12, 1e12), [["today", 300, 1]], [[]], "odd", None]
)
def test_what_cannot_be_told_is_not_a_number(told: object) -> None:
    assert math.isnan(use(told).cpu_milli)


@pytest.mark.parametrize("odd", [{}, {"": []}, {"": [3]}, {"": [{"group": {}}]}, {"measures": {}}])
def test_an_odd_answer_tells_nothing(odd: dict[str, Any]) -> None:
    assert kept(odd, CPU) == {}


async def read(replay: Replay) -> dict[str, Use]:
    hosts, found = await Gnocchi(cloud_of(replay), VirtualClock(NOON)).read()
    assert hosts == {}
    return dict(found)


async def test_a_cloud_without_one_is_not_asked() -> None:
    replay = Replay()
    assert await read(replay) == {}
    assert replay.paths() == []


async def test_each_metric_is_asked_for_once() -> None:
    """Each by itself, and each server, too: else one of another archive policy hides them all."""
    replay = Replay()
    replay.spoken["metric"] = Versions()
    replay.say("/v1/aggregates", answer(CPU, rows(1e12, 1e12 + HALF_A_CPU * 300)))
    assert (await read(replay))[SERVER].cpu_milli == 500
    assert {(each.method, each.service, each.path) for each in replay.sent} == {
        ("POST", "metric", "/v1/aggregates?start=-30+minutes&groupby=id")
    }
    assert sorted(str(each.body) for each in replay.sent) == [
        str(wanted(CPU)),
        str(wanted(MEMORY)),
    ]


async def test_an_answer_holds_for_a_minute() -> None:
    replay, clock = Replay(), VirtualClock(NOON)
    replay.spoken["metric"] = Versions()
    replay.say("/v1/aggregates", answer(MEMORY, rows(512)))
    gauge = Gnocchi(cloud_of(replay), clock)
    before = await gauge.read()
    replay.say("/v1/aggregates", answer(MEMORY, rows(256)))
    await clock.sleep(AGAIN_S - 1)
    assert await gauge.read() == before
    await clock.sleep(1)
    assert (await gauge.read())[1][SERVER].memory_mib == 256


async def test_one_that_did_not_answer_is_asked_again_at_once() -> None:
    replay = Replay()
    replay.spoken["metric"] = Versions()
    replay.say("/v1/aggregates", {}, 503)
    gauge = Gnocchi(cloud_of(replay), VirtualClock(NOON))
    with pytest.raises(Unavailable):
        await gauge.read()
    replay.say("/v1/aggregates", answer(MEMORY, rows(512)))
    assert (await gauge.read())[1][SERVER].memory_mib == 512


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, {"cause": "Resource type does not exist", "detail": "instance"}),
        (404, "Metric ['cpu'] does not exist"),
    ],
)
async def test_one_that_keeps_nothing_of_servers_tells_nothing(status: int, said: object) -> None:
    replay = Replay()
    replay.spoken["metric"] = Versions()
    replay.say("/v1/aggregates", {"code": status, "description": said}, status)
    assert await read(replay) == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (403, Denied), (404, NotFound), (503, Unavailable)],
)
async def test_one_that_does_not_tell_says_so(status: int, kind: type[Exception]) -> None:
    replay = Replay()
    replay.spoken["metric"] = Versions()
    said = {"cause": "Metrics with unknown aggregation", "detail": [["a-metric", "mean"]]}
    replay.say("/v1/aggregates", {"code": status, "description": said}, status)
    with pytest.raises(kind):
        await read(replay)
