# SPDX-License-Identifier: Apache-2.0
"""Plans and the pools that they were made for come back as they were, on both databases."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import func, select
from tests.store.examples import a_plan, a_pool, a_run

from billow.errors import Conflict, Invalid, NotFound
from billow.model.action import Cordon, Place
from billow.model.codec import plan_document, pool_document
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.plan import Cost, Finding, Plan, Rejection, Severity, Step
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.replay import replay
from billow.store import PlanStatus, Store
from billow.store.shelf import PLANS, Shelf
from billow.store.tables import snapshots

pytestmark = pytest.mark.anyio

SHAPE = Shape("small", 500, 1024, traits=frozenset({"ssd", "kvm"}))


def a_full_plan() -> tuple[Plan, Pool]:
    """Return a plan that uses every field, and its base."""
    node = Node(cpu_milli=4000, memory_mib=8192)
    pool = Pool.build([Host("h1", (node, node), zone="zürich"), Host("h2", (node,))], taken_at=5.0)
    actions = (
        Place(id="x-0", reason="wanted", instance=Instance("neu", SHAPE), host="h1"),
        Cordon(id="x-1", host="h2", why="it is loud\nand \U0001f525"),
    )
    plan = Plan(
        id="x",
        based_on=pool.digest,
        steps=(Step(actions[0], 0, cost=Cost(1.5, 2.0, 0.1)), Step(actions[1], 1, ("x-0",))),
        predicted=replay(pool, actions),
        cost=Cost(1.5, 4.0, 0.1),
        capabilities=("placement", "power"),
        findings=(Finding("host/h1", Severity.WARNING, "warm"),),
        rejections=(Rejection("instance/b", "no room", ("2 hosts: too small",), "add a host"),),
        gain={"hosts_off": 1.0},
        generation=7,
        parent="w",
        created_at=9.0,
        title="night shift \0",
    )
    return plan, pool


async def test_a_plan_comes_back_whole(store: Store) -> None:
    plan, pool = a_full_plan()
    await store.save_plan(plan, pool, actor="ada")
    assert await store.plan("x") is plan
    store._shelf = Shelf()
    kept, base = await store.plan("x"), await store.base_of("x")
    assert kept is not plan
    assert plan_document(kept) == plan_document(plan)
    assert pool_document(kept.predicted) == pool_document(plan.predicted)
    assert pool_document(base) == pool_document(pool)
    (row,) = await store.plans()
    assert (row.id, row.actor, row.created_at) == ("x", "ada", 9.0)
    assert row.title == "night shift \ufffd"
    assert row.capabilities == ("placement", "power")
    assert (row.steps, row.rejections, row.run_id) == (2, 1, "")


async def test_a_pool_is_kept_once(store: Store) -> None:
    pool = a_pool()
    plans = [a_plan(pool, f"p{number}") for number in range(5)]
    await asyncio.gather(*(store.save_plan(plan, pool, actor="ada") for plan in plans))
    later = replace(pool, taken_at=99.0)
    await store.save_plan(a_plan(later, "later"), later, actor="ada")
    async with store._database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(snapshots)) == 1
    assert (await store.base_of("later")).digest == pool.digest


async def test_a_plan_is_saved_with_its_own_pool(store: Store) -> None:
    with pytest.raises(Conflict, match="is based on pool"):
        await store.save_plan(a_plan(a_pool(3)), a_pool(4), actor="ada")
    assert await store.plans() == []


async def test_an_id_is_one_plan_for_ever(store: Store) -> None:
    pool = a_pool()
    for _ in range(2):
        await store.save_plan(a_plan(pool), pool, actor="ada")
    with pytest.raises(Conflict, match="another plan has the id p"):
        await store.save_plan(a_plan(pool, title="other"), pool, actor="ada")
    assert [row.title for row in await store.plans()] == [""]


async def test_what_is_not_there(store: Store) -> None:
    await store.save_plan(a_plan(a_pool()), a_pool(), actor="ada")
    for name in ["nothing", "", "\0", "\ud800", "x" * 100_000, "../p", "p' --"]:
        for ask in (store.plan(name), store.base_of(name)):
            with pytest.raises(NotFound):
                await ask
        if name:
            for page in (store.plans(before=name), store.runs(before=name)):
                with pytest.raises(NotFound):
                    await page


async def test_pages_from_new_to_old_while_more_come(store: Store) -> None:
    pool = a_pool(1)
    for number in range(7):
        await store.save_plan(a_plan(pool, f"p{number}"), pool, actor="ada")
    seen, before = [], ""
    while page := await store.plans(limit=2, before=before):
        seen += [row.id for row in page]
        before = page[-1].id
        await store.save_plan(a_plan(pool, f"new{len(seen)}"), pool, actor="ada")
    assert seen == [f"p{number}" for number in reversed(range(7))]


async def test_a_page_has_a_size(store: Store) -> None:
    for limit in [0, -1, 10_001, 2**70, True]:
        for ask in (store.plans(limit=limit), store.runs(limit=limit), store.events(limit=limit)):
            with pytest.raises(Invalid):
                await ask


async def test_status(store: Store) -> None:
    pool = a_pool()
    used, unused = a_plan(pool, "used"), a_plan(pool, "unused")
    for plan in (used, unused):
        await store.save_plan(plan, pool, actor="ada")
    lease = await store.acquire("one", 10.0, now=1.0)
    assert lease is not None
    await store.begin(a_run(used, lease.fence), used)

    async def status(current: str) -> dict[str, PlanStatus]:
        return {row.id: row.status for row in await store.plans(current=current)}

    assert (await store.plans())[1].run_id == "r-used"
    for current in ("", pool.digest):
        assert await status(current) == {"used": PlanStatus.USED, "unused": PlanStatus.OPEN}
    assert await status("other") == {"used": PlanStatus.USED, "unused": PlanStatus.STALE}


def test_the_shelf_holds_the_plans_used_last() -> None:
    shelf = Shelf(rows=18)
    pool = a_pool(3)
    for name in "abc":
        shelf.put(a_plan(pool, name), pool)
    assert shelf.get("a")
    shelf.put(a_plan(pool, "d"), pool)
    assert [bool(shelf.get(name)) for name in "abcd"] == [True, False, True, True]
    for number in range(99):
        shelf.put(a_plan(a_pool(0), f"p{number}"), a_pool(0))
    assert len(shelf._plans) == PLANS
    large = a_pool(100)
    shelf.put(a_plan(large, "e"), large)
    assert list(shelf._plans) == ["e"]


async def test_generation_only_rises(store: Store) -> None:
    assert await store.generation() == 0
    found = await asyncio.gather(*(store.bump_generation() for _ in range(20)))
    assert sorted(found) == list(range(1, 21))
    assert await store.generation() == 20
