# SPDX-License-Identifier: Apache-2.0
"""The product as one object: a pool that runs by itself, and a change of controllers."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from billow.app import Billow, open_billow, remove_pool
from billow.errors import BillowError, Invalid, Leased, NotFound
from billow.model.ask import Ask, AskVerb
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import Rule, State
from billow.model.run import RunState
from billow.model.shape import Shape
from billow.settings import Settings

pytestmark = pytest.mark.anyio
SMALL = Shape("small", 1000, 1024)


@asynccontextmanager
async def opened(folder: Path, **settings: object) -> AsyncIterator[Billow]:
    base = {"engine": "sim", "hosts": 4, "host_cpus": 8, "speed": 1000.0, "sense_every_s": 0.1}
    given = {"state_dir": folder, **base, **settings}
    billow = await open_billow(Settings.model_validate(given))
    try:
        yield billow
    finally:
        await billow.aclose()


async def until(true: Callable[[], Awaitable[bool]], times: int = 400) -> None:
    for _ in range(times):
        if await true():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not come true in time")


async def die(billow: Billow) -> None:
    """Stop all that a controller does, at once and without a word, as a kill would."""
    for task in billow._tasks:
        task.cancel()
    await billow.loop.aclose()


async def test_requests_become_a_plan_and_a_run(tmp_path: Path) -> None:
    async with opened(tmp_path) as billow:
        apart = Group("apart", Rule.ANTI_AFFINITY)
        wanted = [Instance(f"web-{n}", SMALL, group="apart") for n in range(5)]
        plan = await billow.propose("placement", {}, requests=wanted, groups=[apart], actor="ann")
        assert len(plan.steps) == 4
        assert [r.subject for r in plan.rejections] == ["instance/web-4"]
        run = await billow.wait((await billow.apply(plan.id, actor="ann")).id)
        assert run.state is RunState.DONE
        pool = await billow.sense()
        assert len({each.host for each in pool.instance_views()}) == 4
        assert pool.group("apart") == apart
        assert (await billow.plans())[0].run_id == run.id


async def test_undo_of_a_creation_deletes_what_it_made(tmp_path: Path) -> None:
    async with opened(tmp_path) as billow:
        before = (await billow.sense()).digest
        wanted = [Instance("web", SMALL)]
        plan = await billow.propose("placement", {}, requests=wanted, actor="ann")
        run = await billow.wait((await billow.apply(plan.id, actor="ann")).id)
        undo = await billow.undo(run.id, actor="ann")
        assert undo.parent == plan.id
        await billow.wait((await billow.apply(undo.id, actor="ann")).id)
        assert (await billow.sense()).digest == before


async def test_a_second_controller_takes_over_when_the_first_dies(tmp_path: Path) -> None:
    shared = {"lease_s": 4.0, "speed": 5.0}
    async with opened(tmp_path, **shared) as first, opened(tmp_path, **shared) as second:
        assert [each.leading for each in (first, second)] == [True, False]
        wanted = [Instance(f"web-{n}", SMALL) for n in range(3)]
        plan = await first.propose("placement", {}, requests=wanted, actor="ann")
        with pytest.raises(Leased):
            await second.apply(plan.id, actor="ann")
        run = await first.apply(plan.id, actor="ann")
        await die(first)

        async def ended() -> bool:
            return (await second.run(run.id)).state.final

        await until(ended)
        assert second.leading
        assert (await second.run(run.id)).state is RunState.DONE
        assert set((await second.sense()).instances.id) == {"web-0", "web-1", "web-2"}
        late = await first.ask([Ask(AskVerb.DELETE, "web-0")], actor="ann")
        with pytest.raises(Leased):
            await first.apply(late.id, actor="ann")


async def test_what_arrives_is_placed_without_a_word_where_that_is_approved(tmp_path: Path) -> None:
    arrivals = tmp_path / "arrivals.csv"
    arrivals.write_text(
        "time,instance,cpu_milli,memory_mib,lifetime_s\n0,a,1000,1024,\n30,b,1000,1024,\n"
    )
    async with opened(tmp_path, arrivals=arrivals, approved={"placement"}) as billow:

        async def placed() -> bool:
            views = list((await billow.sense()).instance_views())
            return len(views) == 2 and all(each.state is State.RUNNING for each in views)

        await until(placed)
        assert all(row.title.startswith("placement: ") for row in await billow.plans())


async def test_a_recorded_day_shows_in_the_pool(tmp_path: Path) -> None:
    trace = tmp_path / "day.csv"
    trace.write_text("time,instance,cpu_milli,memory_mib\n0,web,250,512\n300,web,750,512\n")
    async with opened(tmp_path, usage_trace=trace) as billow:
        plan = await billow.propose("placement", {}, requests=[Instance("web", SMALL)], actor="ann")
        await billow.wait((await billow.apply(plan.id, actor="ann")).id)

        async def used() -> float:
            return (await billow.sense()).instance("web").cpu_used_milli

        async def is_seen() -> bool:
            return not math.isnan(await used())

        await until(is_seen)
        assert await used() in {250.0, 750.0}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda b: b.propose("nonsense", {}, actor="a"), NotFound),
        (lambda b: b.propose("placement", {"strategy": "sideways"}, actor="a"), Invalid),
        (lambda b: b.propose("placement", {"unknown": 1}, actor="a"), Invalid),
        (
            lambda b: b.propose(
                "placement", {}, requests=[Instance("../etc/passwd", SMALL)], actor="a"
            ),
            Invalid,
        ),
        (
            lambda b: b.propose("placement", {}, requests=[Instance("x" * 64, SMALL)], actor="a"),
            Invalid,
        ),
        (lambda b: b.ask([Ask(AskVerb.STOP, "ghost")], actor="a"), NotFound),
        (lambda b: b.apply("p-nothing", actor="a"), NotFound),
        (lambda b: b.undo("r-nothing", actor="a"), NotFound),
        (lambda b: b.stop("r-nothing", actor="a"), NotFound),
    ],
)
async def test_bad_input_is_a_clear_error_and_changes_nothing(
    tmp_path: Path, call: Callable[[Billow], Awaitable[object]], error: type[BillowError]
) -> None:
    async with opened(tmp_path) as billow:
        before = (await billow.sense()).digest
        with pytest.raises(error) as caught:
            await call(billow)
        assert caught.value.brief
        assert (await billow.sense()).digest == before


async def test_a_pool_can_be_removed_once_nobody_serves_it(tmp_path: Path) -> None:
    settings = Settings.model_validate({"engine": "sim", "state_dir": tmp_path, "hosts": 3})
    async with opened(tmp_path) as billow:
        await billow.propose("placement", {}, requests=[Instance("web", SMALL)], actor="ann")
        with pytest.raises(Leased, match="still serves"):
            await remove_pool(settings)
    await remove_pool(settings)
    await remove_pool(settings)
    assert not (tmp_path / "sim").exists()
    async with opened(tmp_path) as again:
        assert not (await again.sense()).instances.id
        assert (await again.plans())[0].title == "create web"


@pytest.mark.qemu
async def test_two_engines_make_one_pool(tmp_path: Path) -> None:
    given = {"engine": "qemu+sim", "state_dir": tmp_path, "hosts": 2, "pool": "pair"}
    settings = Settings.model_validate(given)
    billow = await open_billow(settings)
    try:
        pool = await billow.sense()
        assert {"h1", "h2", "host-1", "host-2"} <= set(pool.hosts.id)
        (simulated, *_) = (i.id for i in pool.instance_views() if i.host and i.migratable)
        plan = await billow.ask([Ask(AskVerb.MIGRATE, simulated, target="h1")], actor="ann")
        assert not plan.steps
        assert "no engine of this pool can migrate" in plan.rejections[0].reason
    finally:
        await billow.aclose()
        await remove_pool(settings)
