# SPDX-License-Identifier: Apache-2.0
"""What only real libvirtd hosts show: machines of others, dead daemons, ssh, and limits."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from labs.libvirt.lab import PKI
from tests.engines.libvirt.world import (
    LibvirtStand,
    busy_xml,
    direct,
    shaped,
    work_of,
)

from billow.engines.libvirt import sight
from billow.engines.libvirt.address import address_of
from billow.engines.libvirt.engine import LibvirtEngine
from billow.engines.libvirt.open import open_engine
from billow.engines.libvirt.wire import Api, connect
from billow.engines.libvirt.words import Domain
from billow.errors import BillowError, Invalid, Refused
from billow.firmware.control import Orders, Role
from billow.model.action import Delete, Migrate, Start, Stop
from billow.model.assessment import Way
from billow.model.group import Group
from billow.model.kinds import MigrationPolicy, Power, Rule, State, Storage
from billow.model.shape import Shape
from billow.plan.baseline import baselines
from billow.ports import Trace
from billow.testing.stand import do, migrate, place

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.thorough,
    pytest.mark.anyio,
    pytest.mark.xdist_group("test_contract"),
]
WRITER = Orders(role=Role.WRITER, base=0x1000000, pages=4096, period_ns=500_000, fill=True)


@pytest.fixture
async def engine(stand: LibvirtStand) -> AsyncIterator[LibvirtEngine]:
    """Open the lab as a pool."""
    engine = await stand.open()
    yield engine
    await engine.aclose()


@pytest.fixture
async def first(stand: LibvirtStand) -> AsyncIterator[Api]:
    """Speak with the first host past the engine."""
    api = await direct(stand.lab.hosts[0])
    yield api
    await api.close()


async def started(stand: LibvirtStand, api: Api, name: str, *orders: Orders) -> Domain:
    """Start a machine on the first host that Billow knows nothing of."""
    kvm = "<domain type='kvm'" in await api.capabilities()
    xml = busy_xml(stand.lab, name, orders or (WRITER,), memory_mib=64, kvm=kvm)
    await api.start(await api.define(xml))
    return next(each for each in await api.domains() if each.name == name)


async def test_a_machine_of_others_is_taken_over(
    stand: LibvirtStand, engine: LibvirtEngine, first: Api
) -> None:
    """It is seen, moved, stopped and started; it is not deleted, and nothing is written into it."""
    domain = await started(stand, first, "old-one")
    while not (before := await work_of(first, domain)):  # noqa: ASYNC110  # in a guest
        await asyncio.sleep(0.02)
    there = (await engine.sense()).instance("old-one")
    assert (there.host, there.state, there.shape.memory_mib) == ("h1", State.RUNNING, 64)
    await do(engine, migrate(stand, "old-one"))
    assert (await engine.sense()).instance("old-one").host == "h2"
    second = await direct(stand.lab.hosts[1])
    (arrived,) = await second.domains()
    work, xml = await work_of(second, arrived), await second.xml(arrived)
    await second.close()
    assert work > before
    assert "billow" not in xml
    with pytest.raises(Refused, match="not made by Billow"):
        await do(engine, Delete(id="delete", instance="old-one", host="h2"))
    await do(engine, Stop(id="stop", instance="old-one", host="h2", grace_s=5.0))
    await do(engine, Start(id="start", instance="old-one", host="h2"))
    assert (await engine.sense()).instance("old-one").state is State.RUNNING


async def test_what_billow_knows_travels_with_the_machine(
    stand: LibvirtStand, engine: LibvirtEngine, tmp_path: Path
) -> None:
    """Another Billow with an empty folder sees all that the first one knew, after a move too."""
    wanted = replace(
        stand.instance("x"),
        tenant="acme",
        group="web",
        priority=7,
        migration=MigrationPolicy.NO_THROTTLE,
    )
    action = replace(place(stand, "x"), instance=wanted, group=Group("web", Rule.ANTI_AFFINITY))
    await do(engine, action, migrate(stand, "x"))
    other = await LibvirtStand(stand.lab, tmp_path / "other").open()
    pool = await other.sense()
    await other.aclose()
    seen = pool.instance("x")
    assert (seen.tenant, seen.group, seen.priority) == ("acme", "web", 7)
    assert (seen.migration, seen.host) == (MigrationPolicy.NO_THROTTLE, "h2")
    assert pool.groups == (Group("web", Rule.ANTI_AFFINITY),)


async def test_two_machines_of_one_name_are_two_instances(
    stand: LibvirtStand, engine: LibvirtEngine, first: Api
) -> None:
    """Hosts that were no pool may each have a machine of a name; both are seen, and stay."""
    await started(stand, first, "twin")
    second = await direct(stand.lab.hosts[1])
    await started(stand, second, "twin")
    await second.close()
    pool = await engine.sense()
    assert sorted(each.host for each in pool.instance_views()) == ["h1", "h2"]
    assert "twin" in pool.instances.row
    assert (await engine.sense()).digest == pool.digest


async def test_a_daemon_that_is_gone_is_a_gap(stand: LibvirtStand, engine: LibvirtEngine) -> None:
    """Its host and machines are shown as not known; nothing is done to them until it is back."""
    await do(engine, place(stand, "x", "h2"))
    await engine.sense()
    host = stand.lab.hosts[1]
    stand.lab.stop_daemon(host)
    try:
        pool = await engine.sense()
        assert pool.host("h2").power is Power.UNKNOWN
        assert pool.instance("x").state is State.UNKNOWN
        assert [gap.subject for gap in pool.gaps] == ["host/h2"]
        with pytest.raises(Refused, match="does not answer"):
            await do(engine, Stop(id="stop", instance="x", host="h2"))
    finally:
        stand.lab.start(host)
    pool = await engine.sense()
    assert (pool.host("h2").power, pool.instance("x").state) == (Power.ON, State.RUNNING)


async def test_a_daemon_that_hangs_keeps_nobody_waiting(
    stand: LibvirtStand, engine: LibvirtEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection and never answers; the other hosts are seen all the same."""
    monkeypatch.setattr(sight, "ANSWERS_WITHIN_S", 0.5)
    monkeypatch.setattr(sight, "ASKED_AGAIN_S", 0.0)
    await engine.sense()
    daemon = stand.lab.hosts[1].daemon()
    assert daemon is not None
    os.kill(daemon, signal.SIGSTOP)
    try:
        pool = await engine.sense()
        assert [gap.subject for gap in pool.gaps] == ["host/h2"]
        assert pool.host("h1").power is Power.ON
        assert (await engine.sense()).gaps
    finally:
        os.kill(daemon, signal.SIGCONT)
    monkeypatch.setattr(sight, "ANSWERS_WITHIN_S", 30.0)
    assert (await engine.sense()).gaps == ()


async def test_without_certificates_a_move_says_so(
    stand: LibvirtStand, engine: LibvirtEngine, first: Api
) -> None:
    """What libvirt says of a move comes with what to do about it."""
    await started(stand, first, "busy")
    pki = Path(f"{stand.lab.hosts[1].folder}{PKI}")
    pki.rename(pki.with_name("away"))  # noqa: ASYNC240  # at once
    try:
        with pytest.raises(Refused) as refusal:
            await do(engine, migrate(stand, "busy"))
    finally:
        pki.with_name("away").rename(pki)
    assert "certificates" in refusal.value.fix, refusal.value.details
    assert (await engine.sense()).instance("busy").host == "h1"


async def test_a_dead_target_leaves_the_source_running(
    stand: LibvirtStand, engine: LibvirtEngine, first: Api
) -> None:
    """A target whose power is cut mid-move costs nothing but the move."""
    domain = await started(stand, first, "busy")
    host = stand.lab.hosts[1]
    with shaped(stand.lab, "16mbit"):
        moving = asyncio.create_task(do(engine, migrate(stand, "busy")))
        await _flowing(first, domain)
        stand.lab.kill(host)
        try:
            with pytest.raises(Refused, match="libvirt could not move it"):
                await moving
            assert list((stand.state / "libvirt" / "limits").iterdir()) == []
        finally:
            stand.lab.start(host)
    assert await engine.find("migrate-busy") is Trace.FAILED
    before = await work_of(first, domain)
    pool = await engine.sense()
    assert (pool.instance("busy").host, pool.instance("busy").state) == ("h1", State.RUNNING)
    assert await work_of(first, domain) > before
    again = replace(migrate(stand, "busy"), id="again")
    async with asyncio.timeout(120):  # a host that has just come up may be slow to answer
        while await engine.blockers(again):  # noqa: ASYNC110  # a condition of real hosts
            await asyncio.sleep(0.5)
    await do(engine, again)
    assert (await engine.sense()).instance("busy").host == "h2"


async def test_limits_end_with_a_move_that_nobody_follows(
    stand: LibvirtStand, engine: LibvirtEngine, first: Api
) -> None:
    """The next controller takes the move back, and the limits that the dead one had set."""
    if "<domain type='kvm'" not in await first.capabilities():
        pytest.skip("the dirty ring needs KVM, and this machine does not let guests run under it")
    domain = await started(stand, first, "busy", WRITER, Orders(role=Role.READER, pages=16))
    record = stand.state / "libvirt" / "limits"
    with shaped(stand.lab, "16mbit"):
        moving = asyncio.create_task(do(engine, migrate(stand, "busy")))
        await _flowing(first, domain)
        assert len(list(record.iterdir())) == 1
        assert await _limited(first, domain)
        await engine.aclose()
        with contextlib.suppress(BillowError):
            await moving
        assert await _limited(first, domain)  # they outlive who set them
        again = await stand.open()
        assert await again.find("migrate-busy") is Trace.UNKNOWN
    assert not await _limited(first, domain)
    assert list(record.iterdir()) == []
    there = (await again.sense()).instance("busy")
    assert (there.host, there.state) == ("h1", State.RUNNING)
    await again.aclose()


async def test_a_crowd_that_no_limit_holds_arrives_all_the_same(
    stand: LibvirtStand, engine: LibvirtEngine, first: Api
) -> None:
    """Each vCPU writes within QEMU's tolerance, all together too much: all are slowed down."""
    slow = replace(WRITER, pages=1024, period_ns=12_500_000, whole=True)
    crowd = [replace(slow, base=0x1000000 + number * 0x400000) for number in range(4)]
    await started(stand, first, "crowd", *crowd)
    with shaped(stand.lab, "120mbit"):
        reports = await do(engine, migrate(stand, "crowd"))
    assert (await engine.sense()).instance("crowd").host == "h2"
    flows = [each.flow for each in reports if each.flow]
    assert any(flow.throttle > 0 for flow in flows)


@pytest.mark.parametrize(
    ("policy", "way"),
    [
        (MigrationPolicy.AUTO_CONVERGE, "auto-converge"),
        (MigrationPolicy.POST_COPY, "post-copy"),
        (MigrationPolicy.NO_THROTTLE, "pre-copy"),
    ],
)
async def test_a_move_by_another_way_leaves_no_limits(
    stand: LibvirtStand, engine: LibvirtEngine, first: Api, policy: MigrationPolicy, way: str
) -> None:
    """A move sets none, and says by which way it went and how long the machine stood still."""
    domain = await started(stand, first, "busy")
    with shaped(stand.lab, "1gbit" if policy is MigrationPolicy.NO_THROTTLE else "100mbit"):
        reports = await do(engine, replace(migrate(stand, "busy"), policy=policy))
    flows = [each.flow for each in reports if each.flow]
    assert {flow.way.value for flow in flows} == {way}
    told = flows[-1].downtime_s > 0
    assert told is (policy is not MigrationPolicy.POST_COPY)  # of which libvirt says nothing
    assert list((stand.state / "libvirt" / "limits").iterdir()) == []
    assert await first.find(domain.uuid) is None


async def test_a_move_is_assessed(stand: LibvirtStand, engine: LibvirtEngine, first: Api) -> None:
    """How a machine writes is measured through libvirt; of a link, what the last move carried."""
    domain = await started(stand, first, "busy", WRITER, Orders(role=Role.IDLE))
    found = await engine.assess("busy", "h2")
    assert (found.source, found.target, found.guest.memory_mib) == ("h1", "h2", 64)
    assert Way.AUTO_CONVERGE in found.ways
    if "<domain type='kvm'" in await first.capabilities():
        writes, idle = (writer.dirty_mib_s for writer in found.guest.writers)
        assert writes > idle
        assert found.used is Way.DIRTY_LIMIT
    assert any("link" in gap for gap in found.gaps)
    assert (await first.job(domain))[0] == 0
    with shaped(stand.lab, "100mbit"):
        await do(engine, migrate(stand, "busy"))
        await do(engine, Migrate(id="back", instance="busy", source="h2", target="h1"))
    again = await engine.assess("busy", "h2")
    assert 1 < again.link.bandwidth_mib_s < 13
    with pytest.raises(Invalid):
        await engine.assess("busy", "h1")


async def test_a_disk_of_its_own_moves_along(stand: LibvirtStand, engine: LibvirtEngine) -> None:
    """It is made on its image, copied with the machine, and gone where it was; then for good."""
    folders = [Path(f"{host.folder}/var/lib/libvirt/images") for host in stand.lab.hosts]
    image = ("qemu-img", "create", "-q", "-f", "qcow2", str(folders[0] / "blank.qcow2"), "8M")
    await asyncio.to_thread(subprocess.run, image, check=True)
    wanted = replace(stand.instance("x"), image="blank.qcow2", shape=Shape("plain", 100, 64))
    await do(engine, replace(place(stand, "x"), instance=wanted))
    assert _disks(folders) == [1, 0]
    assert (await engine.sense()).instance("x").disk is Storage.OWN
    await do(engine, migrate(stand, "x"))
    assert _disks(folders) == [0, 1]
    await do(engine, Delete(id="delete", instance="x", host="h2"))
    assert _disks(folders) == [0, 0]
    with pytest.raises(Refused, match="no image"):
        await do(engine, replace(place(stand, "y", "h2"), instance=replace(wanted, id="y")))


def _disks(folders: list[Path]) -> list[int]:
    return [len(list(folder.glob("billow-*.qcow2"))) for folder in folders]


async def test_by_ssh(stand: LibvirtStand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run over there speaks for the libvirtd of that host; only ssh itself is played."""
    inside = " ".join(stand.lab.hosts[0].command("sh", "-c"))
    script = tmp_path / "ssh"
    script.write_text(f'#!/bin/sh\nfor last; do :; done\nexec {inside} "$last"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin:/usr/sbin")
    api = await connect(address_of("qemu+ssh://root@far/system", ""))
    assert (await api.node()).cpus > 0
    assert "<capabilities>" in await api.capabilities()
    await api.close()


async def test_by_tls(stand: LibvirtStand) -> None:
    """Both sides show their certificates; asked from inside a host, for nobody else reaches it."""
    program = (
        "import asyncio\n"
        "from billow.engines.libvirt.address import address_of\n"
        "from billow.engines.libvirt.wire import connect\n"
        "async def ask() -> None:\n"
        f"    api = await connect(address_of('qemu+tls://h2/system?pkipath={PKI}', ''))\n"
        "    print((await api.node()).cpus)\n"
        "    await api.close()\n"
        "asyncio.run(ask())\n"
    )
    command = stand.lab.hosts[0].command(sys.executable, "-c", program)
    asked = asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    done = await asked
    assert (done.stdout.strip().isdecimal(), done.stderr) == (True, "")


async def _flowing(api: Api, domain: Domain) -> None:
    """Wait until memory flows."""
    async with asyncio.timeout(30):
        while True:
            answer = await api.ask_qemu(domain, "query-migrate")
            if isinstance(answer, dict) and "ram" in answer:
                return
            await asyncio.sleep(0.02)


async def _limited(api: Api, domain: Domain) -> bool:
    return bool(await api.ask_qemu(domain, "query-vcpu-dirty-limit"))


async def test_hosts_must_find_each_other(stand: LibvirtStand, engine: LibvirtEngine) -> None:
    """Without a URI by which hosts find each other, a move is refused with what to set."""
    lone = LibvirtStand(stand.lab, stand.state)
    settings = lone.settings.model_copy(update={"libvirt_peer_uri": ""})
    await do(engine, place(stand, "x"))
    other = await open_engine(settings, stand.clock)
    moving = Migrate(id="m", instance="x", source="h1", target="h2")
    found = await other.blockers(moving)
    await other.aclose()
    assert any("libvirt_peer_uri" in each.fix for each in found)


async def test_hosts_say_what_their_cpus_have(stand: LibvirtStand, engine: LibvirtEngine) -> None:
    """Where they have KVM; so one CPU can be named that all of them can play."""
    pool = await engine.sense()
    hosts = [pool.host(each.name) for each in stand.lab.hosts]
    assert [bool(each.cpu_model) for each in hosts] == ["kvm" in each.traits for each in hosts]
    if hosts[0].cpu_model:
        found = baselines(pool)
        assert [each.arch for each in found] == [hosts[0].arch]


async def test_a_host_s_own_disk_is_refused_where_it_cannot_be(
    stand: LibvirtStand, engine: LibvirtEngine
) -> None:
    wanted = replace(stand.instance("x"), disk=Storage.OWN)
    with pytest.raises(Refused, match="no disk here"):
        await do(engine, replace(place(stand, "x"), instance=wanted))
