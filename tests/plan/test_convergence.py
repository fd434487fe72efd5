# SPDX-License-Identifier: Apache-2.0
"""Predictions against real migrations (QEMU 10 and 7.2, research notes), and the laws they keep.

Plain runs: 64 MiB that are only read, a writer of so many pages a second, 100 MiB/s, 100 ms.
"""

import math
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.errors import Invalid
from billow.model.assessment import Assessment, Guest, Link, Way, Writer
from billow.plan.convergence import (
    SETUP_S,
    SWITCH_S,
    Verdict,
    outlook,
    predict,
)
from billow.plan.shares import LEAST_SHARE, MOST_SHARE, budget, limits, shares

PAGE_MIB = 1 / 256
READER = Writer(dirty_mib_s=2.0, working_mib=0.1, busy=0.1)
PLAIN = (
    (2000, 32, 1.42),
    (6000, 32, 1.92),
    (12000, 32, 2.02),
    (18000, 32, 2.24),
    (22000, 32, 3.03),
    (30000, 32, None),
    (2000, 128, 2.49),
    (6000, 128, 2.94),
    (12000, 128, 4.03),
    (18000, 128, 6.5),
    (22000, 128, 9.85),
    (30000, 128, None),
    (2000, 32, 1.42),
    (6000, 32, 1.84),
    (12000, 32, 1.83),
    (18000, 32, 2.59),
    (22000, 32, 3.2),
    (30000, 32, None),
    (2000, 128, 2.32),
    (6000, 128, 2.82),
    (12000, 128, 4.03),
    (18000, 128, 6.77),
    (22000, 128, 12.51),
    (30000, 128, None),
)
"""Pages written a second, working set in MiB, total seconds (None: never)."""
BUSY = (
    # way, MiB/s written, working set, busy, link MiB/s, median seconds of 2 or 3 runs
    (Way.AUTO_CONVERGE, 195.0, 128, 0.1, 100.0, 24.55),
    (Way.AUTO_CONVERGE, 195.0, 128, 0.1, 95.5, 23.4),
    (Way.AUTO_CONVERGE, 160.0, 128, 1.0, 100.0, 14.95),
    (Way.AUTO_CONVERGE, 234.0, 60, 0.1, 112.0, 20.72),
    (Way.AUTO_CONVERGE, 234.0, 70, 0.1, 112.0, 20.92),
    (Way.AUTO_CONVERGE, 234.0, 90, 0.1, 112.0, 22.44),
    (Way.AUTO_CONVERGE, 234.0, 110, 0.1, 112.0, 25.53),
    (Way.AUTO_CONVERGE, 62.0, 24, 0.22, 34.2, 16.13),
)


def guest(dirty: float, working: float, *, busy: float = 0.1) -> Guest:
    writer = Writer(dirty_mib_s=dirty, working_mib=working, busy=busy)
    return Guest(memory_mib=working + 65, writers=(writer, READER))


def test_plain_copies_end_as_they_really_did() -> None:
    link, errors = Link(bandwidth_mib_s=100.0, downtime_s=0.1), []
    for pages, working, real in PLAIN:
        found = predict(guest(pages * PAGE_MIB, working), link, Way.PLAIN)
        assert found.ends is (real is not None), (pages, working)
        if real is not None:
            errors.append(abs(found.seconds / real - 1))
    assert median(errors) <= 0.05
    assert max(errors) <= 0.2


def test_braked_copies_end_as_they_really_did() -> None:
    errors = []
    for way, dirty, working, busy, bandwidth, real in BUSY:
        link = Link(bandwidth_mib_s=bandwidth)
        found = predict(guest(dirty, working, busy=busy), link, way)
        assert found.ends
        assert found.speeds[1] >= 0.94, "readers with slack are left alone"
        errors.append(abs(found.seconds / real - 1))
    assert median(errors) <= 0.12
    assert max(errors) <= 0.3, "auto-converge, which steps once a second or so, is foretold worst"


def test_only_who_writes_too_much_is_limited() -> None:
    # heavy, light and two readers at 100 MiB/s: with 0.8 of the link for writers, real moves kept
    # 72-77, 99-101, 98-101 %
    writers = tuple(
        Writer(dirty_mib_s=rate, working_mib=working)
        for rate, working in ((198.0, 128.0), (5.0, 4.0), (2.0, 0.1), (2.0, 0.1))
    )
    guest = Guest(memory_mib=197, writers=writers)
    found = predict(guest, Link(bandwidth_mib_s=100.0), Way.DIRTY_LIMIT)
    assert [math.isnan(each) for each in found.limits_mib_s] == [False, True, True, True]
    assert found.limits_mib_s[0] == pytest.approx(16, abs=1)
    assert found.speeds[1:] == (1.0, 1.0, 1.0)
    assert 0.4 < found.speeds[0] < 0.8


def test_verdicts() -> None:
    every = tuple(Way)
    assert verdict(guest(20, 128), every) == (Verdict.CONVERGES, Way.PLAIN, True)
    assert verdict(guest(85, 128), every) == (Verdict.CONVERGES, Way.PLAIN, False)
    assert verdict(guest(195, 128), every) == (Verdict.WITH_LIMIT, Way.DIRTY_LIMIT, True)
    no_ring = (Way.PLAIN, Way.AUTO_CONVERGE)
    assert verdict(guest(195, 128), no_ring) == (Verdict.WITH_LIMIT, Way.AUTO_CONVERGE, True)
    assert verdict(guest(195, 128), (Way.PLAIN,)) == (Verdict.WILL_NOT, Way.PLAIN, True)
    # rewritten fast, but so little of it that it fits into the standstill
    assert verdict(guest(400, 16), (Way.PLAIN,)) == (Verdict.CONVERGES, Way.PLAIN, True)


def test_moves_share_a_link_and_zeros_cost_nothing() -> None:
    quiet = guest(0.0, 128)
    alone = predict(quiet, Link(bandwidth_mib_s=100.0), Way.PLAIN)
    among = predict(quiet, Link(bandwidth_mib_s=400.0, moves=4), Way.PLAIN)
    assert alone == among
    empty = Guest(memory_mib=193, writers=(), empty_share=1.0)
    assert predict(empty, Link(bandwidth_mib_s=1.0), Way.PLAIN).sent_mib == 0


def test_nonsense_is_refused() -> None:
    for wrong in (math.nan, -1.0, math.inf):
        with pytest.raises(Invalid):
            Writer(dirty_mib_s=wrong, working_mib=1.0)
        with pytest.raises(Invalid):
            Link(bandwidth_mib_s=wrong)
    with pytest.raises(Invalid):
        Link(bandwidth_mib_s=1.0, moves=0)


def verdict(guest: Guest, ways: tuple[Way, ...]) -> tuple[Verdict, Way, bool]:
    found = outlook(
        Assessment(
            instance="x", source="a", target="b", taken_at=0.0, guest=guest,
            link=Link(bandwidth_mib_s=100.0), ways=ways, used=Way.PLAIN,
        )
    )  # fmt: skip
    return found.verdict, found.chosen.way, found.sure


def test_post_copy_is_chosen_only_where_the_engine_uses_it() -> None:
    guest = Guest(memory_mib=1000.0, writers=(Writer(dirty_mib_s=500.0, working_mib=800.0),))
    assert verdict(guest, (Way.POST_COPY,)) == (Verdict.WILL_NOT, Way.PLAIN, True)
    opted = Assessment(
        instance="x", source="a", target="b", taken_at=0.0, guest=guest,
        link=Link(bandwidth_mib_s=100.0), ways=tuple(Way), used=Way.POST_COPY,
    )  # fmt: skip
    found = outlook(opted)
    assert (found.verdict, found.chosen.way) == (Verdict.CONVERGES, Way.POST_COPY)
    assert found.chosen.sent_mib == pytest.approx(1800.0)
    assert found.chosen.seconds == pytest.approx(SETUP_S + 18.0)
    assert found.chosen.downtime_s == SWITCH_S
    assert found.chosen.speeds == (1.0,)


def test_what_steering_will_do_is_what_is_foretold() -> None:
    """At 85 % of the link it does not wait to see whether pre-copy ends by itself."""
    for dirty, expected in ((50, Verdict.CONVERGES), (85, Verdict.WITH_LIMIT)):
        steered = Assessment(
            instance="x", source="a", target="b", taken_at=0.0, guest=guest(dirty, 128),
            link=Link(bandwidth_mib_s=100.0), ways=tuple(Way), used=Way.DIRTY_LIMIT,
        )  # fmt: skip
        found = outlook(steered)
        assert (found.verdict, found.sure) == (expected, True)
        assert found.chosen.holds is (expected is Verdict.WITH_LIMIT)
        assert found.chosen.seconds < 6


RATES = st.lists(st.floats(0, 5000), min_size=1, max_size=8)
AMOUNT = st.floats(0, 4096)
WRITERS = st.lists(
    st.builds(Writer, dirty_mib_s=AMOUNT, working_mib=AMOUNT, busy=st.floats(0, 1)), max_size=4
).map(tuple)
GUESTS = st.builds(
    Guest,
    memory_mib=st.floats(1, 16384),
    writers=WRITERS,
    empty_share=st.floats(0, 1),
    changes=st.sampled_from([0.02, 0.4, 1.0]),
)
LINKS = st.builds(
    Link,
    bandwidth_mib_s=st.floats(1, 12_000),
    moves=st.integers(1, 8),
    downtime_s=st.floats(0.005, 1),
)


@given(RATES, st.floats(0.1, 5000))
def test_shares_fill_the_budget_and_no_more(rates: list[float], budget: float) -> None:
    found = shares(rates, budget)
    kept = [rate if math.isnan(share) else share for rate, share in zip(rates, found, strict=True)]
    assert all(new <= old + 1e-6 for new, old in zip(kept, rates, strict=True))
    assert math.fsum(kept) == pytest.approx(min(math.fsum(rates), budget), rel=1e-6)
    limited = [share for share in found if not math.isnan(share)]
    free = [rate for rate, share in zip(rates, found, strict=True) if math.isnan(share)]
    assert max(limited, default=0) - min(limited, default=0) <= 1e-6 * budget
    assert all(rate <= limited[0] + 1e-6 * budget for rate in free if limited)


@given(RATES, st.floats(10, 5000))
def test_limits_never_exceed_the_share(rates: list[float], bandwidth: float) -> None:
    whole = budget(rates, bandwidth)
    assert LEAST_SHARE * bandwidth <= whole <= MOST_SHARE * bandwidth
    for limit, share in zip(limits(rates, bandwidth), shares(rates, whole), strict=True):
        assert math.isnan(limit) == math.isnan(share)
        assert math.isnan(limit) or 1.0 <= limit <= max(1.0, share)


@given(GUESTS, LINKS, st.sampled_from(Way))
def test_a_prediction_makes_sense(guest: Guest, link: Link, way: Way) -> None:
    found = predict(guest, link, way)
    assert all(0 <= speed <= 1 for speed in found.speeds)
    assert len(found.speeds) == len(found.limits_mib_s) == len(guest.writers)
    if found.ends:
        assert found.sent_mib >= guest.memory_mib * (1 - guest.empty_share) - 1e-6
        assert found.downtime_s <= link.downtime_s + SWITCH_S + 1e-9
        assert found.sent_mib <= link.share_mib_s * found.seconds * (1 + 1e-9)
    else:
        assert (found.seconds, math.isnan(found.downtime_s)) == (math.inf, True)


@given(GUESTS, LINKS)
def test_a_promise_is_not_broken_by_a_faster_link(guest: Guest, link: Link) -> None:
    slow = predict(guest, link, Way.PLAIN)
    wider = Link(
        bandwidth_mib_s=link.bandwidth_mib_s * 2, moves=link.moves, downtime_s=link.downtime_s
    )
    fast = predict(guest, wider, Way.PLAIN)
    if slow.ends:
        assert fast.ends
        assert fast.seconds <= slow.seconds + 1e-9 + link.downtime_s
