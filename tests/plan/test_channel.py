# SPDX-License-Identifier: Apache-2.0
"""Which channel a move takes: what is slowest decides, and the single stream stays in doubt."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.plan.channel import (
    CLEARLY,
    SINGLE,
    Channel,
    Facts,
    changed_rate,
    choose,
    rate,
    with_deltas,
)

BUSY = Facts(link_mib_s=35.0, cpus=2, touched_mib=2048.0, shrinks_to=0.4)

facts = st.builds(
    Facts,
    link_mib_s=st.floats(1.0, 20_000.0) | st.just(math.nan),
    cpus=st.integers(1, 256),
    share=st.floats(0.01, 1.0),
    touched_mib=st.floats(0.0, 1e6),
    shrinks_to=st.floats(0.01, 1.0) | st.just(math.nan),
    encrypted=st.booleans(),
)


def test_memory_that_shrinks_is_compressed_for_a_slow_link() -> None:
    found = choose(BUSY, packed=True)
    assert found.packed
    assert found.streams >= 1
    assert found.why == "the link carries 35 MiB/s, and memory shrinks to 40 %"


def test_busy_cpus_have_no_time_to_compress() -> None:
    assert not choose(replace(BUSY, share=0.05), packed=True).packed


@pytest.mark.parametrize(
    ("known", "packed", "why"),
    [
        (BUSY, False, "the link would hold up any other channel as well"),
        (replace(BUSY, shrinks_to=0.95), True, "the link would hold up any other channel as well"),
        (replace(BUSY, shrinks_to=math.nan), True, "the link would hold up any other channel"),
        (
            replace(BUSY, link_mib_s=5000.0, cpus=1),
            True,
            "the CPUs would hold up any other channel",
        ),
        (replace(BUSY, link_mib_s=math.nan), True, "what the link carries is not known"),
        (replace(BUSY, touched_mib=20.0), True, "there are only 20 MiB to send"),
    ],
)
def test_the_single_stream_stays_where_nothing_else_helps(
    *, known: Facts, packed: bool, why: str
) -> None:
    found = choose(known, packed=packed)
    assert (found.streams, found.packed) == (0, False)
    assert found.why.startswith(why)


def test_several_streams_fill_a_link_that_one_does_not() -> None:
    fast = replace(BUSY, link_mib_s=1100.0, cpus=32, shrinks_to=math.nan)
    found = choose(fast, packed=True)
    assert not found.packed
    assert rate(fast, found) == 1100.0
    assert rate(fast, replace(found, streams=found.streams - 1)) < 1100.0
    assert found.why == "the link carries 1100 MiB/s, more than one stream can send"


def test_encryption_makes_several_streams_pay_sooner() -> None:
    fast = replace(BUSY, link_mib_s=250.0, cpus=4, shrinks_to=math.nan)
    assert choose(fast, packed=True).streams == 0
    assert choose(replace(fast, encrypted=True), packed=True).streams == 2


@given(known=facts, packed=st.booleans())
def test_what_is_chosen_is_clearly_quicker_or_the_ordinary(*, known: Facts, packed: bool) -> None:
    found = choose(known, packed=packed)
    assert found.why
    assert packed or not found.packed
    if found.streams:
        assert rate(known, found) >= CLEARLY * rate(known, SINGLE)


@given(facts.filter(lambda each: not math.isnan(each.link_mib_s)), st.integers(0, 8))
def test_nothing_carries_more_than_the_link_and_the_cpus(known: Facts, streams: int) -> None:
    found = rate(known, Channel(streams=streams))
    assert 0 < found <= known.link_mib_s
    faster = replace(known, link_mib_s=2 * known.link_mib_s, cpus=2 * known.cpus)
    assert rate(faster, Channel(streams=streams)) >= found


@pytest.mark.parametrize(
    ("touched", "may", "kept"),
    [(200.0, 256, 256), (256.0, 256, 256), (257.0, 256, 256), (9.0, 256, 16), (5000.0, 300, 256)],
)
def test_what_was_sent_is_kept_as_far_as_it_may_be(touched: float, may: int, kept: int) -> None:
    known = Facts(touched_mib=touched, kept_mib=may, changes=0.01)
    found = with_deltas(known, Channel(why="the link"))
    assert found.kept_mib == kept
    assert found.why == (
        "the link; of a page that is written again, only what changed is sent, 1 % of it now"
    )


@pytest.mark.parametrize(
    ("known", "channel"),
    [
        (Facts(touched_mib=200.0, kept_mib=0), SINGLE),
        (Facts(touched_mib=200.0, kept_mib=15), SINGLE),
        (Facts(touched_mib=0.0, kept_mib=256), SINGLE),
        (Facts(touched_mib=200.0, kept_mib=256, changes=0.6), SINGLE),
        (Facts(touched_mib=200.0, kept_mib=256, changes=0.1), Channel(streams=2)),
    ],
)
def test_pages_are_sent_whole_where_nothing_is_gained(known: Facts, channel: Channel) -> None:
    assert with_deltas(known, channel) == channel


@given(st.floats(1.0, 20_000.0), st.floats(0.0, 1.0))
def test_changes_get_across_no_slower_than_pages(link: float, share: float) -> None:
    assert changed_rate(link, share) >= link
    assert changed_rate(link, 1.0) == link
