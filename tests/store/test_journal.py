# SPDX-License-Identifier: Apache-2.0
"""The journal's laws, on both databases."""

import asyncio
import math

import pytest
from tests.store.examples import a_plan, a_pool, a_run, begun

from billow.errors import BillowError, Bug, Conflict, Leased, NotFound
from billow.model.event import Event, EventKind
from billow.model.run import Entry, Phase, Progress, RunState
from billow.ports import Journal, Witness
from billow.store import Store
from billow.store.latest import EVERY_S

pytestmark = pytest.mark.anyio

DONE = Entry("p-0", Phase.DONE, started_at=3.0, ended_at=4.0)


async def phase(store: Store, action: str = "p-0") -> Phase:
    """Return what another reader sees of an action of the run."""
    return (await store.run("r-p")).entries[action].phase


async def test_is_the_journal_and_the_witness(store: Store) -> None:
    journal: Journal = store
    witness: Witness = store
    assert await journal.open_runs() == []
    await witness.tell(Event(EventKind.CONTROLLER, 1.0, "up"))


async def test_a_run_from_beginning_to_end(store: Store) -> None:
    run, lease = await begun(store)
    fence = lease.fence
    assert [each.id for each in await store.open_runs()] == [run.id]
    assert list((await store.run(run.id)).entries) == ["p-0", "p-1", "p-2"]
    await store.intend(run.id, "p-0", fence=fence, at=3.0)
    assert await phase(store) is Phase.INTENDED
    await store.conclude(run.id, DONE, fence=fence)
    lost = {"brief": "it broke", "code": "engine-lost", "details": "", "fix": "nul \0 and \ud800"}
    failed = Entry("p-1", Phase.FAILED, ended_at=5.0, error=lost)
    await store.conclude(run.id, failed, fence=fence)
    await store.conclude(run.id, Entry("p-2", Phase.SKIPPED, ended_at=5.0), fence=fence)
    await store.end(run.id, RunState.FAILED, text="one of 3 \0 failed", at=6.0, fence=fence)
    known = await store.run(run.id)
    assert known.entries["p-0"] == DONE
    assert known.entries["p-1"].error == lost
    assert (known.state, known.ended_at) == (RunState.FAILED, 6.0)
    assert known.text == "one of 3 \ufffd failed"
    assert await store.open_runs() == []


async def test_a_plan_is_used_once(store: Store) -> None:
    _, lease = await begun(store)
    plan = a_plan(a_pool())
    with pytest.raises(Conflict, match="carried out by run r-p") as caught:
        await store.begin(a_run(plan, lease.fence, "again"), plan)
    assert caught.value.code == "plan-used"
    assert len(await store.runs()) == 1


async def test_a_plan_is_used_once_whoever_is_first(store: Store) -> None:
    lease = await store.acquire("one", ttl_s=1e6, now=0.0)
    assert lease is not None
    pool = a_pool()
    plan = a_plan(pool)
    await store.save_plan(plan, pool, actor="ada")
    runs = [a_run(plan, lease.fence, f"r{number}") for number in range(8)]
    results = await asyncio.gather(
        *(store.begin(run, plan) for run in runs), return_exceptions=True
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert len(await store.open_runs()) == 1


async def test_only_saved_plans_begin(store: Store) -> None:
    lease = await store.acquire("one", ttl_s=1e6, now=0.0)
    assert lease is not None
    plan = a_plan(a_pool())
    with pytest.raises(NotFound):
        await store.begin(a_run(plan, lease.fence), plan)
    assert await store.runs() == []


async def test_the_same_words_again_change_nothing(store: Store) -> None:
    run, lease = await begun(store)
    plan = a_plan(a_pool())
    for _ in range(2):
        await store.begin(run, plan)
    for at in (3.0, 99.0):
        await store.intend(run.id, "p-0", fence=lease.fence, at=at)
    for _ in range(2):
        await store.conclude(run.id, DONE, fence=lease.fence)
    for at in (6.0, 99.0):
        await store.end(run.id, RunState.STOPPED, text="enough", at=at, fence=lease.fence)
    known = await store.run(run.id)
    assert known.entries["p-0"] == DONE
    assert known.ended_at == 6.0


async def test_an_outcome_stays(store: Store) -> None:
    run, lease = await begun(store)
    await store.intend(run.id, "p-0", fence=lease.fence, at=3.0)
    await store.conclude(run.id, DONE, fence=lease.fence)
    other = Entry("p-0", Phase.FAILED, ended_at=9.0)
    with pytest.raises(Conflict, match="ended as done"):
        await store.conclude(run.id, other, fence=lease.fence)
    with pytest.raises(Conflict, match="ended as done"):
        await store.intend(run.id, "p-0", fence=lease.fence, at=9.0)
    assert (await store.run(run.id)).entries["p-0"] == DONE


async def test_the_end_stays(store: Store) -> None:
    run, lease = await begun(store)
    await store.end(run.id, RunState.STOPPED, text="", at=6.0, fence=lease.fence)
    with pytest.raises(Conflict, match="ended as stopped"):
        await store.end(run.id, RunState.DONE, text="", at=7.0, fence=lease.fence)
    with pytest.raises(Conflict, match="ended as stopped"):
        await store.intend(run.id, "p-0", fence=lease.fence, at=7.0)
    with pytest.raises(Conflict, match="ended as stopped"):
        await store.adopt(run.id, fence=lease.fence)
    assert (await store.run(run.id)).state is RunState.STOPPED


async def test_a_run_cannot_end_over_an_action_under_way(store: Store) -> None:
    run, lease = await begun(store)
    await store.intend(run.id, "p-1", fence=lease.fence, at=3.0)
    with pytest.raises(Conflict) as caught:
        await store.end(run.id, RunState.DONE, text="", at=7.0, fence=lease.fence)
    assert caught.value.code == "run-busy"
    assert len(await store.open_runs()) == 1


async def test_nothing_is_done_before_its_intent(store: Store) -> None:
    run, lease = await begun(store)
    with pytest.raises(Bug, match="before it was intended"):
        await store.conclude(run.id, DONE, fence=lease.fence)
    assert await phase(store) is Phase.PENDING


@pytest.mark.parametrize("wrong", [Phase.PENDING, Phase.INTENDED])
async def test_only_outcomes_conclude(store: Store, wrong: Phase) -> None:
    run, lease = await begun(store)
    with pytest.raises(Bug):
        await store.conclude(run.id, Entry("p-0", wrong), fence=lease.fence)
    with pytest.raises(Bug):
        await store.end(run.id, RunState.RUNNING, text="", at=1.0, fence=lease.fence)


async def attempts(store: Store, fence: int) -> list[BillowError]:
    """Try every write of the journal under a fence; return how each was refused."""
    plan = a_plan(a_pool(), "q")
    await store.save_plan(plan, a_pool(), actor="ada")
    refusals = []
    for write in (
        store.begin(a_run(plan, fence), plan),
        store.intend("r-p", "p-1", fence=fence, at=9.0),
        store.conclude("r-p", DONE, fence=fence),
        store.end("r-p", RunState.STOPPED, text="", at=9.0, fence=fence),
        store.adopt("r-p", fence=fence),
    ):
        with pytest.raises(BillowError) as caught:
            await write
        refusals.append(caught.value)
    return refusals


@pytest.mark.parametrize("how", ["old", "future", "released"])
async def test_only_the_leases_fence_writes(store: Store, how: str) -> None:
    run, lease = await begun(store)
    await store.intend(run.id, "p-0", fence=lease.fence, at=3.0)
    before = await store.run(run.id)
    fence = lease.fence
    if how == "old":
        assert await store.acquire("two", ttl_s=10.0, now=1e7)
    elif how == "future":
        fence += 1
    else:
        await store.release(lease)
    assert {type(each) for each in await attempts(store, fence)} == {Leased}
    assert await store.run(run.id) == before
    assert [each.id for each in await store.runs()] == [run.id]


async def test_a_new_holder_adopts_first(store: Store) -> None:
    run, _ = await begun(store)
    lease = await store.acquire("two", ttl_s=10.0, now=1e7)
    assert lease is not None
    with pytest.raises(Leased, match="under fence 1"):
        await store.intend(run.id, "p-0", fence=lease.fence, at=9.0)
    await store.adopt(run.id, fence=lease.fence)
    await store.intend(run.id, "p-0", fence=lease.fence, at=9.0)
    known = await store.run(run.id)
    assert known.fence == lease.fence
    assert known.entries["p-0"].phase is Phase.INTENDED


async def test_what_is_not_there(store: Store) -> None:
    run, lease = await begun(store)
    for name in ["nothing", "", "\0", "\ud800", "x" * 100_000, "' OR 1=1 --"]:
        for write in (
            store.intend(name, "p-0", fence=lease.fence, at=9.0),
            store.intend(run.id, name, fence=lease.fence, at=9.0),
            store.conclude(name, DONE, fence=lease.fence),
            store.end(name, RunState.DONE, text="", at=9.0, fence=lease.fence),
            store.adopt(name, fence=lease.fence),
        ):
            with pytest.raises(NotFound):
                await write
        with pytest.raises(NotFound):
            await store.run(name)


async def test_progress_keeps_the_newest(store: Store) -> None:
    run, lease = await begun(store)
    await store.intend(run.id, "p-0", fence=lease.fence, at=3.0)
    for percent in range(100):
        await store.progress(run.id, "p-0", Progress(percent / 100, "copying", math.nan, 5.0, 9.0))
    await asyncio.sleep(EVERY_S * 2)
    known = (await store.run(run.id)).entries["p-0"].progress
    assert known is not None
    assert (known.fraction, known.phase, known.total_mib) == (0.99, "copying", 9.0)
    assert math.isnan(known.left_s)


async def test_progress_never_follows_an_outcome(store: Store) -> None:
    run, lease = await begun(store)
    await store.intend(run.id, "p-0", fence=lease.fence, at=3.0)
    last = Entry("p-0", Phase.DONE, 3.0, 4.0, Progress(1.0, left_s=0.0))
    await store.conclude(run.id, last, fence=lease.fence)
    await store.progress(run.id, "p-0", Progress(0.5))
    await store._latest._write()
    assert (await store.run(run.id)).entries["p-0"] == last


async def test_an_old_controller_writes_no_progress(store: Store) -> None:
    run, lease = await begun(store)
    await store.intend(run.id, "p-0", fence=lease.fence, at=3.0)
    assert await store.acquire("two", ttl_s=10.0, now=1e7)
    await store.progress(run.id, "p-0", Progress(0.5))
    await store._latest._write()
    assert (await store.run(run.id)).entries["p-0"].progress is None


async def test_one_failure_in_a_batch_hurts_nobody_else(store: Store) -> None:
    run, lease = await begun(store, hosts=50)
    names = [f"p-{number}" for number in range(50)]
    names[7:7] = ["nothing"]
    results = await asyncio.gather(
        *(store.intend(run.id, name, fence=lease.fence, at=3.0) for name in names),
        return_exceptions=True,
    )
    assert isinstance(results.pop(7), NotFound)
    assert results == [None] * 50
    known = await store.run(run.id)
    assert {entry.phase for entry in known.entries.values()} == {Phase.INTENDED}


async def test_runs_are_kept_and_paged(store: Store) -> None:
    lease = await store.acquire("one", ttl_s=1e6, now=0.0)
    assert lease is not None
    pool = a_pool(1)
    for number in range(7):
        plan = a_plan(pool, f"p{number}")
        await store.save_plan(plan, pool, actor="ada")
        await store.begin(a_run(plan, lease.fence), plan)
    seen = []
    before = ""
    while page := await store.runs(limit=3, before=before):
        seen += [run.id for run in page]
        before = page[-1].id
    assert seen == [f"r-p{number}" for number in reversed(range(7))]
    assert [run.id for run in await store.open_runs()] == seen[::-1]
