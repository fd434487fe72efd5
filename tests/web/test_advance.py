# SPDX-License-Identifier: Apache-2.0
"""Plans and runs in figures and sentences: how far, how long still, what approving means."""

import math
from dataclasses import replace

import pytest

from billow.model.action import Action, Cordon, Delete, Migrate, Place, PowerOff
from billow.model.instance import Instance
from billow.model.plan import Cost, Plan, Step
from billow.model.pool import Pool
from billow.model.run import Entry, Phase, Progress, Run, RunState
from billow.model.shape import Shape
from billow.plan.replay import replay
from billow.testing.pools import pool
from billow.web.advance import advance_of
from billow.web.consequence import consequences, is_grave
from billow.web.planmap import plan_map

BASE = pool("40 hosts x 64GiB 16c; 40 vms x 4GiB 2c spread")
SMALL = pool("3 hosts x 64GiB 16c; 3 vms x 4GiB 2c spread")


def planned(base: Pool, *actions: Action, waves: tuple[int, ...] = ()) -> Plan:
    """Return a plan of some actions, each of ten seconds."""
    numbers = waves or (0,) * len(actions)
    steps = tuple(
        Step(replace(action, id=f"a{at}"), wave, cost=Cost(1024.0, 10.0, 0.2))
        for at, (action, wave) in enumerate(zip(actions, numbers, strict=True))
    )
    seconds = 10.0 * (1 + max(numbers, default=-1))
    cost = Cost(1024.0 * len(steps), seconds, 0.2)
    return Plan("p", base.digest, steps, replay(base, actions), cost)


def moves(base: Pool, count: int) -> list[Migrate]:
    """Return migrations of the first instances to the last hosts."""
    views = list(base.instance_views())[:count]
    targets = base.hosts.id[-count:]
    return [
        Migrate(instance=each.id, source=each.host, target=target)
        for each, target in zip(views, targets, strict=True)
    ]


def run_of(*entries: Entry, state: RunState = RunState.RUNNING, ended_at: float = 0.0) -> Run:
    return Run("r", "p", "ada", 1, 100.0, state, ended_at, {e.action_id: e for e in entries})


def test_waves_are_spelled_and_time_is_added_up() -> None:
    plan = planned(BASE, *moves(BASE, 4), waves=(0, 0, 1, 2))
    half = Progress(0.5, "copying", 3.0, 512.0, 1024.0)
    run = run_of(
        Entry("a0", Phase.DONE, 100.0, 104.0),
        Entry("a1", Phase.INTENDED, 100.0, progress=half),
        Entry("a2"),
        Entry("a3"),
    )
    advance = advance_of(run, plan, 105.0)
    assert advance.waves == ("di", "p", "p")
    assert advance.left_s == pytest.approx(3.0 + 10.0 + 10.0)
    assert advance.fraction == pytest.approx(1.5 / 4)
    assert (advance.ended, advance.total, advance.elapsed_s) == (1, 4, 5.0)
    assert advance.copied_mib == 512.0


def test_a_step_that_says_nothing_takes_what_was_planned() -> None:
    plan = planned(BASE, *moves(BASE, 1))
    silent = Entry("a0", Phase.INTENDED, 100.0, progress=Progress(math.nan))
    assert advance_of(run_of(silent), plan, 104.0).left_s == pytest.approx(6.0)
    assert advance_of(run_of(silent), plan, 150.0).left_s == 0.0
    assert advance_of(run_of(silent), plan, 104.0).fraction == 0.0


def test_a_run_that_has_ended_has_nothing_left() -> None:
    plan = planned(BASE, *moves(BASE, 2))
    ended = run_of(
        Entry("a0", Phase.FAILED), Entry("a1", Phase.SKIPPED), state=RunState.FAILED, ended_at=130.0
    )
    advance = advance_of(ended, plan, 9999.0)
    assert (advance.waves, advance.left_s, advance.elapsed_s) == (("fs",), 0.0, 30.0)
    assert advance.counts == {"failed": 1, "skipped": 1}


def test_approving_is_said_in_sentences() -> None:
    told = consequences(planned(BASE, *moves(BASE, 3)))
    assert told == [
        "3 instances move while they run",
        "3 steps in 1 wave, ~10 s",
        "3 GiB cross the network",
        "no instance stands still longer than 200 ms",
        "every step can be undone",
    ]
    assert consequences(planned(BASE)) == []


def test_what_cannot_be_undone_is_said_last() -> None:
    first = next(iter(SMALL.instance_views()))
    grave = planned(SMALL, Delete(instance=first.id, host=first.host))
    assert is_grave(grave)
    told = consequences(grave)
    assert told[0] == "1 instance is destroyed with its disk"
    assert told[-1] == "1 step cannot be undone"
    assert not is_grave(planned(SMALL, *moves(SMALL, 1)))


def test_hosts_that_go_dark_are_counted() -> None:
    empty = pool("2 hosts x 64GiB 16c")
    told = consequences(planned(empty, PowerOff(host="h1")))
    assert "1 host loses power" in told


def test_a_small_pool_is_shown_whole_and_a_large_one_where_it_changes() -> None:
    small = plan_map(planned(SMALL, *moves(SMALL, 1)), SMALL, whole=False)
    assert (small["shown"], small["hosts"]) == (3, 3)
    plan = planned(BASE, *moves(BASE, 2))
    large = plan_map(plan, BASE, whole=False)
    assert (large["shown"], large["touched"], large["hosts"]) == (4, 4, 40)
    assert plan_map(plan, BASE, whole=True)["shown"] == 40


def test_moves_point_at_the_places_of_their_hosts() -> None:
    first = next(iter(SMALL.instance_views()))
    new = Instance("new", Shape("s", 1000, 1024))
    plan = planned(
        SMALL.with_requests([new]),
        Place(instance=new, host="h2"),
        Delete(instance=first.id, host=first.host),
        Cordon(host="h3"),
    )
    sent = plan_map(plan, SMALL, whole=False)
    names = sent["names"].split("\n")
    assert sent["moves"] == [
        ["place", "new", -1, names.index("h2")],
        ["delete", first.id, names.index(first.host), -1],
    ]
