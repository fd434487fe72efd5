# SPDX-License-Identifier: Apache-2.0
"""A pool on this machine: what it says of itself, with everything there and with parts missing."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.qemu.world import QemuStand, processes_of, said, until

from billow.act.clock import SystemClock
from billow.engines.qemu.cpu import REDUCED_HOST, TRANSLATED
from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.machine import Accelerator
from billow.engines.qemu.network import Network, free_address
from billow.engines.qemu.open import (
    CPU_RATIO,
    PoolPlan,
    lay_out,
    open_engine,
    open_pool,
    remove_pool,
    tag_of,
)
from billow.engines.qemu.probe import Findings, probe
from billow.engines.qemu.record import HostPlan
from billow.errors import Invalid, Refused
from billow.model.action import Delete, Fence, Migrate, Place
from billow.model.group import Group
from billow.model.host import Node
from billow.model.kinds import Power, Rule, State
from billow.settings import Settings
from billow.testing.stand import do, migrate, place

NUMA = Node(cpu_milli=2000, memory_mib=512)


@pytest.mark.qemu
@pytest.mark.anyio
async def test_without_namespaces_machines_move_through_a_private_pipe(stand: QemuStand) -> None:
    stand.findings = replace(stand.findings, namespaces=False)
    engine = await stand.open()
    assert engine.ground.network.namespace("h1") == ""
    await do(engine, place(stand, "x"))
    serial = stand.folder.volume("x").serial
    await until(lambda: "up" in said(serial))
    await do(engine, migrate(stand, "x"))
    pool = await engine.sense()
    assert (pool.instance("x").host, pool.instance("x").state) == ("h2", State.RUNNING)
    await until(lambda: "beat=" in said(serial))
    assert said(serial).count("up") == 1
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
async def test_the_pool_says_what_there_is(stand: QemuStand) -> None:
    engine = await stand.open()
    group = Group("web", Rule.ANTI_AFFINITY)
    wanted = replace(
        place(stand, "x").instance, group="web", tenant="t1", priority=3, immovable="pinned"
    )
    await do(engine, Place(id="p", instance=wanted, host="h1", group=group))
    pool = await engine.sense()
    seen = pool.instance("x")
    assert replace(seen, cpu_used_milli=0.0, memory_used_mib=0.0, dirty_mib_s=0.0) == replace(
        wanted,
        host="h1",
        state=State.RUNNING,
        cpu_model=seen.cpu_model,  # of this machine: tests/engines/qemu/test_cpu.py
        cpu_used_milli=0.0,
        memory_used_mib=0.0,
        dirty_mib_s=0.0,
    )
    assert seen.memory_used_mib > 1
    assert pool.groups == (group,)
    facts = {fact.key: fact.value for fact in pool.facts if fact.subject == "instance/x"}
    assert facts["accelerator"] in {*Accelerator}
    assert facts["serial_log"] == str(stand.folder.volume("x").serial)
    assert pool.host("h1").power is Power.ON
    assert pool.host("h1").memory_used_mib == pytest.approx(seen.memory_used_mib, rel=0.5)
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
async def test_numa_nodes_are_kept_and_counted(stand: QemuStand) -> None:
    hosts = tuple(replace(host, nodes=(NUMA, NUMA)) for host in stand.plan.hosts)
    stand.plan = replace(stand.plan, hosts=hosts)
    engine = await stand.open()
    bound = replace(stand.instance("x").shape, name="bound", memory_mib=300, numa_nodes=1)
    x, y = (replace(stand.instance(name), shape=bound) for name in "xy")
    await do(engine, Place(id="p", instance=x, host="h1", nodes=(1,)))
    assert (await engine.sense()).instance("x").nodes == (1,)
    with pytest.raises(Refused) as refusal:
        await do(engine, Place(id="q", instance=y, host="h1", nodes=(1,)))
    assert "node 1 has 212 memory_mib free" in str(refusal.value)
    same = Migrate(
        id="m", instance="x", source="h1", target="h1", source_nodes=(1,), target_nodes=(0,)
    )
    await do(engine, same)
    assert (await engine.sense()).instance("x").nodes == (0,)
    away = Migrate(
        id="n", instance="x", source="h1", target="h2", source_nodes=(0,), target_nodes=(1,)
    )
    await do(engine, away)
    assert (await engine.sense()).instance("x").nodes == (1,)
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_fenced_host_runs_nothing(stand: QemuStand) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"), place(stand, "y", "h2"))
    await do(engine, Fence(id="f", host="h1"))
    pool = await engine.sense()
    assert pool.instance("x").state is State.FAILED
    assert pool.instance("y").state is State.RUNNING
    assert pool.host("h1").power is Power.OFF
    assert len(processes_of(stand.folder.root)) == 1
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
async def test_nothing_is_left_of_what_is_deleted(stand: QemuStand) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"), migrate(stand, "x"))
    await do(engine, Delete(id="d", instance="x", host="h2"))
    left = [path for path in stand.folder.root.rglob("x*") if path.parent != stand.folder.actions]
    assert left == []
    assert processes_of(stand.folder.root) == []
    await engine.aclose()


@pytest.mark.anyio
async def test_without_qemu_it_says_what_is_missing(tmp_path: Path) -> None:
    findings = await probe(tmp_path / "cache", {"PATH": str(tmp_path)})
    assert findings.missing[0].fix.startswith("apt-get install")
    assert all(each.effect and each.fix for each in findings.missing)
    plan = PoolPlan(pool="t", hosts=(HostPlan(name="h1", number=1, nodes=(NUMA,)),))
    engine = await open_pool(StateFolder(tmp_path / "s"), plan, findings, SystemClock())
    pool = await engine.sense()
    assert pool.hosts.id == ("h1",)
    assert any("QEMU is missing" in gap.why for gap in pool.gaps)
    stand = QemuStand(tmp_path / "s", findings)
    action = Place(id="p", instance=stand.instance("x"), host="h1")
    assert any("QEMU" in blocker.reason for blocker in await engine.blockers(action))
    with pytest.raises(Refused) as refusal:
        await do(engine, action)
    assert "apt-get install" in refusal.value.fix
    await engine.aclose()


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_probe_is_remembered_until_something_changes(
    tmp_path: Path, findings: Findings
) -> None:
    first = await probe(tmp_path, os.environ)
    assert first == findings
    kept = (tmp_path / "probe.json").read_bytes()
    assert await probe(tmp_path, os.environ) == first
    assert (tmp_path / "probe.json").read_bytes() == kept
    without = await probe(tmp_path, {"PATH": str(tmp_path)})
    assert without.qemu == ""
    assert await probe(tmp_path, os.environ) == first


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_qemu_that_does_not_start_is_no_qemu(tmp_path: Path) -> None:
    fake = tmp_path / "qemu-system-x86_64"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    findings = await probe(tmp_path / "cache", {"PATH": path})
    assert findings.version == ""
    assert "a QEMU that starts" in [each.what for each in findings.missing]


@pytest.mark.qemu
@pytest.mark.anyio
async def test_where_kvm_refuses_a_word_of_the_hosts_cpu_the_rest_is_given(
    tmp_path: Path, findings: Findings
) -> None:
    """As on AMD under some hypervisors: QEMU ends when it may not set IA32_ARCH_CAPABILITIES."""
    picky = tmp_path / "qemu-system-x86_64"
    refuses = 'case " $* " in *" -cpu host "*) echo failed to set MSR 0x10a >&2; exit 134;; esac'
    picky.write_text(f'#!/bin/sh\n{refuses}\nexec {findings.qemu} "$@"\n')
    picky.chmod(0o755)
    found = await probe(tmp_path / "cache", {"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert (found.kvm, found.dirty_ring) == (findings.kvm, findings.dirty_ring)
    assert found.platform(system=False).cpu == (REDUCED_HOST if findings.kvm else TRANSLATED)
    assert "arch-capabilities" not in found.cpu_model


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_machine_is_shared_out_once(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, hosts=3, host_cpus=2, host_memory_mib=100, pool="t")
    engine = await open_engine(settings, SystemClock())
    try:
        pool = await engine.sense()
        assert pool.hosts.id == ("h1", "h2", "h3")
        assert pool.hosts.sellable[0, 0].tolist() == [2000 * CPU_RATIO, 100, 0, 0]
        other = Settings(state_dir=tmp_path, hosts=5)
        assert len(lay_out(engine.ground.ledger.folder, other).hosts) == 3
        assert stat.S_IMODE((tmp_path / "qemu").stat().st_mode) == 0o700
        await do(engine, place(QemuStand(tmp_path / "qemu", engine.ground.findings), "x"))
    finally:
        await engine.aclose()
        await remove_pool(settings)
    assert processes_of(tmp_path) == []
    assert namespaces(tag_of(StateFolder(tmp_path / "qemu"), "t")) == set()
    assert not (tmp_path / "qemu").exists()
    await remove_pool(settings)


def test_more_hosts_than_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        lay_out(StateFolder(tmp_path), Settings(state_dir=tmp_path, hosts=255))


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_network_is_made_mended_and_removed(tmp_path: Path, findings: Findings) -> None:
    tag = tag_of(StateFolder(tmp_path), "net")
    network = Network(tag, {"h1": 1, "h2": 2}, namespaces=findings.namespaces)
    await network.set_up()
    await network.set_up()
    made = {".fabric", "-h1", "-h2"} if findings.namespaces else set()
    assert namespaces(tag) == {f"bw-{tag}{end}" for end in made}
    await network.tear_down()
    await network.tear_down()
    assert namespaces(tag) == set()


def namespaces(tag: str) -> set[str]:
    """Return the network namespaces of a pool."""
    return {path.name for path in Path("/run/netns").glob(f"bw-{tag}*")}


def test_guest_addresses_are_given_once() -> None:
    first = free_address([])
    assert first == "10.78.0.1/16"
    assert free_address([first]) == "10.78.0.2/16"
    taken = {f"10.78.0.{number}/16" for number in range(1, 255)}
    assert free_address(taken) == "10.78.1.1/16"


@pytest.mark.anyio
async def test_other_hosts_than_were_laid_out_are_told_of(tmp_path: Path) -> None:
    """Nobody is told who asked for nothing, or for what there is."""
    made = Settings(state_dir=tmp_path, hosts=2, pool="t")
    lay_out(StateFolder(tmp_path / "qemu"), made)
    for settings, told in (
        (Settings(state_dir=tmp_path), False),
        (made, False),
        (Settings(state_dir=tmp_path, hosts=4), True),
    ):
        engine = await open_engine(settings, SystemClock())
        try:
            why = " ".join(gap.why for gap in (await engine.sense()).gaps)
        finally:
            await engine.aclose()
        assert ("laid out with 2 hosts, not the 4" in why) is told
        assert ("billow down" in why) is told
    await remove_pool(made)


@pytest.mark.anyio
@pytest.mark.parametrize("image", ["", "linux", "debian", "../x"])
async def test_a_blocker_is_a_sentence_that_names_the_image(tmp_path: Path, image: str) -> None:
    findings = await probe(tmp_path / "cache", {"PATH": str(tmp_path)})
    plan = PoolPlan(pool="t", hosts=(HostPlan(name="h1", number=1, nodes=(NUMA,)),))
    engine = await open_pool(StateFolder(tmp_path / "s"), plan, findings, SystemClock())
    shape = replace(QemuStand(tmp_path, findings).larger(), cpu_milli=0, memory_mib=0)
    wanted = replace(QemuStand(tmp_path, findings).instance("x"), image=image, shape=shape)
    found = await engine.blockers(Place(id="p", instance=wanted, host="h1"))
    reasons = {blocker.reason: blocker.fix for blocker in found}
    name = ascii(image or "firmware")
    cannot = {
        reason: fix for reason, fix in reasons.items() if f"the image {name} cannot" in reason
    }
    assert f"the image {name} cannot run here: QEMU is missing" in cannot
    assert all(cannot.values())
    assert len(cannot) == (1 if image in {"", "linux"} else 2)
    assert any("MiB at least" in reason for reason in reasons)
    assert any("has no CPU" in reason for reason in reasons)
    await engine.aclose()
