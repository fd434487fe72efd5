# SPDX-License-Identifier: Apache-2.0
"""What QEMU is told of how a guest may be slowed down, whoever carries the words there. Pure.

A process keeps what it was told from one move to the next, so every value is given every time.
"""

from collections.abc import Collection
from typing import Final

from billow.model.assessment import Way
from billow.plan.steering import Course

_CAPABILITY: Final = {Way.AUTO_CONVERGE: "auto-converge", Way.POST_COPY: "postcopy-ram"}
_TRIGGER: Final = "throttle-trigger-threshold"
_USUAL: Final = {_TRIGGER: 50, "cpu-throttle-initial": 20, "cpu-throttle-increment": 10}
"""QEMU's own: it acts when half of what was sent was written meanwhile."""
_LAST_RESORT: Final = {_TRIGGER: 95, "cpu-throttle-initial": 50, "cpu-throttle-increment": 20}
"""Where limits shall do: only when rounds do not shrink at all, and then quickly.

QEMU leaves a vCPU alone that writes less than 25 MiB/s above its limit, and one whose ring is
looked at before it is full: a crowd of slow writers on a slow link is not held by limits.
"""
_MOST: Final = "max-cpu-throttle"
_INITIAL, _INCREMENT = "cpu-throttle-initial", "cpu-throttle-increment"
_NOT_YET: Final = {_TRIGGER: 100, _INITIAL: 1, _INCREMENT: 1, _MOST: 1}
"""Where only changes are sent: they are few bytes, which QEMU takes for a reason to slow down all.
"""
_USUAL_MOST: Final = 99


def capability(course: Course, known: Collection[str]) -> str:
    """Return the migration capability that a course needs; empty for none.

    Args:
        course: The way that was chosen.
        known: Names of migration parameters that QEMU knows.
    """
    if course.watched:
        return "auto-converge" if _TRIGGER in known else ""
    if course.own:
        return "dirty-limit"
    return _CAPABILITY.get(course.way, "")


def throttle(course: Course, known: Collection[str]) -> dict[str, object]:
    """Return the parameters of QEMU's throttle, as far as they are known there."""
    told = {_MOST: _USUAL_MOST, **(_LAST_RESORT if course.watched else _USUAL)}
    told |= _NOT_YET if course.watched and course.deltas else {}
    return {name: value for name, value in told.items() if name in known}


def net(known: Collection[str]) -> dict[str, object]:
    """Return what catches a move whose writers are held, when that brings nothing."""
    told = {_MOST: _USUAL_MOST, **_LAST_RESORT}
    return {name: value for name, value in told.items() if name in known}
