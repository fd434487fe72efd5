# SPDX-License-Identifier: Apache-2.0
"""What QEMU is told of how a guest may be slowed down: all that it knows, each time."""

import pytest

from billow.act.brakes import capability, net, throttle
from billow.model.assessment import Way
from billow.plan.steering import Course

ALL = frozenset(
    {
        "throttle-trigger-threshold",
        "cpu-throttle-initial",
        "cpu-throttle-increment",
        "max-cpu-throttle",
        "downtime-limit",
    }
)
PLAIN, POST_COPY = Course(way=Way.PLAIN), Course(way=Way.POST_COPY)
THROTTLED = Course(way=Way.AUTO_CONVERGE)
HELD, OWN = Course(way=Way.DIRTY_LIMIT), Course(way=Way.DIRTY_LIMIT, own=True)
CHANGES = Course(way=Way.DIRTY_LIMIT, deltas=True)


@pytest.mark.parametrize(
    ("course", "name"),
    [
        (PLAIN, ""),
        (POST_COPY, "postcopy-ram"),
        (THROTTLED, "auto-converge"),
        (OWN, "dirty-limit"),
        (HELD, "auto-converge"),  # the last resort
    ],
)
def test_a_course_needs_a_capability(course: Course, name: str) -> None:
    assert capability(course, ALL) == name


def test_there_is_no_last_resort_where_it_cannot_be_told_to_wait() -> None:
    """Without its threshold QEMU would slow all down at once, beside the limits."""
    assert capability(HELD, ALL - {"throttle-trigger-threshold"}) == ""


@pytest.mark.parametrize("course", [PLAIN, POST_COPY, THROTTLED, HELD, OWN, CHANGES])
def test_what_an_earlier_move_set_does_not_stay(course: Course) -> None:
    assert throttle(course, ALL).keys() == ALL - {"downtime-limit"}
    assert throttle(course, frozenset()) == {}


def test_who_is_held_is_throttled_later_than_who_is_not_and_then_more() -> None:
    usual, last = throttle(THROTTLED, ALL), throttle(HELD, ALL)
    for name in ("throttle-trigger-threshold", "cpu-throttle-initial", "cpu-throttle-increment"):
        assert int(str(last[name])) > int(str(usual[name]))


def test_changes_are_no_reason_to_throttle_before_the_net_is_cast() -> None:
    """They are few bytes, of which QEMU would think that nothing gets across."""
    assert throttle(CHANGES, ALL)["max-cpu-throttle"] == 1
    assert net(ALL) == throttle(HELD, ALL)
