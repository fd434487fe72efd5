# SPDX-License-Identifier: Apache-2.0
"""Several processes on one database, and processes that die: one wins, nothing durable is lost."""

import asyncio
import signal
import sqlite3
from pathlib import Path

import pytest
from tests.store.examples import a_plan, a_pool
from tests.store.workers import ACTIONS, Worker

from billow.model.run import Phase
from billow.store import Store

pytestmark = pytest.mark.anyio


async def test_one_process_carries_a_plan_out(store_url: str, tmp_path: Path) -> None:
    store = await Store.open(store_url)
    await store.acquire("one", 1e6, now=0.0)
    await store.save_plan(a_plan(a_pool()), a_pool(), actor="ada")
    racing = [Worker("begin", store_url, f"r{number}", tmp_path) for number in range(4)]
    (tmp_path / "go").touch()
    answers = [worker.result() for worker in racing]
    runs = await store.runs()
    await store.aclose()
    assert sorted(answers) == [["lost"], ["lost"], ["lost"], ["won"]]
    assert [run.id for run in runs] == [f"r{answers.index(['won'])}"]


async def test_processes_open_an_empty_database_at_once(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    opening = [Worker("acquire", database_url, f"c{number}", tmp_path) for number in range(4)]
    answers = [worker.result() for worker in opening]
    assert max(answers) == ["none"]
    assert sum(answer != ["none"] for answer in answers) == 1


async def test_events_of_other_processes_are_followed(store_url: str, tmp_path: Path) -> None:
    store = await Store.open(store_url)
    names = ["a", "b"]
    telling = [Worker("tell", store_url, name, tmp_path) for name in names]
    (tmp_path / "go").touch()
    seen = []
    async with asyncio.timeout(60):
        async for event in store.follow(0):
            seen.append(event)
            if len(seen) == 400:
                break
    assert [worker.result() for worker in telling] == [["done"], ["done"]]
    assert await store.events(after=seen[-1].id) == []
    await store.aclose()
    numbers = [event.id for event in seen]
    assert numbers == sorted(set(numbers))
    assert {event.text for event in seen} == {f"{n} {i}" for n in names for i in range(200)}


@pytest.mark.parametrize("after_deeds", [1, 100, 301])
async def test_a_killed_writer_leaves_every_intent_before_its_deed(
    store_url: str, tmp_path: Path, after_deeds: int
) -> None:
    (tmp_path / "go").touch()
    writer = Worker("carry_out", store_url, "one", tmp_path)
    writer.wait_until_said("deed", after_deeds)
    writer.process.kill()
    writer.process.join()
    assert writer.process.exitcode == -signal.SIGKILL
    _check_integrity(store_url)
    store = await Store.open(store_url)
    (run,) = await store.open_runs()
    assert len(run.entries) == ACTIONS
    for word, action in map(str.split, writer.said()):
        phase = run.entries[action].phase
        assert phase is Phase.DONE if word == "durable" else phase is not Phase.PENDING
    intended = [entry for entry in run.entries.values() if entry.phase is Phase.INTENDED]
    assert len(intended) <= 8
    lease = await store.acquire("two", 10.0, now=1e7)
    assert lease is not None
    await store.adopt(run.id, fence=lease.fence)
    assert (await store.plan(run.plan_id)).id == "p"
    await store.aclose()


def _check_integrity(url: str) -> None:
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
