# SPDX-License-Identifier: Apache-2.0
"""Alarms wait until each channel has taken them, once per key."""

from dataclasses import replace

import pytest

from billow.errors import Invalid, NotFound
from billow.model.ha.alarm import Alarm, Delivery
from billow.model.ha.response import Severity
from billow.ports import Outbox
from billow.store import Store

pytestmark = pytest.mark.anyio


def an_alarm(key: str = "k", *, at: float = 10.0) -> Alarm:
    """Return an alarm."""
    return Alarm(
        key=key,
        severity=Severity.CRITICAL,
        text="h1: dead",
        at=at,
        host="h1",
        incident="i1",
        epoch=3,
    )


async def test_each_channel_takes_it_once(store: Store) -> None:
    outbox: Outbox = store
    await outbox.add_alarm(an_alarm())
    await outbox.add_alarm(replace(an_alarm(), text="again"))
    (mail,) = await outbox.due("mail", now=10.0)
    assert mail == Delivery(alarm=an_alarm(), channel="mail")
    await outbox.record_delivery(replace(mail, delivered_at=11.0))
    assert await outbox.due("mail", now=1e9) == []
    assert len(await outbox.due("cmdb", now=10.0)) == 1
    await outbox.record_delivery(replace(mail, tries=9, error="late"))  # delivered stays delivered
    assert await outbox.due("mail", now=1e9) == []


async def test_what_failed_is_tried_later(store: Store) -> None:
    await store.add_alarm(an_alarm())
    failed = Delivery(alarm=an_alarm(), channel="cmdb", tries=1, next_at=20.0, error="refused")
    await store.record_delivery(failed)
    assert await store.due("cmdb", now=19.9) == []
    assert await store.due("cmdb", now=20.0) == [failed]
    again = replace(failed, tries=2, next_at=40.0)
    await store.record_delivery(again)
    assert await store.due("cmdb", now=40.0) == [again]


async def test_a_new_channel_does_not_begin_with_the_past(store: Store) -> None:
    for at in range(5):
        await store.add_alarm(an_alarm(f"k{at}", at=float(at)))
    due = await store.due("mail", now=10.0, since=3.0)
    assert [each.alarm.key for each in due] == ["k3", "k4"]
    assert [each.alarm.key for each in await store.due("mail", now=10.0, limit=2)] == ["k0", "k1"]
    assert [each.key for each in await store.alarms(limit=2)] == ["k4", "k3"]
    assert len(await store.alarms(incident="i1")) == 5
    assert await store.alarms(incident="i2") == []


async def test_nonsense_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.record_delivery(Delivery(alarm=an_alarm(), channel="mail"))
    with pytest.raises(Invalid):
        await store.due("mail", now=1.0, limit=0)
