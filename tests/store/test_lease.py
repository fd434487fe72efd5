# SPDX-License-Identifier: Apache-2.0
"""One writer at a time: in one process, in many, through any takes, renewals and returns."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.store.workers import Worker

from billow.errors import Invalid, Leased
from billow.ports import Lease, Leases
from billow.store import Store

pytestmark = pytest.mark.anyio
Result = TypeVar("Result")


async def test_is_the_keeper_of_the_lease(store: Store) -> None:
    leases: Leases = store
    assert await leases.acquire("one", 10.0, now=100.0) == Lease("one", 1, 110.0)
    assert await store.lease() == Lease("one", 1, 110.0)


async def test_held_until_it_expires(store: Store) -> None:
    assert await store.acquire("one", 10.0, now=100.0)
    assert await store.acquire("two", 10.0, now=109.9) is None
    assert await store.acquire("one", 10.0, now=109.9) is None
    assert await store.acquire("two", 10.0, now=110.0) == Lease("two", 2, 120.0)


async def test_renewed_by_its_holder_only(store: Store) -> None:
    lease = await store.acquire("one", 10.0, now=100.0)
    assert lease is not None
    for forged in (Lease("two", 1, 110.0), Lease("one", 2, 110.0), Lease("one", 0, 110.0)):
        with pytest.raises(Leased):
            await store.renew(forged, 10.0, now=105.0)
    assert await store.lease() == lease
    assert await store.renew(lease, 10.0, now=105.0) == Lease("one", 1, 115.0)
    late = await store.renew(lease, 10.0, now=500.0)
    assert late == await store.lease() == Lease("one", 1, 510.0)


async def test_given_back(store: Store) -> None:
    lease = await store.acquire("one", 10.0, now=100.0)
    assert lease is not None
    await store.release(Lease("two", 1, 110.0))
    assert await store.lease() == lease
    await store.release(lease)
    await store.release(lease)
    with pytest.raises(Leased, match="nobody holds"):
        await store.renew(lease, 10.0, now=101.0)
    again = await store.acquire("one", 10.0, now=101.0)
    assert again == Lease("one", 2, 111.0)
    await store.release(lease)
    assert await store.lease() == again


@pytest.mark.parametrize(("holder", "ttl_s"), [("", 1.0), ("a", 0.0), ("a", float("nan"))])
async def test_nonsense_takes_nothing(store: Store, holder: str, ttl_s: float) -> None:
    with pytest.raises(Invalid):
        await store.acquire(holder, ttl_s, now=1.0)
    assert await store.lease() is None


async def test_many_ask_at_once(store: Store) -> None:
    for fence in range(1, 6):
        now = fence * 100.0
        found = await asyncio.gather(*(store.acquire(f"c{n}", 10.0, now) for n in range(20)))
        assert [lease.fence for lease in found if lease] == [fence]


async def test_many_processes_ask_at_once(store_url: str, tmp_path: Path) -> None:
    store = await Store.open(store_url)
    asked = [Worker("acquire", store_url, f"c{number}", tmp_path) for number in range(4)]
    (tmp_path / "go").touch()
    answers = [worker.result() for worker in asked]
    won = [answer for answer in answers if answer != ["none"]]
    lease = await store.lease()
    await store.aclose()
    assert len(answers) == 4
    assert lease is not None
    assert won == [[f"{lease.holder} 1"]]


class LeaseMachine(RuleBasedStateMachine):
    """Controllers that take, renew and give back, beside a plain model of the lease."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._runner = asyncio.Runner()
        self.store = self.run(Store.open(f"sqlite:///{self._folder.name}/billow.db"))
        self.now = 0.0
        self.fence = 0
        self.held: Lease | None = None
        self.known: list[Lease] = []

    def run(self, work: Coroutine[None, None, Result]) -> Result:
        """Wait for the store."""
        return self._runner.run(work)

    @rule(seconds=st.floats(0.0, 20.0))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(holder=st.sampled_from(["one", "two", "three"]), ttl_s=st.floats(0.1, 10.0))
    def acquire(self, holder: str, ttl_s: float) -> None:
        """Ask for the lease."""
        lease = self.run(self.store.acquire(holder, ttl_s, self.now))
        free = self.held is None or self.held.until <= self.now
        assert (lease is not None) == free
        if lease is not None:
            self.fence += 1
            assert lease == Lease(holder, self.fence, self.now + ttl_s)
            self.held = lease
            self.known.append(lease)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), ttl_s=st.floats(0.1, 10.0))
    def renew(self, data: st.DataObject, ttl_s: float) -> None:
        """Keep a lease, of now or of old."""
        lease = data.draw(st.sampled_from(self.known))
        if self.held and lease.fence == self.held.fence:
            self.held = self.run(self.store.renew(lease, ttl_s, self.now))
            assert self.held == Lease(lease.holder, lease.fence, self.now + ttl_s)
        else:
            with pytest.raises(Leased):
                self.run(self.store.renew(lease, ttl_s, self.now))

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Give a lease back, of now or of old."""
        lease = data.draw(st.sampled_from(self.known))
        self.run(self.store.release(lease))
        if self.held and lease.fence == self.held.fence:
            self.held = None

    @invariant()
    def agrees(self) -> None:
        """The store's lease is the model's."""
        lease = self.run(self.store.lease())
        if self.held:
            assert lease == self.held
        elif lease:
            assert lease == Lease("", self.fence, 0.0)

    def teardown(self) -> None:
        """Close what was opened."""
        self.run(self.store.aclose())
        self._runner.close()
        self._folder.cleanup()


TestLeaseMachine = LeaseMachine.TestCase
TestLeaseMachine.settings = settings(max_examples=15, stateful_step_count=30)
