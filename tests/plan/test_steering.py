# SPDX-License-Identifier: Apache-2.0
"""Steering a move on a model of QEMU's: what is set, when, for whom, and that the move ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.model.assessment import Way
from billow.model.kinds import MigrationPolicy
from billow.plan.shares import TOLERANCE_MIB_S
from billow.plan.steering import (
    CHANGES_ROUND,
    Abilities,
    Course,
    Seen,
    Steering,
    Turn,
    allowed_s,
    choose,
)

ALL = Abilities(limits=True, own_limit=True, post_copy=True)
RINGLESS = Abilities(post_copy=True)
LIMITED = Course(way=Way.DIRTY_LIMIT)
CHANGES = Course(way=Way.DIRTY_LIMIT, deltas=True)
STEP_S, LEAST_STEP_S = 0.1, 0.005


@dataclass
class Model:
    """A guest on its way as a fluid, with limits that work a second late.

    Attributes:
        rates, working: What each vCPU writes, MiB/s, and how much memory it writes to again, MiB.
        carried: What the link carries, MiB/s.
        changed: From the third round on, how much memory gets across by its changes; NaN when
            pages are sent whole.
        free: The part of its time that each vCPU has once all are slowed down together.
    """

    rates: Sequence[float]
    working: Sequence[float]
    carried: float
    memory: float = 256.0
    promise_s: float = 0.3
    seconds: float = 0.0
    rounds: int = 1
    window_s: float = math.nan
    changed: float = math.nan
    free: float = 1.0
    limits: dict[int, tuple[float, float]] = field(default_factory=dict)
    ever: set[int] = field(default_factory=set)

    def go(self, steering: Steering, most_s: float = 120.0) -> Turn | None:
        """Move; return the turn that gave it up or switched over, None when it ended by itself."""
        self.window_s = allowed_s(self.promise_s)
        left, written = self.memory, [0.0] * len(self.rates)
        while self.seconds < most_s:
            turn = steering.look(self._seen(left))
            if turn.hopeless or turn.switch:
                return turn
            self._obey(turn)
            carried = self.carried
            if self.rounds >= CHANGES_ROUND and not math.isnan(self.changed):
                carried = self.changed
            step_s = min(STEP_S, max(LEAST_STEP_S, left / carried))
            self.seconds += step_s
            left -= carried * step_s
            for cpu, working in enumerate(self.working):
                written[cpu] = min(working, written[cpu] + self._rate(cpu) * step_s)
            if max(0.0, left) + sum(written) <= self.carried * self.window_s:
                return None
            if left <= 0:
                left, written = sum(written), [0.0] * len(self.rates)
                self.rounds += 1
                self.free = max(0.01, self.free - 0.2) if self.free < 1 else 1.0
        raise AssertionError(f"no end after {most_s} s: {left:.0f} MiB left")

    def _seen(self, left: float) -> Seen:
        known = self.seconds >= 1.0
        return Seen(
            seconds=self.seconds,
            rounds=self.rounds,
            left_mib=left,
            carried_mib_s=self.carried if self.seconds >= 0.5 else math.nan,
            rates=tuple(map(self._rate, range(len(self.rates)))) if known else (),
            throttle=1.0 - self.free,
        )

    def _rate(self, cpu: int) -> float:
        limit, since = self.limits.get(cpu, (math.inf, 0.0))
        rate = self.rates[cpu] * self.free
        works = self.seconds >= since and rate > limit + TOLERANCE_MIB_S
        return min(rate, limit + 8.0) if works else rate

    def _obey(self, turn: Turn) -> None:
        if turn.together:
            assert self.free == 1.0, "it is said once"
            self.free = 0.5
        if not math.isnan(turn.window_s):
            self.window_s = turn.window_s
        for cpu, limit in enumerate(turn.limits):
            if math.isnan(limit):
                self.limits.pop(cpu, None)
            else:
                self.limits[cpu] = (limit, self.seconds + 1.0)
                self.ever.add(cpu)


@pytest.mark.parametrize(
    ("policy", "can", "way", "own"),
    [
        (MigrationPolicy.BALANCED, ALL, Way.DIRTY_LIMIT, False),
        (MigrationPolicy.SHORTEST, ALL, Way.DIRTY_LIMIT, False),
        (MigrationPolicy.NO_THROTTLE, ALL, Way.PLAIN, False),
        (MigrationPolicy.POST_COPY, ALL, Way.POST_COPY, False),
        (MigrationPolicy.AUTO_CONVERGE, ALL, Way.AUTO_CONVERGE, False),
        (MigrationPolicy.BALANCED, RINGLESS, Way.AUTO_CONVERGE, False),
        (MigrationPolicy.BALANCED, Abilities(own_limit=True), Way.DIRTY_LIMIT, True),
        (MigrationPolicy.POST_COPY, Abilities(limits=True), Way.DIRTY_LIMIT, False),
        (MigrationPolicy.BALANCED, Abilities(auto_converge=False), Way.PLAIN, False),
    ],
)
def test_the_way_is_the_policys_or_the_gentlest_that_both_ends_have(
    policy: MigrationPolicy, can: Abilities, way: Way, *, own: bool
) -> None:
    course = choose(policy, can)
    assert (course.way, course.own) == (way, own)


def test_another_way_than_asked_for_says_why() -> None:
    assert choose(MigrationPolicy.POST_COPY, ALL).why == ""
    assert "post_copy is not possible here" in choose(MigrationPolicy.POST_COPY, Abilities()).why
    assert "dirty rate" in choose(MigrationPolicy.BALANCED, RINGLESS).why


def test_nobody_is_held_who_writes_less_than_the_link_carries() -> None:
    model = Model([40.0, 5.0], [128.0, 32.0], 100.0)
    model.go(Steering(LIMITED, 0.3))
    assert model.ever == set()


def test_only_who_writes_too_fast_is_held() -> None:
    model = Model([200.0, 2.0, 0.0, 0.0], [128.0, 16.0, 0.0, 0.0], 100.0)
    model.go(Steering(LIMITED, 0.3))
    assert model.ever == {0}


@pytest.mark.parametrize("working", [128.0, 256.0])
@pytest.mark.parametrize("early", [False, True])
def test_nobody_is_held_whose_changes_get_across(*, early: bool, working: float) -> None:
    model = Model(rates=(95.0,), working=(working,), carried=46.0, changed=900.0)
    assert model.go(Steering(replace(CHANGES, early=early), 0.3)) is None
    assert (model.ever, model.rounds >= CHANGES_ROUND) == (set(), True)


@pytest.mark.parametrize("changed", [46.0, 60.0, 90.0])
def test_who_writes_more_than_its_changes_get_across_is_held_in_the_end(changed: float) -> None:
    model = Model(rates=(95.0, 1.0), working=(128.0, 8.0), carried=46.0, changed=changed)
    assert model.go(Steering(CHANGES, 0.3)) is None
    assert model.ever == {0}


def test_short_rounds_of_whole_pages_that_were_taken_for_changes_do_not_go_on_for_long() -> None:
    model = Model(rates=(100.0,), working=(16.0,), carried=48.0, memory=50.0)
    assert model.go(Steering(CHANGES, 0.3)) is None
    assert model.ever == {0}
    assert model.seconds < 5.0


@pytest.mark.parametrize("course", [LIMITED, CHANGES])
def test_a_crowd_of_slow_writers_that_no_limit_holds_is_slowed_down_together(
    course: Course,
) -> None:
    """QEMU leaves a vCPU alone that writes within its tolerance; five of them fill a slow link."""
    model = Model(rates=(20.0,) * 5, working=(24.0,) * 5, carried=12.0, changed=20.0)
    assert model.go(Steering(course, 0.3)) is None
    assert (model.ever, model.free < 1) == (set(), True)


def test_the_window_counts_with_what_a_throttle_leaves() -> None:
    """One who writes fast is held, and a crowd beside it is slowed down with it."""
    model = Model(rates=(90.0, *(20.0,) * 5), working=(24.0,) * 6, carried=12.0, changed=20.0)
    steering = Steering(LIMITED, 0.3)
    with pytest.raises(AssertionError, match="no end"):
        model.go(steering, most_s=20.0)
    model.free = 0.5  # QEMU's own, when rounds do not shrink at all
    assert model.go(steering) is None
    assert model.ever == {0}


def test_the_window_is_opened_once_for_what_goes_over_even_as_whole_pages() -> None:
    steering = Steering(CHANGES, 0.3)
    rounds = ((0.5, 1, 90.0), (1.5, 1, 40.0), (2.6, 2, 64.0), (4.0, 3, 64.0))
    for at, number, left in rounds:
        seen = Seen(seconds=at, rounds=number, left_mib=left, carried_mib_s=46.0, rates=(95.0,))
        assert steering.look(seen) == Turn()
    near = Seen(seconds=4.1, rounds=4, left_mib=3.0, carried_mib_s=46.0, rates=(95.0,))
    assert 0.21 < steering.look(near).window_s < 0.3
    assert steering.look(replace(near, seconds=4.15)) == Turn()


def test_the_shortest_way_holds_earlier_and_ends_no_later() -> None:
    balanced, shortest = (Model([200.0], [128.0], 100.0) for _ in range(2))
    balanced.go(Steering(LIMITED, 0.3))
    shortest.go(Steering(Course(way=Way.DIRTY_LIMIT, early=True), 0.3))
    assert shortest.seconds <= balanced.seconds


def test_plain_pre_copy_that_will_not_end_is_given_up_with_figures() -> None:
    turn = Model([200.0], [128.0], 100.0).go(Steering(Course(way=Way.PLAIN), 0.3))
    assert turn is not None
    assert "the link carries 100 MiB/s" in turn.hopeless


def test_plain_pre_copy_that_ends_is_not_given_up() -> None:
    assert Model([60.0], [128.0], 100.0).go(Steering(Course(way=Way.PLAIN), 0.3)) is None


def test_a_round_that_is_not_counted_yet_is_no_empty_one() -> None:
    steering = Steering(LIMITED, 0.3)
    looks = [
        (0.5, 1, 200.0, ()),
        (1.5, 1, 100.0, (200.0,)),
        (2.5, 2, 128.0, (200.0,)),
        (3.5, 2, 30.0, (200.0,)),
        (3.8, 3, 0.0, (200.0,)),
    ]
    turns = [
        steering.look(
            Seen(seconds=at, rounds=number, left_mib=left, carried_mib_s=100.0, rates=rates)
        )
        for at, number, left, rates in looks
    ]
    assert turns[3].limits
    assert turns[4] == Turn()


def test_where_qemu_limits_by_itself_it_is_told_the_limit_once() -> None:
    steering = Steering(Course(way=Way.DIRTY_LIMIT, own=True), 0.3)
    unknown = Seen(seconds=0.1, rounds=1, left_mib=100.0)
    assert steering.look(unknown) == Turn()
    known = Seen(seconds=0.6, rounds=1, left_mib=90.0, carried_mib_s=100.0)
    assert steering.look(known) == Turn(limits=(50.0,))
    assert steering.look(known) == Turn()


def test_post_copy_begins_after_the_first_round() -> None:
    model = Model([200.0], [128.0], 100.0)
    turn = model.go(Steering(Course(way=Way.POST_COPY), 0.3))
    assert turn is not None
    assert turn.switch
    assert model.rounds == 2


def test_a_writer_who_wakes_up_late_is_held_then() -> None:
    model = Model([1.0], [512.0], 100.0, memory=400.0)
    steering = Steering(LIMITED, 0.05)
    model.rates = _Waking([1.0], [300.0], model, at_s=2.0)
    assert model.go(steering) is None
    assert model.ever == {0}


class _Waking(list[float]):
    """Rates that change at some time."""

    def __init__(
        self, before: list[float], after: list[float], model: Model, *, at_s: float
    ) -> None:
        super().__init__(before)
        self._after, self._model, self._at_s = after, model, at_s

    def __getitem__(self, cpu):  # type: ignore[no-untyped-def]  # noqa: ANN001,ANN204
        return (self._after if self._model.seconds >= self._at_s else list(self))[cpu]


@given(
    pressure=st.floats(0.1, 8.0),
    working=st.floats(4.0, 256.0),
    each_mib_s=st.floats(55.0, 500.0),
    cpus=st.integers(1, 4),
    promise_s=st.sampled_from([0.05, 0.3, 1.0]),
    early=st.booleans(),
)
def test_every_move_by_limits_ends(
    pressure: float, working: float, each_mib_s: float, cpus: int, promise_s: float, *, early: bool
) -> None:
    """Below 55 MiB/s of bandwidth for each writer, QEMU's tolerance may leave all of them alone."""
    carried = each_mib_s * cpus
    rates = [pressure * carried / cpus] * cpus
    model = Model(rates, [working / cpus] * cpus, carried, promise_s=promise_s)
    assert model.go(Steering(Course(way=Way.DIRTY_LIMIT, early=early), promise_s)) is None
