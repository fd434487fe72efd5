# SPDX-License-Identifier: Apache-2.0
"""What is learned of lives, and that hosts empty together because of it."""

import numpy as np
import pytest

from billow.capabilities.placement.company import ALONE, Company, Guest
from billow.capabilities.placement.lifetimes import AHEAD, Lifetimes, expected_s, traits_of
from billow.capabilities.placement.past import learned, past_of
from billow.capabilities.placement.plan import Placement
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.model.action import Place
from billow.model.history import History, Lives
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape

HOUR = 3600.0
NOW = 1_000 * HOUR
PLAIN = PlacementPolicy(strategy=Strategy.PACK)
WISE = PlacementPolicy(strategy=Strategy.PACK, lifetime_weight=1.0)
SHORT, LONG = Shape("short", 1000, 1024), Shape("long", 1000, 2048)


def at_zero(lifetimes: Lifetimes, group: int) -> float:
    return float(expected_s(lifetimes.survival(np.array([group]), np.zeros(1)))[0]) / HOUR


def learn(lifetimes: Lifetimes, group: int, hours: list[float], *, ended: bool = True) -> None:
    ages = np.array(hours) * HOUR
    groups = np.full(len(ages), group)
    lifetimes.learn(groups, np.zeros(len(ages)), ages, ended=ended)


@pytest.mark.parametrize("mean_h", [0.5, 4.0, 20.0])
def test_the_expected_life_is_the_mean_of_many(mean_h: float) -> None:
    lifetimes = Lifetimes()
    group = lifetimes.group((1, 2))
    lives = np.random.default_rng(1).exponential(mean_h, 4_000)
    learn(lifetimes, group, lives.tolist())
    assert at_zero(lifetimes, group) == pytest.approx(mean_h, rel=0.15)


def test_those_that_still_run_make_lives_longer() -> None:
    ended, running = Lifetimes(), Lifetimes()
    for each in (ended, running):
        learn(each, each.group((1,)), [1.0] * 100)
    learn(running, running.group((1,)), [30.0] * 100, ended=False)
    assert at_zero(running, 1) > 5 * at_zero(ended, 1)


def test_who_has_outlived_the_others_is_expected_to_stay() -> None:
    lifetimes = Lifetimes()
    group = lifetimes.group((1,))
    learn(lifetimes, group, [0.5] * 500 + [60.0] * 50)
    young, old = lifetimes.survival(np.array([group, group]), np.array([0.0, 4 * HOUR]))
    half_day = int(np.searchsorted(AHEAD, 12 * HOUR))
    assert young[half_day] < 0.3
    assert old[half_day] > 0.6
    assert (np.diff(young) <= 0).all()


def test_a_group_that_has_seen_nothing_knows_what_its_parent_knows() -> None:
    lifetimes = Lifetimes()
    learn(lifetimes, lifetimes.group((1, 1)), [0.2] * 300)
    learn(lifetimes, lifetimes.group((2, 1)), [40.0] * 300)
    assert at_zero(lifetimes, lifetimes.group((1, 9))) < 1
    assert at_zero(lifetimes, lifetimes.group((2, 9))) > 20


def test_learning_in_parts_is_learning_at_once() -> None:
    once, parts = Lifetimes(), Lifetimes()
    for each in (once, parts):
        each.group((1,))
    groups, life = np.array([1, 1]), np.array([2 * HOUR, 90 * HOUR])
    once.learn(groups, np.zeros(2), life, ended=True)
    parts.learn(groups, np.zeros(2), life / 3, ended=False)
    parts.learn(groups, life / 3, life, ended=True)
    zero = np.zeros(1)
    np.testing.assert_allclose(
        once.survival(np.array([1]), zero), parts.survival(np.array([1]), zero)
    )


def test_the_traits_of_an_unknown_tenant_do_not_name_it() -> None:
    assert traits_of((1, 2), 1, 5) == (1, 2, 0, 1)
    assert traits_of((1, 2), 4, 23, "shop") == (1, 2, "shop", 4, 7)


def test_a_company_forgets_who_left() -> None:
    company = Company(2)
    guest = Guest(2.0, 1.0, 3.0, 100.0, 7)
    before = company.misfit(guest).tolist()
    company.enter(1, guest)
    assert company.misfit(guest)[1] < company.misfit(guest)[0] == ALONE
    company.leave(1, guest)
    assert company.misfit(guest).tolist() == before


def world(*, history: bool = True) -> Pool:
    """Two hosts, as full as each other: one with long-lived instances, one with short-lived."""
    hosts = [Host(name, (Node(16_000, 65_536),)) for name in ("a-short", "b-long")]
    there = [
        Instance(f"{shape.name}{number}", shape, host=host, state=State.RUNNING)
        for shape, host in ((SHORT, "a-short"), (LONG, "b-long"))
        for number in range(4)
    ]
    asked = [Instance("new-short", SHORT), Instance("new-long", LONG)]
    pool = Pool.build(hosts, there, taken_at=NOW).with_requests(asked)
    return pool.with_history(past(pool)) if history else pool


def past(pool: Pool) -> History:
    count = 200
    half = np.arange(count) < count // 2
    born = NOW - 900.0 * HOUR + HOUR * np.arange(count, dtype=np.float64)
    lives = Lives(
        cpu_milli=np.full(count, 1000),
        memory_mib=np.where(half, 1024, 2048),
        tenant=("",) * count,
        born=born,
        ended=born + np.where(half, 0.5, 80.0) * HOUR,
    )
    ids = tuple(pool.instances.id)
    nothing = np.full((len(ids), 0), np.nan, dtype=np.float32)
    since = np.full(len(ids), NOW - 0.2 * HOUR)
    return History(300.0, NOW, ids, nothing, nothing, since, since, lives=lives)


def hosts_of(pool: Pool, policy: PlacementPolicy) -> dict[str, tuple[str, str]]:
    actions = Placement().propose(pool, policy).actions
    return {
        each.instance.id: (each.host, each.reason) for each in actions if isinstance(each, Place)
    }


def test_instances_go_where_the_others_end_with_them() -> None:
    placed = hosts_of(world(), WISE)
    assert placed["new-short"][0] == "a-short"
    assert placed["new-long"][0] == "b-long"


def test_a_reason_says_when_ends_decided() -> None:
    plain, wise = hosts_of(world(), PLAIN), hosts_of(world(), WISE)
    swayed = {name for name in wise if wise[name][0] != plain[name][0]}
    assert swayed
    for name, (_, reason) in wise.items():
        assert ("expected to end with it" in reason) == (name in swayed)


def test_without_a_past_or_a_weight_nothing_changes() -> None:
    assert hosts_of(world(history=False), WISE) == hosts_of(world(history=False), PLAIN)
    assert hosts_of(world(), PLAIN) == hosts_of(world(history=False), PLAIN)
    assert past_of(world(history=False)) is None


def test_lives_tell_by_shape() -> None:
    pool = world()
    assert pool.history is not None
    assert pool.history.lives is not None
    lifetimes = learned(pool.history.lives, NOW)
    assert at_zero(lifetimes, lifetimes.group((1000, 1024))) < 3
    assert at_zero(lifetimes, lifetimes.group((1000, 2048))) > 30


def test_the_report_tells_which_host_will_be_empty_first() -> None:
    report = Placement().report(world(), PLAIN)
    assert report.figures["hosts_used"] == 2
    assert report.figures["waiting"] == 2
    emptying, lives = report.grids
    assert [row[0] for row in emptying.rows] == ["a-short", "b-long"]
    assert [row[:4] for row in lives.rows] == [(1.0, 1024, 100, 100), (1.0, 2048, 100, 100)]
    (picture,) = report.pictures
    assert list(picture.series[0].values) == sorted(picture.series[0].values)


def test_the_report_does_without_a_past() -> None:
    report = Placement().report(world(history=False), PLAIN)
    assert report.grids == ()
    assert report.pictures == ()
    assert report.figures["cpu_sold_share"] == 0.25
