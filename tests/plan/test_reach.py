# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.model.action import Cordon, Migrate, Place
from billow.model.instance import Instance
from billow.model.kinds import Arch, State
from billow.model.plan import Cost, Plan, Step
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.model.text import parse
from billow.plan.check import violations
from billow.plan.reach import ANYWHERE, barred, barriers, lacking, reach_of, without
from billow.plan.suit import suits
from billow.testing.strategies import pools

MIXED = parse(
    """billow-pool 1
    shape any cpu=1 memory=1GiB
    shape x cpu=1 memory=1GiB arch=x86_64
    host arm nodes=(8,16GiB) arch=aarch64 cpu=neoverse-n1
    host new nodes=(8,16GiB) cpu="Icelake-Server-v4 -pku"
    host odd nodes=(8,16GiB)
    host old nodes=(8,16GiB) cpu=Skylake-Server-v3
    host rome nodes=(8,16GiB) cpu=EPYC-Rome-v2
    vm fine x old running cpu="kvm64 +intel"
    vm free any new running
    vm held any new running cpu=Icelake-Server-v4
    vm rest x new stopped
    vm tied x new running cpu=Skylake-Server-v3
    vm wish any - requested cpu=EPYC-v1
    vm arms any arm running
    """
)


def reached(pool: Pool, name: str) -> set[str]:
    good = suits(pool, pool.instance_row(name))
    return {host for host, fine in zip(pool.hosts.id, good.tolist(), strict=True) if fine}


@pytest.mark.parametrize(
    ("name", "hosts"),
    [
        ("free", {"new", "odd", "old", "rome"}),
        ("rest", {"new", "odd", "old", "rome"}),
        ("held", {"odd"}),
        ("tied", {"odd", "old"}),
        ("fine", {"new", "odd", "old"}),
        ("wish", {"odd", "rome"}),
        ("arms", {"arm"}),
    ],
)
def test_an_instance_reaches_hosts_with_its_instruction_set_and_features(
    name: str, hosts: set[str]
) -> None:
    assert reached(MIXED, name) == hosts


def test_who_is_bound_by_nothing_but_its_shape_costs_nothing() -> None:
    reach = reach_of(MIXED)
    assert reach.code(MIXED.instance_row("rest")) == ANYWHERE
    assert reach.code(MIXED.instance_row("free")) != ANYWHERE
    plain = parse("billow-pool 1\nshape s cpu=1 memory=1GiB\nhost h nodes=(1,1GiB)\nvm a s h")
    assert reach_of(plain).code(0) == ANYWHERE
    assert reach_of(plain) is reach_of(plain)


def move(name: str, source: str, target: str) -> Migrate:
    return Migrate(instance=name, source=source, target=target, reason="test")


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (move("free", "new", "arm"), "arm is aarch64, and free is on x86_64: nothing moves"),
        (move("rest", "new", "arm"), "arm is aarch64, and rest needs x86_64"),
        (move("tied", "new", "rome"), "rome is no intel CPU, which tied needs"),
        (move("held", "new", "old"), "old lacks arch-capabilities, avx512-vpopcntdq, "),
        (move("tied", "new", "new"), "new lacks pku, which tied needs"),
    ],
)
def test_a_move_that_cannot_be_is_barred_with_the_feature_by_name(
    action: Migrate, why: str
) -> None:
    (said,) = barred(MIXED, action)
    assert said.startswith(why)
    source, target = MIXED.host(action.source), MIXED.host(action.target)
    assert barriers(MIXED.instance(action.instance), source, target) == (said,)


@pytest.mark.parametrize(
    "action",
    [
        move("tied", "new", "old"),
        move("held", "new", "odd"),
        move("nobody", "new", "arm"),
        move("free", "new", "nowhere"),
        Cordon(host="arm", why="x", reason="test"),
    ],
)
def test_what_is_not_known_bars_nothing(action: Migrate | Cordon) -> None:
    assert barred(MIXED, action) == ()


def planned(*actions: Place | Migrate) -> Plan:
    steps = [
        Step(replace(action, id=f"p-{number}"), number, (), Cost())
        for number, action in enumerate(actions)
    ]
    return Plan("p", MIXED.digest, tuple(steps), MIXED)


def test_the_lint_refuses_any_plan_that_crosses_instruction_sets_or_lacks_a_feature() -> None:
    assert violations(MIXED, planned(move("tied", "new", "old"))) == ()
    (why,) = violations(MIXED, planned(move("free", "new", "arm")))
    assert "nothing moves between them" in why
    (why,) = violations(MIXED, planned(move("tied", "new", "rome")))
    assert "no intel CPU" in why


def test_the_lint_knows_instances_that_the_plan_itself_places() -> None:
    wanted = Instance("b", Shape("any", 1000, 1024), cpu_model="EPYC-Rome-v2")
    fine = Place(instance=wanted, host="rome", reason="test")
    assert violations(MIXED, planned(fine, move("b", "rome", "odd"))) == ()
    assert "no amd" in violations(MIXED, planned(fine, move("b", "rome", "old")))[0]
    assert "no amd" in violations(MIXED, planned(replace(fine, host="old")))[0]
    armed = replace(wanted, cpu_model="", shape=Shape("a", 1000, 1024, arch=Arch.AARCH64))
    assert "needs aarch64" in violations(MIXED, planned(replace(fine, instance=armed)))[0]


@given(pools(), st.integers(0, 2**32 - 1))
def test_columns_and_single_rows_agree(pool: Pool, seed: int) -> None:
    dice = np.random.default_rng(seed)
    texts = ("", "kvm64", "Skylake-Server-v3", "Icelake-Server-v4 -pku", "EPYC-v1")
    cpus = dice.choice(texts, len(pool.hosts))
    needs = dice.choice(texts, len(pool.instances))
    hosts = [replace(h, cpu_model=str(c)) for h, c in zip(pool.host_views(), cpus, strict=True)]
    ours = [replace(i, cpu_model=str(c)) for i, c in zip(pool.instance_views(), needs, strict=True)]
    mixed = Pool.build(hosts, ours, groups=pool.groups)
    reach = reach_of(mixed)
    codes = reach.codes(np.arange(len(mixed.instances)))
    assert codes.tolist() == [reach.code(row) for row in range(len(mixed.instances))]
    for row, instance in enumerate(mixed.instance_views()):
        home = mixed.host(instance.host) if instance.host else None
        for place, host in enumerate(mixed.host_views()):
            arch = instance.shape.arch in (None, host.arch)
            free = arch and bool(reach.hosts(reach.code(row))[place])
            assert free == (not barriers(instance, home, host))


def test_words_for_what_lacks() -> None:
    assert without(("a",)) == "lacks a"
    assert without(("a", "b", "c")) == "lacks a, b and c"
    assert without(tuple("abcdefg")) == "lacks a, b, c, d and 3 more"
    assert without(("amd", "b")) == "is no amd CPU"
    assert lacking("", "kvm64") == lacking("kvm64", "") == ()


def test_states_do_not_matter_to_what_is_set_up_for_one_instruction_set() -> None:
    stopped = replace(MIXED.instance("free"), state=State.STOPPED)
    assert barriers(stopped, MIXED.host("new"), MIXED.host("arm"))
