# SPDX-License-Identifier: Apache-2.0
"""A report is made once for all who ask; a dear one is not made again at every look at the pool."""

import asyncio
from collections.abc import Mapping

import pytest

from billow.errors import Unavailable
from billow.model.pool import Pool
from billow.model.report import Report
from billow.web.told import REST, Reports

pytestmark = pytest.mark.anyio


class Slow:
    """Makes numbered reports of a pool that is newer at each look; its clock is moved by hand."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.made = 0
        self.looks = 0

    async def pool(self) -> Pool:
        """Return a pool that is newer each time."""
        self.looks += 1
        return Pool.build([], taken_at=float(self.looks))

    async def report(
        self, name: str, knobs: Mapping[str, object], plan_id: str = ""
    ) -> tuple[Report, Report | None]:
        """Return the next report, or fail when it is asked to."""
        await asyncio.sleep(0)
        self.now += self.seconds
        if "fail" in knobs:
            raise Unavailable("not now")
        self.made += 1
        return Report(name, f"{name} {self.made}", summary=plan_id), None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_those_who_ask_at_once_share_one_report() -> None:
    slow = Slow(0.0)
    reports = Reports(slow, lambda: slow.now)
    told = await asyncio.gather(*(reports.told("a", {}) for _ in range(5)))
    assert [each.before.title for each in told] == ["a 1"] * 5
    assert {each.seen_at for each in told} == {1.0}
    assert (await reports.told("a", {"knob": 2})).before.title == "a 2"


async def test_a_dear_report_rests_before_it_is_made_anew() -> None:
    slow = Slow(10.0)
    reports = Reports(slow, lambda: slow.now)
    first = await reports.told("a", {})
    slow.now += 10.0 * REST - 1.0
    assert await reports.told("a", {}) is first
    slow.now += 1.0
    second = await reports.told("a", {})
    assert (second.before.title, second.seen_at) == ("a 2", 3.0)


async def test_a_cheap_report_is_of_the_pool_as_it_is() -> None:
    slow = Slow(0.05)
    reports = Reports(slow, lambda: slow.now)
    for number in (1, 2, 3):
        assert (await reports.told("a", {})).before.title == f"a {number}"
        slow.now += 1.0


async def test_a_report_on_a_plan_stays() -> None:
    slow = Slow(0.0)
    reports = Reports(slow, lambda: slow.now)
    first = await reports.told("a", {}, "p-1")
    slow.now += 1e6
    assert await reports.told("a", {}, "p-1") is first


async def test_what_failed_is_tried_again() -> None:
    slow = Slow(10.0)
    reports = Reports(slow, lambda: slow.now)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await reports.told("a", {"fail": True})
    assert slow.now == 20.0
