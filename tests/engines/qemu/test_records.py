# SPDX-License-Identifier: Apache-2.0
"""Records that cannot be read or written cost what they are about, and nothing else."""

import asyncio
import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.qemu.world import QemuStand, processes_of

from billow.act import durable
from billow.act.clock import SystemClock
from billow.act.deed import Deeds
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.open import PoolPlan, open_pool
from billow.engines.qemu.probe import Findings, probe
from billow.engines.qemu.record import HostPlan, HostRecord
from billow.errors import BillowError, Lost, Refused, Unavailable
from billow.model.action import Action, Cordon, Delete, Fence, Resize, Start, Stop
from billow.model.host import Node
from billow.model.kinds import Power, State
from billow.model.pool import Pool
from billow.ports import Trace
from billow.testing.stand import do, migrate, place

TORN = [b"", b"{", b"[]", b"\xff\xfe", b'{"machine": {"instance": "../x"}}']


def gaps(pool: Pool, subject: str) -> list[str]:
    """Return what is said to be unseen of a subject."""
    return [gap.why for gap in pool.gaps if gap.subject == subject]


async def bare(folder: Path) -> QemuEngine:
    """Open a pool of one host on a machine without QEMU: enough for records."""
    node = Node(cpu_milli=1000, memory_mib=512)
    plan = PoolPlan(pool="t", hosts=(HostPlan(name="h1", number=1, nodes=(node,)),))
    findings = await probe(folder / "cache", {"PATH": str(folder)})
    return await open_pool(StateFolder(folder), plan, findings, SystemClock())


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_bad_record_takes_only_its_instance_out(stand: QemuStand) -> None:
    engine = await stand.open()
    await do(engine, *(place(stand, name) for name in "wxy"))
    bad = {
        "w": stand.folder.residence("h1", "w").record,
        "x": stand.folder.volume("x").machine,
    }
    good = {name: path.read_bytes() for name, path in bad.items()}
    for path in bad.values():
        path.write_bytes(path.read_bytes()[:40])
    again = await stand.open()
    await do(again, migrate(stand, "y"))
    for each in (engine, again):
        pool = await each.sense()
        assert pool.instances.id == ("y",)
        for name, path in bad.items():
            (why,) = gaps(pool, f"instance/{name}")
            assert path.name in why
            assert f"fix: restore {path}" in why
            await refuse_all(each, stand, name)
    assert len(processes_of(stand.folder.root)) == 3, "what cannot be seen runs on"
    for name, path in bad.items():
        path.write_bytes(good[name])
    pool = await again.sense()
    assert {each.state for each in pool.instance_views()} == {State.RUNNING}
    assert gaps(pool, "instance/w") == gaps(pool, "instance/x") == []
    bad["w"].write_bytes(b"{")
    await do(again, Fence(id="f", host="h1"))
    bad["w"].write_bytes(good["w"])
    assert (await again.sense()).instance("x").state is State.FAILED
    assert len(processes_of(stand.folder.root)) == 1, "y, on the other host"
    await again.aclose()
    await engine.aclose()


async def refuse_all(engine: QemuEngine, stand: QemuStand, name: str) -> None:
    """Check that no verb touches an instance that cannot be seen, and that each says why."""
    shape = stand.instance(name).shape
    actions: tuple[Action, ...] = (
        replace(migrate(stand, name), id=f"m-{name}"),
        Stop(id=f"s-{name}", instance=name, host="h1"),
        Start(id=f"t-{name}", instance=name, host="h1"),
        Delete(id=f"d-{name}", instance=name, host="h1"),
        Resize(id=f"r-{name}", instance=name, host="h1", old=shape, new=stand.larger()),
        replace(place(stand, name), id=f"p-{name}"),
    )
    for action in actions:
        with pytest.raises(Refused, match="cannot be seen: the record"):
            await do(engine, action)


@pytest.mark.anyio
async def test_nothing_comes_to_a_host_whose_record_is_bad(tmp_path: Path) -> None:
    engine = await bare(tmp_path)
    engine.ground.ledger.save_host("h1", HostRecord())
    StateFolder(tmp_path).host("h1").write_bytes(b'{"power": "perhaps"}')
    pool = await engine.sense()
    assert pool.host("h1").power is Power.UNKNOWN
    assert "host.json" in pool.host("h1").cordon
    assert len(gaps(pool, "host/h1")) == 1
    with pytest.raises(Refused, match="cannot be seen"):
        await do(engine, Cordon(id="c", host="h1", why="work"))
    stand = QemuStand(tmp_path, Findings())
    reasons = [each.reason for each in await engine.blockers(place(stand, "x"))]
    assert "it is not known whether host h1 has power" in reasons
    await engine.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("torn", TORN)
async def test_a_torn_deed_is_as_none(tmp_path: Path, torn: bytes) -> None:
    engine = await bare(tmp_path)
    action = Cordon(id="c", host="h1", why="work")
    await do(engine, action)
    (path,) = StateFolder(tmp_path).actions.glob("*.json")
    path.write_bytes(torn)
    assert await engine.find("c") is Trace.UNKNOWN
    await engine.aclose()
    engine = await bare(tmp_path)
    await do(engine, action)
    assert await engine.find("c") is Trace.DONE
    await engine.aclose()


@pytest.mark.anyio
async def test_a_torn_fence_lets_nobody_write(tmp_path: Path) -> None:
    engine = await bare(tmp_path)
    StateFolder(tmp_path).fence.write_bytes(b"")
    with pytest.raises(Refused) as refusal:
        await do(engine, Cordon(id="c", host="h1", why="work"))
    assert refusal.value.fix
    await engine.aclose()


def test_a_write_that_takes_several_goes_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, bytes(data[:3])))
    durable.write(tmp_path / "r", b"0123456789")
    assert (tmp_path / "r").read_bytes() == b"0123456789"


@pytest.mark.parametrize("step", ["write", "fsync"])
def test_a_full_disk_leaves_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "r"
    durable.write(path, b"old")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(Unavailable, match="No space left") as error:
            durable.write(path, b"new")
    assert error.value.fix
    assert [each.name for each in tmp_path.iterdir()] == ["r"]
    assert path.read_bytes() == b"old"


def unwritable(*_: object) -> None:
    """Fail as a full disk does."""
    raise Unavailable("no room", code="cannot-write")


def broken(*_: object) -> None:
    """Fail as nobody expects."""
    raise KeyError("a bug")


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [unwritable, broken])
async def test_nobody_waits_for_an_end_that_cannot_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: object
) -> None:
    engine = await bare(tmp_path)
    action = Cordon(id="c", host="h1", why="work")
    real = Deeds.begin
    with monkeypatch.context() as patch:

        def begin(deeds: Deeds, action: Action) -> object:
            begun = real(deeds, action)
            patch.setattr(Deeds, "save", fails)
            return begun

        patch.setattr(Deeds, "begin", begin)
        async with asyncio.timeout(10):
            with pytest.raises(Lost):
                await do(engine, action)
    assert await engine.find("c") is Trace.DONE, "it was done, as the host's record shows"
    await do(engine, action)
    await engine.aclose()


@pytest.mark.anyio
async def test_nobody_waits_for_an_action_that_was_cancelled_before_it_began(
    tmp_path: Path,
) -> None:
    engine = await bare(tmp_path)
    ended: list[BaseException] = []

    async def follow() -> None:
        try:
            await do(engine, Cordon(id="c", host="h1", why="work"))
        except BillowError as error:
            ended.append(error)

    async with asyncio.timeout(10):
        follower = asyncio.create_task(follow())
        while not engine._performer.under_way:  # noqa: ASYNC110  # the very first instant
            await asyncio.sleep(0)
        await engine.aclose()
        await follower
    assert [type(error) for error in ended] == [Lost]
