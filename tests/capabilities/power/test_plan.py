# SPDX-License-Identifier: Apache-2.0
"""What power proposes on small pools that a person can follow."""

from dataclasses import replace

import numpy as np
import pytest

from billow.capabilities.power import Power, PowerPolicy
from billow.model.action import Action, Migrate, PowerOff, PowerOn
from billow.model.column import frozen
from billow.model.history import History
from billow.model.plan import Plan
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.resources import FloatArray
from billow.plan.compose import Stamp, compose
from billow.testing.pools import pool as pool_of

CALM = PowerPolicy(spare_hosts=0)
SPREAD = "4 hosts x 64GiB 16c zone=a; 8 vms x 4GiB 2c spread"


def with_use(pool: Pool, *milli: float) -> Pool:
    """Return the pool with what each instance uses, one value for all or one each."""
    used = np.resize(np.array(milli, dtype=np.float32), len(pool.instances))
    return replace(pool, instances=replace(pool.instances, cpu_used=frozen(used)))


def past(pool: Pool, cpu: FloatArray) -> History:
    """Return CPU samples of a pool's instances, five minutes apart."""
    nothing = np.full(len(cpu), np.nan)
    none = np.zeros((len(cpu), 0), dtype=np.float32)
    seen = cpu.astype(np.float32)
    return History(300.0, pool.taken_at, pool.instances.id, seen, none, nothing, nothing)


def with_past(pool: Pool, cpu: FloatArray) -> Pool:
    """Return the pool with CPU samples of its instances."""
    return pool.with_history(past(pool, cpu))


def proposed(pool: Pool, policy: PowerPolicy = CALM) -> tuple[Action, ...]:
    return Power().propose(pool, policy).actions


def planned(pool: Pool, policy: PowerPolicy = CALM) -> Plan:
    return compose(pool, [Power().propose(pool, policy)], Limits(), Stamp("p"))


def off(actions: tuple[Action, ...]) -> list[str]:
    return [each.host for each in actions if isinstance(each, PowerOff)]


def on(actions: tuple[Action, ...]) -> list[str]:
    return [each.host for each in actions if isinstance(each, PowerOn)]


def test_idle_hosts_are_emptied_and_switched_off() -> None:
    """Eight quiet instances on four hosts need one host."""
    plan = planned(with_use(pool_of(SPREAD), 100.0))
    actions = tuple(step.action for step in plan.steps)
    assert len(off(actions)) == 3
    moved = {step.action.instance: step.wave for step in plan.steps
             if isinstance(step.action, Migrate)}  # fmt: skip
    assert len(moved) == 6
    last = min(step.wave for step in plan.steps if isinstance(step.action, PowerOff))
    assert plan.rejections == ()
    assert last > 0


def test_the_gain_is_what_the_hosts_no_longer_draw() -> None:
    """Three hosts of 120 W idle that draw 5 W asleep spare 8.28 kWh a day."""
    gain = Power().propose(with_use(pool_of(SPREAD), 0.0), CALM).gain
    assert gain["energy_saved_kwh_per_day"] == pytest.approx(3 * 115 * 24 / 1000, rel=1e-6)


def test_busy_hosts_stay_on() -> None:
    """What fills three quarters of four hosts cannot be carried by three."""
    assert proposed(with_use(pool_of("4 hosts x 64GiB 16c; 24 vms x 4GiB 2c spread"), 2000)) == ()


def test_spare_hosts_are_kept_on() -> None:
    """With N+1 a second host stays on, with N+2 a third."""
    pool = with_use(pool_of(SPREAD), 100.0)
    for spare in (0, 1, 2, 3):
        assert len(off(proposed(pool, PowerPolicy(spare_hosts=spare)))) == 3 - spare


def test_a_lost_reserve_is_woken() -> None:
    """One host in use and one asleep: N+1 wakes the other."""
    pool = with_use(
        pool_of("1 host x 64GiB 16c; 1 host x 64GiB 16c off; 4 vms x 4GiB 2c pack"), 9.0
    )
    assert on(proposed(pool, PowerPolicy(spare_hosts=1))) == ["h2"]
    assert proposed(pool, CALM) == ()


def test_a_pinned_instance_keeps_its_host_on() -> None:
    pool = with_use(pool_of("2 hosts x 64GiB 16c; a: 1 vm x 4GiB 2c on=h1 immovable; "
                            "b: 1 vm x 4GiB 2c on=h2 immovable"), 9.0)  # fmt: skip
    assert proposed(pool) == ()


def test_kept_hosts_stay_on() -> None:
    keep = frozenset({"h1", "h2", "h3", "h4"})
    assert proposed(with_use(pool_of(SPREAD), 9.0), PowerPolicy(spare_hosts=0, keep_on=keep)) == ()


def test_a_zone_keeps_its_last_hosts() -> None:
    pool = with_use(
        pool_of("2 hosts x 64GiB 16c zone=a; 2 hosts x 64GiB 16c zone=b; v: 1 vm x 4GiB 2c on=h1"),
        9.0,
    )
    left = {"h1", "h2", "h3", "h4"} - set(off(proposed(pool)))
    assert {pool.host(name).zone for name in left} == {"a", "b"}
    assert len(left) == 2


def test_apart_stays_apart() -> None:
    """Three instances of one anti-affinity group keep three hosts on."""
    pool = with_use(pool_of("4 hosts x 64GiB 16c; a: 3 vms x 4GiB 2c spread apart"), 9.0)
    assert len(off(proposed(pool))) == 1


def test_nothing_is_switched_off_in_some_hours() -> None:
    pool = replace(with_use(pool_of(SPREAD), 9.0), taken_at=10 * 3600.0)
    held = PowerPolicy(spare_hosts=0, always_on_hours=frozenset({10}))
    assert proposed(pool, held) == ()
    assert off(proposed(replace(pool, taken_at=11 * 3600.0), held))


def test_all_on_wakes_everything_that_can_be() -> None:
    pool = pool_of("1 host x 64GiB 16c; 2 hosts x 64GiB 16c off; 1 host x 64GiB 16c off cordoned")
    assert on(proposed(pool, PowerPolicy(all_on=True))) == ["h2", "h3"]


def test_a_host_just_woken_and_a_worn_one_stay_on() -> None:
    pool = replace(
        with_use(pool_of("3 hosts x 64GiB 16c; 1 vm x 4GiB 2c on=h1"), 9.0), taken_at=1e6
    )
    cpu = np.full((1, 4), 9.0)
    seen = replace(
        past(pool, cpu),
        hosts=("h2", "h3"),
        switched=np.array([1e6 - 60, 1e6 - 80_000]),
        wakes=np.array([1, 4], dtype=np.int32),
    )
    worn = pool.with_history(seen)
    assert proposed(worn) == ()
    fine = PowerPolicy(spare_hosts=0, least_on_s=30.0, wakes_per_day=5)
    assert off(proposed(worn, fine)) == ["h2", "h3"]


def test_a_request_without_room_wakes_a_host() -> None:
    pool = pool_of(
        "1 host x 8GiB 4c; 1 host x 64GiB 16c off; 1 vm x 4GiB 2c on=h1; b: 1 vm x 16GiB 8c"
    )
    assert on(proposed(pool)) == ["h2"]


def test_a_host_is_woken_before_the_daily_peak() -> None:
    """Yesterday's use doubled within the next half hour: the second host wakes now, not then."""
    pool = pool_of("1 host x 64GiB 16c; 1 host x 64GiB 16c off; 8 vms x 4GiB 2c pack")
    day = np.full((8, 288 + 6), 900.0)
    noise = np.where(np.arange(day.shape[1]) % 2 == 0, 30.0, -30.0)
    rising = day + noise
    rising[:, 6:12] = 1900.0
    policy = PowerPolicy(spare_hosts=0, wake_s=1800.0)
    assert on(proposed(with_past(pool, day + noise), policy)) == []
    assert on(proposed(with_past(pool, rising), policy)) == ["h2"]


def test_a_hot_host_is_relieved_onto_a_woken_one() -> None:
    """The plan gives power first, and moves come in a later wave."""
    pool = with_use(pool_of("1 host x 64GiB 8c; 1 host x 64GiB 8c off; 4 vms x 4GiB 2c pack"), 2000)
    plan = planned(pool)
    kinds = [type(step.action) for step in plan.steps]
    assert kinds[0] is PowerOn
    assert Migrate in kinds
    assert [step.action for step in planned(plan.predicted).steps] == []


def test_many_hosts_are_emptied_by_one_plan() -> None:
    """Two hundred hosts, one quiet instance each: what is reserved fills 25, which stay on."""
    pool = with_use(pool_of("200 hosts x 64GiB 16c; 200 vms x 4GiB 2c spread"), 500.0)
    first = planned(pool)
    assert len(off(tuple(step.action for step in first.steps))) == 175
    assert planned(first.predicted).steps == ()
