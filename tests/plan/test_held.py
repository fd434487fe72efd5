# SPDX-License-Identifier: Apache-2.0
"""The steering steers a model of QEMU: who is held, and that it ends as it must."""

import math

import pytest

from billow.model.assessment import Guest, Link, Way, Writer
from billow.plan.held import held
from billow.plan.steering import Course, Seen, Steering

LINK = Link(bandwidth_mib_s=96.0)
READER = Writer(dirty_mib_s=2.0, working_mib=0.1)


def guest(*rates: float, working_mib: float = 128.0) -> Guest:
    writers = tuple(Writer(dirty_mib_s=rate, working_mib=working_mib) for rate in rates)
    return Guest(memory_mib=working_mib * len(rates) + 65, writers=(*writers, READER))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.6])
@pytest.mark.parametrize("working_mib", [16.0, 64.0, 256.0])
def test_nobody_is_held_whose_copy_ends_by_itself(share: float, working_mib: float) -> None:
    """QEMU begins a round before the last one is all sent: that is not what was written."""
    found = held(guest(share * 96, working_mib=working_mib), LINK)
    assert (found.ends, found.limited) == (True, False)
    assert found.speeds == (1.0, 1.0)


@pytest.mark.parametrize("times", [1.0, 2.0, 4.0])
def test_who_writes_too_fast_is_held_and_it_ends(times: float) -> None:
    found = held(guest(times * 96, working_mib=256.0), LINK)
    assert found.ends
    assert found.downtime_s <= LINK.downtime_s
    assert [math.isnan(each) for each in found.limits_mib_s] == [False, True]
    assert found.speeds[0] < 1.0 == found.speeds[1]
    assert found.seconds < 3 * 321 / 96


def test_what_fits_into_the_downtime_needs_no_limit_however_fast_it_is_written() -> None:
    found = held(guest(500.0, working_mib=16.0), LINK)
    assert (found.ends, found.limited) == (True, False)


def test_limits_from_the_start_end_it_no_later() -> None:
    late, early = (held(guest(192.0), LINK, early=each) for each in (False, True))
    assert early.seconds <= late.seconds


def test_a_copy_that_nothing_helps_does_not_end() -> None:
    """Four writers, each so slow that QEMU would leave it alone under any limit."""
    found = held(guest(24.0, 24.0, 24.0, 24.0, working_mib=512.0), Link(bandwidth_mib_s=80.0))
    assert (found.ends, found.limited) == (False, False)


def test_memory_that_was_left_over_was_not_written() -> None:
    """30 MiB/s on a link of 100; each round begins while 20 MiB of the last are unsent."""
    steering = Steering(Course(way=Way.DIRTY_LIMIT), promise_s=0.3)
    seconds, left = 0.0, 200.0
    for number in range(1, 5):
        passed_s = (left - 20.0) / 100.0
        for at, rest in ((seconds, left), (seconds + passed_s, 20.0)):
            turn = steering.look(
                Seen(seconds=at, rounds=number, left_mib=rest, carried_mib_s=100.0, rates=(30.0,))
            )
            assert turn.limits == ()
        seconds, left = seconds + passed_s, 20.0 + 30.0 * passed_s
