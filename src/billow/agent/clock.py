# SPDX-License-Identifier: Apache-2.0
"""The agent's two clocks, in one place so that no file mixes them up."""

import time


def now() -> float:
    """Return seconds since boot, time asleep included: a lease must not stand still meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall() -> float:
    """Return seconds since the epoch: for people and for `Symptom.since` only."""
    return time.clock_gettime(time.CLOCK_REALTIME)
