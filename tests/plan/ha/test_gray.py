# SPDX-License-Identifier: Apache-2.0
"""A few hundred of the gray scenarios of the benchmark `ha_gray`, and that it can fail."""

import pytest
from benchmarks.ha_gray_faults import deadly, gray
from benchmarks.ha_gray_run import Trial
from benchmarks.ha_gray_world import ALL, Silence, World

from billow.model.ha.policy import HaPolicy

FOUND = (
    *(21, 91, 205, 321, 370, 448, 985, 1257, 2057, 2080, 2382, 2959, 2960, 3404, 8930),
    *(123_966, 134_171, 491_941, 1_149_386),
)
"""Seeds that once ended a healthy host."""
MISSED = (40_982, 61_003, 100_464)
"""Seeds that once missed a death."""


@pytest.mark.parametrize("seed", [*FOUND, *range(10_000, 10_100)])
def test_no_healthy_host_is_ended(seed: int) -> None:
    assert not Trial(gray(seed), HaPolicy()).run().wrong


@pytest.mark.parametrize("seed", [*MISSED, *range(50)])
def test_no_true_death_is_missed(seed: int) -> None:
    outcome = Trial(deadly(seed), HaPolicy()).run()
    assert outcome.back_s < 120.0
    assert not outcome.wrong


def stands_still(seconds: float) -> World:
    """Return a world in which a whole machine stands still for a while."""
    world = gray(0)
    still = Silence(ALL, frozenset({3}), ALL, 10.0, 10.0 + seconds)
    return World(world.phases, silences=[still]).ready()


def test_what_nothing_tells_from_a_death_is_taken_for_one_and_a_longer_wait_bears_it() -> None:
    """The price of speed is a knob: with `settle_s` of 8 s, a kernel may stand still so long."""
    assert Trial(stands_still(8.0), HaPolicy()).run().wrong == {"h03"}
    assert not Trial(stands_still(8.0), HaPolicy(settle_s=8.0)).run().wrong
    assert not Trial(stands_still(0.9), HaPolicy()).run().wrong
