# SPDX-License-Identifier: Apache-2.0
"""CPUs of real guests: what a host has, what a guest is given, and where it may go."""

from dataclasses import replace

import pytest
from tests.engines.qemu.world import QemuStand, processes_of

from billow.engines.qemu.cpu import (
    HOST,
    REDUCED_HOST,
    TRANSLATED,
    check_wanted,
    cpu_of,
    host_cpu,
    needed_by,
    option_of,
)
from billow.engines.qemu.machine import Accelerator, Platform
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.open import Rules, open_pool
from billow.engines.qemu.rules import blockers
from billow.errors import Invalid
from billow.model.action import Migrate, Place
from billow.model.cpu.models import VENDORS, check_cpu, features_of, model_of, models
from billow.model.kinds import Arch, State
from billow.model.text import parse
from billow.testing.stand import do, migrate, place

ARCH_CAPABILITIES = frozenset(
    {"arch-capabilities", "rdctl-no", "skip-l1dfl-vmentry", "mds-no", "pschange-mc-no"}
)
"""What KVM plays of that register on a CPU of AMD's."""
KVM = Platform(accelerator=Accelerator.KVM, board="pc-i440fx-7.2", cpu=HOST)
TCG = replace(KVM, accelerator=Accelerator.TCG, cpu=TRANSLATED)
SKYLAKE = replace(KVM, cpu="Skylake-Server-IBRS -pku +gfni +intel")


def test_qemu_is_told_a_model_and_what_differs_and_must_give_all_of_it() -> None:
    assert option_of(KVM) == "host"
    assert option_of(replace(KVM, cpu=REDUCED_HOST)) == "host,arch-capabilities=off"
    assert option_of(TCG) == "max"
    assert option_of(SKYLAKE) == "Skylake-Server-v2,pku=off,gfni=on,enforce=on"


def test_a_guest_needs_what_it_has_seen() -> None:
    here = "Icelake-Server-v4 -pku"
    assert needed_by(TCG, here, live=True) == ""
    assert needed_by(KVM, here, live=True) == here
    assert needed_by(replace(KVM, cpu=REDUCED_HOST), here, live=True) == here
    assert needed_by(KVM, here, live=False) == ""
    assert needed_by(SKYLAKE, here, live=False) == SKYLAKE.cpu
    kvm64 = replace(KVM, cpu="kvm64")
    assert needed_by(kvm64, here, live=True) == "kvm64-v1 +intel"
    assert needed_by(kvm64, "EPYC-v1", live=True) == "kvm64-v1 +amd"
    assert needed_by(replace(KVM, cpu="Nehalem"), "EPYC-v1", live=True) == "Nehalem-v1 -intel +amd"


def test_a_cpu_is_read_from_what_qemu_says_of_it() -> None:
    said = dict.fromkeys(model_of("Westmere").features - VENDORS, True)
    more = {"kvm-pv-eoi": True, "hypervisor": True, "family": 6, "avx": False}
    assert cpu_of({**said, **more, "vendor": "GenuineIntel"}) == "Westmere-v1"
    assert cpu_of({**said, **more, "vendor": "Nobody"}) == "Westmere-v1 -intel"


def test_a_cpu_that_this_machine_lacks_is_refused_with_the_feature_by_name() -> None:
    check_wanted("", "")
    check_wanted("Skylake-Server-v3 -pku", "Icelake-Server-v4 -pku")
    with pytest.raises(Invalid, match="it lacks pku") as caught:
        check_wanted("Skylake-Server-v3", "Icelake-Server-v4 -pku")
    assert "cpu-baseline" in caught.value.fix
    with pytest.raises(Invalid, match="no CPU model 'Skylak'"):
        check_wanted("Skylak", "")


POOL = parse(
    """billow-pool 1
    shape s cpu=1 memory=32MiB
    host arm nodes=(8,16GiB) arch=aarch64
    host new nodes=(8,16GiB) cpu=Icelake-Server-v4
    host old nodes=(8,16GiB) cpu=Skylake-Server-v3
    vm a s new running cpu=Skylake-Server-v3
    vm b s new running cpu=Icelake-Server-v2
    """
)


def reasons(name: str, target: str) -> list[str]:
    move = Migrate(instance=name, source="new", target=target)
    return [blocker.reason for blocker in blockers(POOL, move)]


def test_a_move_to_a_host_without_a_feature_or_of_other_kind_is_blocked() -> None:
    assert reasons("a", "old") == []
    (why,) = reasons("b", "old")
    assert why.startswith("old lacks avx512-vpopcntdq, avx512bitalg, ")
    (why,) = reasons("a", "arm")
    assert "nothing moves between them" in why


def test_nothing_is_placed_where_its_cpu_cannot_be_given() -> None:
    wanted = replace(POOL.instance("b"), id="c", host="", state=State.REQUESTED)
    assert not list(blockers(POOL, Place(instance=wanted, host="new")))
    (blocker,) = blockers(POOL, Place(instance=wanted, host="old"))
    assert "which c needs" in blocker.reason
    assert "cpu-baseline" in blocker.fix


@pytest.mark.qemu
@pytest.mark.anyio
async def test_hosts_tell_what_their_cpus_have(stand: QemuStand) -> None:
    engine = await stand.open()
    cpu = (await engine.sense()).host(stand.first).cpu_model
    await engine.aclose()
    assert check_cpu("the host's CPU", cpu) == stand.findings.cpu_model
    assert bool(cpu) is stand.findings.kvm
    assert not cpu or {"fpu", "sse2", "lm"} <= (features_of(cpu) or frozenset())


@pytest.mark.qemu
@pytest.mark.anyio
async def test_the_table_says_of_every_model_what_qemu_says(stand: QemuStand) -> None:
    """QEMU names what this host lacks for each model; the table must name the same."""
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    async with talk(stand.folder.residence(stand.first, "x").socket) as monitor:
        cpu = await host_cpu(monitor) if stand.findings.kvm else ""
        said = await monitor.execute("query-cpu-definitions")
    await engine.aclose()
    assert cpu == stand.findings.cpu_model
    assert isinstance(said, list)
    told = {each["name"]: set(each["unavailable-features"]) for each in said}
    known = [each for each in models(Arch.X86_64) if each.name in told]
    assert len(known) >= 60
    if cpu:  # translated, QEMU tells what it can play
        has = features_of(cpu) or frozenset()
        if stand.findings.host_cpu == REDUCED_HOST:  # QEMU judges models by what KVM says it has
            has |= ARCH_CAPABILITIES
        lacks = {each.name: each.features - has - VENDORS for each in known}
        assert {each.name: told[each.name] for each in known} == lacks


@pytest.mark.qemu
@pytest.mark.anyio
async def test_a_guest_with_a_named_cpu_runs_and_moves(stand: QemuStand) -> None:
    """On any host: `kvm64` without what this one lacks."""
    has = features_of(stand.findings.cpu_model) or frozenset()
    least = model_of("kvm64").features
    named = " ".join(["kvm64-v1", *(f"-{each}" for each in sorted(least - has) if has)])
    rules = Rules(cpu_model=named)
    engine = await open_pool(stand.folder, stand.plan, stand.findings, stand.clock, rules)
    await do(engine, place(stand, "x"))
    there = (await engine.sense()).instance("x")
    await do(engine, migrate(stand, "x"))
    moved = (await engine.sense()).instance("x")
    line = processes_of(stand.folder.root)[0]
    await engine.aclose()
    assert (moved.host, moved.state) == (stand.second, State.RUNNING)
    assert moved.cpu_model == there.cpu_model
    needed = features_of(moved.cpu_model)
    assert needed is None if not has else needed == (least & has) | (has & VENDORS)
    assert ("-cpu kvm64-v1" in line and "enforce=on" in line) is bool(has)
