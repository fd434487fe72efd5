# SPDX-License-Identifier: Apache-2.0

import json
import math
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billow.errors import Invalid
from billow.model import action as verbs
from billow.model import codec
from billow.model.action import VERBS, Action
from billow.model.event import Event, EventKind
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.plan import Cost, Finding, Plan, Rejection, Severity, Step
from billow.model.pool import Pool
from billow.model.run import Entry, Phase, Progress, Run, RunState
from billow.model.shape import Shape
from billow.model.text import parse
from tests.model.pools import HOSTS, SHAPES, TEXTS, assert_same, pools

SHAPE = Shape("n", 1000, 1024, numa_nodes=1, traits=frozenset({"ssd", "avx"}))
POOL = parse(
    """billow-pool 1 taken=5
    shape n cpu=1 memory=1GiB numa=1
    host h1 nodes=2x(4,8GiB)
    vm a n h1/1
    """
)
SAMPLES: dict[str, object] = {
    "instance": Instance("a", SHAPE),
    "host": "h1",
    "old": SHAPE,
    "new": replace(SHAPE, name="m"),
    "release": "13",
    "label": "before",
    "destination": "elsewhere",
    "source": "h1",
    "target": "h2",
    "source_nodes": (0,),
    "target_nodes": (0, 1),
    "cpu_limit_milli": 500,
    "cpu_ratio": 2.5,
    "memory_ratio": 1.25,
    "packages": ("openssl=3.0.17-1",),
}


def made(verb: type[Action]) -> Action:
    given = {each.name: SAMPLES[each.name] for each in fields(verb) if each.name in SAMPLES}
    if verb is not verbs.Place and "instance" in given:
        given["instance"] = "a"
    return verb(id=f"p-{verb.name}", reason="because", **given)  # type: ignore[arg-type]  # by name


ACTIONS = [made(verb) for verb in VERBS.values()]


def through_json(document: object) -> Any:  # noqa: ANN401 (JSON is anything)
    return json.loads(json.dumps(document, allow_nan=False))


@settings(max_examples=50)
@given(pools())
def test_a_pool_comes_back_the_same(pool: Pool) -> None:
    assert_same(pool, codec.pool_from_document(through_json(codec.pool_document(pool))))


@given(HOSTS, SHAPES)
def test_hosts_and_shapes_come_back_the_same(host: Host, shape: Shape) -> None:
    assert codec.host_from_document(through_json(codec.host_document(host))) == host
    assert codec.shape_from_document(through_json(codec.shape_document(shape))) == shape


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_every_verb_comes_back_the_same(action: Action) -> None:
    document = through_json(codec.action_document(action))
    assert document["verb"] == action.name
    assert codec.action_from_document(document) == action


def test_there_is_a_sample_of_every_verb() -> None:
    assert {type(action) for action in ACTIONS} == set(VERBS.values())


def test_a_plan_comes_back_the_same_with_its_pool() -> None:
    plan = Plan(
        id="p1",
        based_on=POOL.digest,
        steps=tuple(
            Step(action, wave, (ACTIONS[0].id,) if wave else (), Cost(1.0, 2.0, 0.5))
            for wave, action in enumerate(ACTIONS)
        ),
        predicted=POOL,
        cost=Cost(1.5, 60.0, 0.25),
        capabilities=("placement",),
        findings=(Finding("host/h1", Severity.WARNING, "hot"),),
        rejections=(Rejection("instance/b", "no room", ("3 hosts: too little CPU",), "wait"),),
        gain={"hosts_off": 3.0},
        generation=7,
        parent="p0",
        created_at=12.5,
        title="tidy",
    )
    document = through_json(codec.plan_document(plan))
    back = codec.plan_from_document(document, POOL)
    assert document["predicted_digest"] == POOL.digest
    assert back.predicted is POOL
    for each in fields(Plan):
        assert getattr(back, each.name) == getattr(plan, each.name), each.name


def test_a_plan_is_not_read_with_another_pool() -> None:
    plan = Plan("p", POOL.digest, (), POOL)
    with pytest.raises(Invalid, match="predicts another pool"):
        codec.plan_from_document(codec.plan_document(plan), parse("billow-pool 1"))


@pytest.mark.parametrize("wave", [-1, 1, 10**12])
def test_a_step_outside_the_waves_is_refused(wave: int) -> None:
    plan = Plan("p", POOL.digest, (Step(ACTIONS[0], 0),), POOL)
    document = through_json(codec.plan_document(plan))
    document["steps"][0]["wave"] = wave
    with pytest.raises(Invalid, match="wave"):
        codec.plan_from_document(document, POOL)


def test_a_run_keeps_its_entries_in_order() -> None:
    entries = [
        Entry("b", Phase.DONE, 1.0, 2.0, Progress(1.0, "switching", 0.0, 10.0, 10.0)),
        Entry("a", Phase.FAILED, 1.0, 3.0, None, {"brief": "no", "code": "engine-lost"}),
    ]
    run = Run("r", "p", "ann", 3, 1.0, RunState.FAILED, 4.0, {e.action_id: e for e in entries}, "x")
    document = through_json(codec.run_document(run))
    assert [entry["action_id"] for entry in document["entries"]] == ["b", "a"]
    back = codec.run_from_document(document)
    assert back == run
    assert list(back.entries) == ["b", "a"]


@given(TEXTS, st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-9, 9) | TEXTS))
def test_an_event_comes_back_the_same(text: str, data: dict[str, Any]) -> None:
    event = Event(EventKind.AUDIT, 1.25, text, ("host/h1",), "ann", {**data, "x": 1.5}, 7)
    assert codec.event_from_document(through_json(codec.event_document(event))) == event


def test_what_is_not_known_is_null() -> None:
    document = codec.progress_document(Progress(math.nan))
    assert document["fraction"] is None
    assert math.isnan(codec.progress_from_document(document).fraction)
    assert codec.instance_document(Instance("a", SHAPE))["dirty_mib_s"] is None


def test_the_schema_of_rows_is_that_of_their_values() -> None:
    document = through_json(codec.pool_document(POOL))
    assert document["hosts"][0] == through_json(codec.host_document(POOL.host("h1")))
    row = through_json(codec.instance_document(POOL.instance("a")))
    assert document["instances"][0] == {**row, "shape": "n"}
    assert list(document["instances"][0]) == list(row)


def changed(path: str, value: object) -> object:
    document = through_json(codec.pool_document(POOL))
    document.pop("digest")
    *way, last = path.split(".")
    part = document
    for step in way:
        part = part[int(step)] if step.isdigit() else part[step]
    part[last] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        ("colour", "red", ""),
        ("format", "billow-plan", ""),
        ("format", None, ""),
        ("version", 2, ""),
        ("version", True, ""),
        ("version", "1", ""),
        ("taken_at", "now", "taken_at"),
        ("taken_at", None, ""),
        ("taken_at", 1e300, ""),
        ("hosts", {}, "hosts"),
        ("hosts", [5], "hosts[0]"),
        ("hosts.0.colour", "red", "hosts[0]"),
        ("hosts.0.id", "", "hosts[0]"),
        ("hosts.0.id", None, "hosts[0].id"),
        ("hosts.0.id", "a b", "hosts[0]"),
        ("hosts.0.nodes", [], "hosts[0]"),
        ("hosts.0.nodes.1.cpu_milli", -1, "hosts[0].nodes[1]"),
        ("hosts.0.nodes.1.cpu_milli", 2**40 + 1, "hosts[0].nodes[1]"),
        ("hosts.0.nodes.1.cpu_milli", 2**80, "hosts[0].nodes[1].cpu_milli"),
        ("hosts.0.nodes.1.cpu_milli", True, "hosts[0].nodes[1].cpu_milli"),
        ("hosts.0.nodes.1.cpu_milli", 1.0, "hosts[0].nodes[1].cpu_milli"),
        ("hosts.0.nodes.1.cpu_milli", "1", "hosts[0].nodes[1].cpu_milli"),
        ("hosts.0.cpu_ratio", None, "hosts[0]"),
        ("hosts.0.cpu_ratio", float("inf"), "hosts[0].cpu_ratio"),
        ("hosts.0.cpu_ratio", False, "hosts[0].cpu_ratio"),
        ("hosts.0.cordon", "\ud800", "hosts[0]"),
        ("hosts.0.cordon", "x" * 5000, "hosts[0]"),
        ("hosts.0.power", "ON", "hosts[0].power"),
        ("hosts.0.traits", ["a", 1], "hosts[0].traits[1]"),
        ("instances.0.shape", "x", "instances[0].shape"),
        ("instances.0.shape", None, "instances[0].shape"),
        ("instances.0.nodes", [1, 1], "instances[0]"),
        ("instances.0.nodes", [32], "instances[0]"),
        ("instances.0.host", "h9", ""),
        ("instances.0.group", "g", ""),
        ("instances", None, "instances"),
        ("shapes.0.huge_pages", 1, "shapes[0].huge_pages"),
        ("shapes.0.arch", "z80", "shapes[0].arch"),
        ("digest", "0" * 32, ""),
        ("digest", 5, ""),
    ],
)
def test_a_broken_document_says_where(path: str, value: object, where: str) -> None:
    with pytest.raises(Invalid) as caught:
        codec.pool_from_document(changed(path, value))
    assert caught.value.fix
    assert not where or f"at {where}" in caught.value.details[0]


@pytest.mark.parametrize("document", [None, 5, "x", [], {}, {1: 2}, {"format": "billow-pool"}])
def test_what_is_no_document_is_refused(document: object) -> None:
    with pytest.raises(Invalid):
        codec.pool_from_document(document)
    with pytest.raises(Invalid):
        codec.plan_from_document(document, POOL)
    with pytest.raises(Invalid):
        codec.action_from_document(document)
    with pytest.raises(Invalid):
        codec.run_from_document(document)


def test_an_unknown_verb_is_refused() -> None:
    with pytest.raises(Invalid, match="is no verb") as caught:
        codec.action_from_document({"verb": "explode", "id": "x"})
    assert "migrate" in caught.value.fix


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Invalid, match="the field target is missing"):
        codec.action_from_document({"verb": "migrate", "instance": "a", "source": "h1"})
