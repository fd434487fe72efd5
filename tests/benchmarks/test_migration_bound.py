# SPDX-License-Identifier: Apache-2.0
"""The least that a writer loses where pages are sent whole: as the rounds of a copy add up."""

import math

import pytest
from benchmarks.migration_bound import CARRIED_SHARE, bound_figures, held_s
from benchmarks.migration_cases import BALANCED, Cases
from benchmarks.migration_lab import link_mib_s, one_writer
from benchmarks.migration_movers import AGGRESSIVE, AUTO_CONVERGE
from benchmarks.migration_trial import Told, Trial

from billow.plan.steering import allowed_s

MBIT = 400.0


def moved(name: str, total_s: float) -> Trial:
    told = Told(ended=True, done_at=total_s, downtime_s=0.2, copied_s=total_s - 0.2)
    return Trial(
        name=name,
        roles=("writer", "reader"),
        told=told,
        total_s=total_s,
        sent_mib=500.0,
        speeds=(65.0, 99.0),
        overall=(65.0, 99.0),
        stalls_s=(0.3, 0.2),
        courses=((), ()),
        bad_pages=0,
    )


def test_no_way_to_hold_a_writer_loses_it_less() -> None:
    """Two rounds under any limit, by hand, against the bound; a writer at rest comes to it."""
    carried, wanted = CARRIED_SHARE * link_mib_s(MBIT), 2 * link_mib_s(MBIT)
    least = held_s(Cases(one_writer(MBIT, whole=True)), MBIT)
    assert least == pytest.approx(128 / carried - carried * allowed_s(0.3) / wanted, rel=0.01)
    for limit in (1.0, 5.0, 13.0, 30.0):
        lost, left = 0.0, 128.0
        while left > carried * allowed_s(0.3):
            passed = left / carried
            left = limit * passed
            lost += passed - left / wanted
        assert lost >= least * (1 - 1e-9)


def test_the_bound_stands_beside_what_was_found() -> None:
    guest = one_writer(MBIT, whole=True)
    whole = Cases(guest, {BALANCED[0]: [moved(BALANCED[0], 11.0)]})
    peers = Cases(guest, {each.name: [moved(each.name, 12.5)] for each in (AGGRESSIVE,)})
    found = {each.name: each.value for each in bound_figures(whole, MBIT, peers)}
    within = found[f"migration_bound, writer_work within 0.65 x {AGGRESSIVE.name}"]
    assert within == pytest.approx(100 * (1 - held_s(whole, MBIT) / (0.65 * 12.5)))
    assert within < 70 < found["migration_bound, writer_work in balanced's time"]
    assert not any(AUTO_CONVERGE.name == name.partition("x ")[2] for name in found)
    alone = [each.name for each in bound_figures(whole, MBIT, None)]
    assert len(alone) == 4
    assert all(math.isfinite(value) for value in found.values())
