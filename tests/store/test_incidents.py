# SPDX-License-Identifier: Apache-2.0
"""Incidents: one per host, each step by compare-and-set under the lease, kept for ever."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billow.errors import Bug, Conflict, Invalid, Leased, NotFound
from billow.model.event import EventKind
from billow.model.ha.evidence import Network
from billow.model.ha.explanation import Explanation, Gate
from billow.model.ha.incident import Attempt, Fate, Incident, Method, Phase, Proof, Victim
from billow.model.ha.response import (
    AskAgent,
    Clean,
    CloseOff,
    CutPower,
    MoveAway,
    Severity,
    StartElsewhere,
    Tell,
)
from billow.model.ha.step import IncidentStep
from billow.ports import Incidents, Lease
from billow.store import Store

pytestmark = pytest.mark.anyio

DEEDS = (
    AskAgent("h1", Network.TENANT, 1),
    CutPower("h1"),
    StartElsewhere("vm", "h1", "h2", 1),
    MoveAway("h1", at_once=True),
    CloseOff("h1", closed=True, why="ha: dead"),
    Clean("h1", Network.STORAGE, 1),
    Tell("i1/3", Severity.CRITICAL, "h1 is dead"),
)


def an_incident(name: str = "i1", host: str = "h1") -> Incident:
    """Return an incident that has just begun."""
    return Incident(id=name, host=host, opened_at=10.0, row=190, since=9.0, phase=Phase.WAITING)


def a_step(
    record: Incident, fence: int = 1, *, actor: str = "one", at: float = 10.0
) -> IncidentStep:
    """Return a step that made this record."""
    return IncidentStep(at=at, actor=actor, fence=fence, why="so it was", incident=record)


def after(record: Incident, **changes: object) -> Incident:
    """Return the record one step on."""
    return replace(record, version=record.version + 1, **changes)  # type: ignore[arg-type]


async def leased(store: Store, holder: str = "one", now: float = 0.0) -> Lease:
    """Take the lease."""
    lease = await store.acquire(holder, ttl_s=10.0, now=now)
    assert lease is not None
    return lease


async def test_what_is_kept_is_what_comes_back(store: Store) -> None:
    incidents: Incidents = store
    await leased(store)
    record = replace(
        an_incident(),
        attempts=(Attempt(Method.AGENT, 11.0, 1, Network.STORAGE, "no answer"),),
        proof=Proof(Method.BMC, 12.0, "off, read twice"),
        victims=(Victim("vm", 1, Fate.STARTED, "h2", 2, 1, 13.0), Victim("pinned", why="gpu")),
        noticed=("i1/190",),
    )
    gates = (Gate("storm", open=True, text="1 of 20"),)
    why = Explanation(
        row=190, diagnosis="dead", evidence=("a",), gates=gates, otherwise=("power on",)
    )
    step = replace(a_step(record), deeds=DEEDS, facts={"known": {"now": 1.5}}, explanation=why)
    await incidents.open_incident(step)
    assert await store.incident("i1") == record
    assert await incidents.open_incidents() == [record]
    assert await store.steps("i1") == [step]


async def test_a_host_has_one_open_incident(store: Store) -> None:
    await leased(store)
    first = an_incident()
    await store.open_incident(a_step(first))
    await store.open_incident(a_step(first))  # the same once more
    with pytest.raises(Conflict, match="i1") as error:
        await store.open_incident(a_step(an_incident("i2")))
    assert error.value.code == "incident-open"
    with pytest.raises(Conflict):
        await store.open_incident(a_step(an_incident("i1", "h2")))
    await store.open_incident(a_step(an_incident("i3", "h2")))
    closed = after(first, phase=Phase.CLOSED, closed_at=20.0, outcome="well again")
    await store.advance_incident(a_step(closed))
    await store.open_incident(a_step(an_incident("i2")))
    assert [each.id for each in await store.open_incidents()] == ["i3", "i2"]
    assert [each.id for each in await store.closed_incidents(20.0)] == ["i1"]
    assert await store.closed_incidents(20.1) == []
    assert len(await store.steps("i1")) == 2


async def test_a_step_is_taken_once_and_from_the_newest_record(store: Store) -> None:
    await leased(store)
    first = an_incident()
    await store.open_incident(a_step(first))
    fencing = after(first, phase=Phase.FENCING)
    await store.advance_incident(a_step(fencing))
    await store.advance_incident(a_step(fencing))  # as after a lost connection
    with pytest.raises(Conflict) as error:
        await store.advance_incident(a_step(after(first, phase=Phase.NOTED)))
    assert error.value.code == "incident-moved-on"
    with pytest.raises(Conflict):
        await store.advance_incident(a_step(replace(fencing, version=4)))
    assert await store.incident("i1") == fencing
    assert [step.number for step in await store.steps("i1")] == [1, 2]
    with pytest.raises(NotFound):
        await store.advance_incident(a_step(after(an_incident("i9"))))
    with pytest.raises(Bug):
        await store.open_incident(a_step(after(an_incident("i8", "h8"))))


async def test_who_lost_the_lease_writes_nothing(store: Store) -> None:
    with pytest.raises(Leased):
        await store.open_incident(a_step(an_incident()))
    await leased(store)
    first = an_incident()
    await store.open_incident(a_step(first))
    two = await leased(store, "two", now=100.0)
    with pytest.raises(Leased):
        await store.advance_incident(a_step(after(first)))
    with pytest.raises(Leased):
        await store.open_incident(a_step(an_incident("i2", "h2")))
    await store.advance_incident(a_step(after(first, held="storm"), two.fence, actor="two"))
    await store.release(two)
    with pytest.raises(Leased, match="nobody"):
        await store.advance_incident(a_step(after(after(first)), two.fence))
    assert [(step.actor, step.fence) for step in await store.steps("i1")] == [
        ("one", 1),
        ("two", 2),
    ]


async def test_of_two_controllers_in_a_race_one_takes_each_step(store_url: str) -> None:
    """Two that both believe to lead: the fence lets one through, the version each step once."""
    one, two = await Store.open(store_url), await Store.open(store_url)
    lease = await leased(one)
    first = an_incident()

    async def take(store: Store, actor: str, record: Incident) -> bool:
        try:
            step = a_step(record, lease.fence, actor=actor)
            await (store.open_incident if record.version == 1 else store.advance_incident)(step)
        except Conflict:
            return False
        return True

    for version in range(1, 21):
        record = replace(first, version=version, held=f"step {version}")
        took = await asyncio.gather(take(one, "one", record), take(two, "two", record))
        assert sorted(took) == [False, True]
    steps = await one.steps("i1")
    assert [step.number for step in steps] == list(range(1, 21))
    assert await two.incident("i1") == steps[-1].incident
    await leased(two, "two", now=1e3)
    with pytest.raises(Leased):
        await one.advance_incident(a_step(after(steps[-1].incident), lease.fence))
    await one.aclose()
    await two.aclose()


async def test_a_storm_of_incidents_steps_in_few_commits(store: Store) -> None:
    await leased(store)
    records = [an_incident(f"i{number}", f"h{number}") for number in range(300)]
    await asyncio.gather(*(store.open_incident(a_step(each)) for each in records))
    await asyncio.gather(*(store.advance_incident(a_step(after(each))) for each in records))
    assert {each.version for each in await store.open_incidents()} == {2}
    assert len(await store.incidents(limit=1000)) == 300


async def test_pages_go_from_the_newest_to_the_oldest(store: Store) -> None:
    await leased(store)
    for number in range(4):
        record = an_incident(f"i{number}", "h1" if number < 3 else "h2")
        await store.open_incident(a_step(record))
        if number < 2:
            closed = after(record, phase=Phase.CLOSED, closed_at=20.0 + number)
            await store.advance_incident(a_step(closed))
    assert [each.id for each in await store.incidents(limit=2)] == ["i3", "i2"]
    assert [each.id for each in await store.incidents(before="i2")] == ["i1", "i0"]
    assert [each.id for each in await store.incidents(host="h1")] == ["i2", "i1", "i0"]
    assert [each.id for each in await store.incidents(is_open=True)] == ["i3", "i2"]
    assert await store.incidents(host="' OR 1=1 --") == []
    for wrong in (store.incident("never"), store.steps("never"), store.incidents(before="never")):
        with pytest.raises(NotFound):
            await wrong
    with pytest.raises(Invalid):
        await store.incidents(limit=0)


async def test_what_a_step_tells_is_in_the_outbox_with_it(store: Store) -> None:
    await leased(store)
    first = replace(a_step(an_incident()), deeds=DEEDS)
    await store.open_incident(first)
    await store.open_incident(first)
    (event,) = await store.events(subject="incident/i1")
    assert (event.kind, event.text) == (EventKind.INCIDENT_STEP, "h1: so it was")
    assert await store.events(subject="host/h1") == [event]
    (alarm,) = await store.alarms()
    assert (alarm.key, alarm.host, alarm.incident, alarm.epoch) == ("i1/3", "h1", "i1", 1)
    lost = replace(a_step(after(an_incident()), fence=7), deeds=(Tell("x", Severity.NOTICE, "no"),))
    with pytest.raises(Leased):
        await store.advance_incident(lost)
    assert await store.alarms() == [alarm]


@given(text=st.text(max_size=40))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_text_is_kept(sqlite_store_url: str, text: str) -> None:
    store = await Store.open(sqlite_store_url)
    lease = await store.lease() or await leased(store)
    count = len(await store.incidents(limit=1000))
    record = replace(an_incident(f"i{count}", f"h{count}"), held=text)
    await store.open_incident(replace(a_step(record, lease.fence), why=text))
    assert await store.incident(record.id) == record
    assert [step.why for step in await store.steps(record.id)] == [text]
    await store.aclose()


async def test_a_person_s_word_needs_no_lease_and_takes_its_turn(store: Store) -> None:
    await leased(store)
    first = an_incident()
    await store.open_incident(a_step(first))
    word = a_step(after(first, released="ada: only this rack"), 0, actor="ada")
    await store.record_word(word)
    await store.record_word(word)
    assert (await store.incident("i1")).released == "ada: only this rack"
    with pytest.raises(Conflict):
        await store.advance_incident(a_step(after(first)))
    with pytest.raises(Conflict):
        await store.record_word(a_step(after(first), 0, actor="bob"))
    with pytest.raises(Bug):
        await store.record_word(a_step(after(first), 1, actor="bob"))
    assert [step.actor for step in await store.steps("i1")] == ["one", "ada"]
