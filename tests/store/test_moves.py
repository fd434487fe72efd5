# SPDX-License-Identifier: Apache-2.0
"""Live migrations are found by their id, run and instance, with what the journal knows of them."""

import math
from dataclasses import replace

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from billow.errors import Invalid, NotFound
from billow.model.action import Action, Cordon, Migrate
from billow.model.assessment import Way
from billow.model.kinds import MigrationPolicy
from billow.model.migration import MigrationState
from billow.model.plan import Plan, Step
from billow.model.run import Entry, Flow, Phase, Progress, Run
from billow.plan.replay import replay
from billow.ports import Lease
from billow.store import Store
from billow.store.migrate import HEAD, MIGRATIONS
from billow.testing.pools import pool

pytestmark = pytest.mark.anyio
POOL = pool("3 hosts x 64GiB 16c; a: 3 vms x 4GiB 1c spread")


async def moved(store: Store, name: str, *actions: Action) -> tuple[Run, Lease]:
    """Begin the run of a plan with some actions; their ids are NAME.0, NAME.1 and so on."""
    lease = await store.acquire("one", ttl_s=1e6, now=0.0) or await store.lease()
    assert lease is not None
    named = [replace(each, id=f"{name}.{number}") for number, each in enumerate(actions)]
    steps = tuple(Step(each, wave=0) for each in named)
    plan = Plan(id=name, based_on=POOL.digest, steps=steps, predicted=replay(POOL, named))
    await store.save_plan(plan, POOL, actor="ada")
    run = Run(id=f"r-{name}", plan_id=name, actor="ada", fence=lease.fence, started_at=2.0)
    await store.begin(run, plan)
    return run, lease


def move(instance: str, **more: object) -> Migrate:
    source = POOL.instance(instance).host
    target = "h2" if source != "h2" else "h3"
    return Migrate(id="", instance=instance, source=source, target=target, **more)  # type: ignore[arg-type]


async def test_a_migration_is_a_step_that_moves(store: Store) -> None:
    asked = move("a1", policy=MigrationPolicy.SHORTEST, downtime_s=0.05)
    run, lease = await moved(store, "p", Cordon(id="", host="h1", why="fan"), asked)
    (found,) = await store.migrations()
    assert found == await store.migration("p.1")
    assert (found.run_id, found.plan_id, found.actor) == (run.id, "p", "ada")
    assert (found.instance, found.source, found.target) == ("a1", asked.source, asked.target)
    assert (found.policy, found.promise_s) == (MigrationPolicy.SHORTEST, 0.05)
    assert (found.state, found.flow, found.copied_mib) == (MigrationState.WAITING, None, 0.0)
    await store.intend(run.id, "p.1", fence=lease.fence, at=3.0)
    assert (await store.migration("p.1")).state is MigrationState.RUNNING
    flow = Flow(way=Way.DIRTY_LIMIT, seconds=4.0, left_mib=0.0, limits_mib_s=(math.nan, 20.0),
                downtime_s=0.04)  # fmt: skip
    reached = Progress(1.0, "switching", 0.0, 4000.0, 4000.0, flow)
    done = Entry("p.1", Phase.DONE, 3.0, 7.0, reached)
    await store.conclude(run.id, done, fence=lease.fence)
    ended = await store.migration("p.1")
    assert (ended.state, ended.copied_mib) == (MigrationState.DONE, 4000.0)
    assert ended.flow is not None
    assert ended.flow.way is Way.DIRTY_LIMIT
    assert ended.flow.downtime_s == 0.04
    assert ended.took_s(now=100.0) == 4.0


async def test_an_instances_own_policy_counts_where_none_was_given(store: Store) -> None:
    await moved(store, "p", move("a1"))
    (found,) = await store.migrations()
    assert found.policy is MigrationPolicy.BALANCED
    assert math.isnan(found.promise_s)


async def test_a_cancelled_migration_is_told_from_a_failed_one(store: Store) -> None:
    run, lease = await moved(store, "p", move("a1"), move("a2"), move("a3"))
    ends = [("p.0", Phase.FAILED, "cancelled"), ("p.1", Phase.FAILED, "engine-refused"),
            ("p.2", Phase.SKIPPED, "skipped")]  # fmt: skip
    for action, phase, code in ends:
        error = {"brief": "no", "code": code}
        entry = Entry(action, phase, ended_at=5.0, error=error)
        await store.conclude(run.id, entry, fence=lease.fence)
    states = [(await store.migration(action)).state for action, _, _ in ends]
    assert states == [MigrationState.CANCELLED, MigrationState.FAILED, MigrationState.SKIPPED]
    assert all(state.final for state in states)


async def test_pages_go_from_the_newest_to_the_oldest(store: Store) -> None:
    await moved(store, "p", move("a1"), move("a2"))
    run, lease = await moved(store, "q", move("a1"), move("a3"))
    first = await store.migrations(limit=3)
    assert [each.id for each in first] == ["q.1", "q.0", "p.1"]
    rest = await store.migrations(limit=3, before=first[-1].id)
    assert [each.id for each in rest] == ["p.0"]
    assert [each.id for each in await store.migrations(run="r-p")] == ["p.1", "p.0"]
    assert [each.id for each in await store.migrations(instance="a1")] == ["q.0", "p.0"]
    await store.intend(run.id, "q.1", fence=lease.fence, at=3.0)
    assert [each.id for each in await store.migrations(running=True)] == ["q.1"]
    assert not await store.migrations(run="r-none", instance="' OR 1=1 --")
    with pytest.raises(NotFound):
        await store.migrations(before="never")
    with pytest.raises(NotFound):
        await store.migration("never")
    with pytest.raises(Invalid):
        await store.migrations(limit=0)


async def test_what_was_moved_before_there_was_this_table_is_in_it(sqlite_url: str) -> None:
    store = await Store.open(sqlite_url)
    await moved(store, "p", Cordon(id="", host="h1", why="fan"), move("a1"), move("a2"))
    before = await store.migrations()
    await store.aclose()
    engine = create_engine(sqlite_url.replace("sqlite:", "sqlite+pysqlite:"))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE migrations"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        newest = text("UPDATE alembic_version SET version_num = :head")
        connection.execute(newest, {"head": HEAD})
    engine.dispose()
    store = await Store.open(sqlite_url)
    assert await store.migrations() == before
    await store.aclose()
