# SPDX-License-Identifier: Apache-2.0
"""What people type is understood or refused in words; what is printed cannot steer a terminal."""

import io
import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.cli.client import checked_url, error_of
from billow.cli.lists import filters
from billow.cli.output import Column, Output, clean, exact
from billow.cli.wanted import group_of, in_group, knobs_of, request_of, whole
from billow.cli.words import mib_of, milli_of, seconds_of, sentence_of, span_of
from billow.errors import BillowError, Blocked, Bug, Invalid, Stale

HOSTILE = st.text(max_size=40) | st.sampled_from(
    ["NaN", "inf", "-1", "1e999", "٣", "9" * 400, "1_000", " 1", "+1", "0x10", "\ud800", "\x00"]
)


@pytest.mark.parametrize(
    ("text", "milli"),
    [("1", 1000), ("0.5", 500), ("0.05", 50), ("12.125", 12125), ("0", 0), ("500m", 500)],
)
def test_cpus_are_read(text: str, milli: int) -> None:
    assert milli_of(text) == milli


@pytest.mark.parametrize(
    ("text", "mib"), [("512", 512), ("512MiB", 512), ("4GiB", 4096), ("4g", 4096), ("1t", 2**20)]
)
def test_memory_is_read(text: str, mib: int) -> None:
    assert mib_of(text) == mib


def refusal(read: Callable[[Any], object], value: object) -> Invalid | None:
    """Return how something is refused, None when it is understood as what JSON can hold."""
    try:
        json.dumps(read(value), allow_nan=False)
    except Invalid as error:
        return error
    return None


@given(HOSTILE, st.sampled_from([milli_of, mib_of, whole, checked_url, request_of, group_of]))
def test_anything_else_is_refused_in_words(text: str, read: Callable[[str], object]) -> None:
    refused = refusal(read, text)
    assert refused is None or refused.brief.isascii()
    assert refused is None or refused.fix


@given(st.lists(HOSTILE, max_size=3), st.sampled_from([knobs_of, filters]))
def test_any_knob_and_any_filter_is_read_or_refused(
    texts: list[str], read: Callable[[list[str]], object]
) -> None:
    refused = refusal(read, texts)
    assert refused is None or refused.brief.isascii()


def test_a_request_says_what_it_says() -> None:
    assert request_of("web-1,cpu=2,memory=4GiB,traits=ssd+amx,zone=a,priority=-3") == {
        "id": "web-1",
        "shape": {"cpu_milli": 2000, "memory_mib": 4096, "traits": ["ssd", "amx"]},
        "zone": "a",
        "priority": -3,
    }
    assert request_of("x,cpu=1,service=batch")["service"] == "batch"
    assert request_of("x,cpu=1,migration=post_copy")["migration"] == "post_copy"
    assert request_of("x,shape=small") == {"id": "x", "shape": "small"}
    assert knobs_of(["strategy=pack", "a=0.5", "b=true", "c=[1]"]) == {
        "strategy": "pack",
        "a": 0.5,
        "b": True,
        "c": [1],
    }


def test_a_request_is_in_the_group_that_is_declared_with_it() -> None:
    web, rows = group_of("web:anti-affinity:host"), group_of("rows:affinity:rack")
    assert in_group({"zone": "a"}, [web, web]) == {"zone": "a", "group": "web"}
    assert in_group({"group": "rows"}, [web, rows]) == {"group": "rows"}
    assert in_group({"group": ""}, [web]) == {"group": ""}
    assert in_group({}, []) == {}
    assert refusal(lambda groups: in_group({}, groups), [web, rows]) is not None


@given(st.text())
def test_nothing_printed_steers_a_terminal(text: str) -> None:
    assert clean(text).isprintable()


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_a_row_is_one_line_and_its_cells_are_cells(cells: list[str]) -> None:
    out = io.StringIO()
    columns = [Column("X", str(number)) for number in range(len(cells))]
    Output(out, io.StringIO()).table(columns, [{str(n): cell for n, cell in enumerate(cells)}])
    assert out.getvalue().count("\n") == 1
    assert out.getvalue().count("\t") == len(cells) - 1


def test_values_are_exact_in_a_pipe() -> None:
    assert exact(0.0, Column("", "ended_at")) == ""
    assert exact(1_795_334_400.0, Column("", "started_at")) == "2026-11-22T08:00:00Z"
    assert [exact(each) for each in (None, True, False, 1.5, 7, [1, 2], {"a": 1})] == [
        "", "yes", "no", "1.5", "7", "1,2", "a=1",
    ]  # fmt: skip


PROBLEM = {
    "type": "/v1/errors#stale",
    "title": "gone",
    "details": ["a"],
    "fix": "look",
    "code": "stale",
}


def test_a_problem_is_the_error_that_it_was() -> None:
    error = error_of(httpx2.Response(412, json=PROBLEM))
    assert isinstance(error, Stale)
    assert (error.brief, error.details, error.fix, error.exit_code) == ("gone", ("a",), "look", 4)
    blocked = {**PROBLEM, "type": "/v1/errors#blocked", "code": "not-possible"}
    assert isinstance(error_of(httpx2.Response(409, json=blocked)), Blocked)
    unknown = {**PROBLEM, "type": "https://else.example/", "code": "new"}
    assert type(error_of(httpx2.Response(418, json=unknown))) is BillowError


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"[]", b"null", b'{"type": 1}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_problem_is_told_as_such(content: bytes) -> None:
    assert isinstance(error_of(httpx2.Response(502, content=content)), Bug)


@pytest.mark.parametrize(
    ("typed", "seconds"), [("50ms", 0.05), ("0.3", 0.3), ("2s", 2.0), ("1500 MS", 1.5)]
)
def test_a_length_of_time_is_typed(typed: str, seconds: float) -> None:
    assert seconds_of(typed) == pytest.approx(seconds)


@pytest.mark.parametrize("typed", ["", "soon", "5m", "-1s", "1e3", "ms"])
def test_what_is_no_length_of_time_is_refused(typed: str) -> None:
    with pytest.raises(Invalid, match="length of time"):
        seconds_of(typed)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5 h", 5400), ("1D", 86_400)]
)
def test_spans_are_read(text: str, seconds: float) -> None:
    assert span_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "2 weeks", "1e9h", "9999999h"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        span_of(text)


@pytest.mark.parametrize("text", ["31d", "721h", "0s"])
def test_a_span_that_is_too_long_or_none_is_told_plainly(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        span_of(text)
    assert refused.value.fix == "more than 0, at most 30d"


def test_an_empty_or_endless_sentence_is_told_plainly() -> None:
    assert sentence_of(" a fan ", "--why") == "a fan"
    for text in ("", "  ", "x" * 501):
        with pytest.raises(Invalid, match="--why is "):
            sentence_of(text, "--why")
