# SPDX-License-Identifier: Apache-2.0
"""Figures read the same on every face."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.plan.amounts import MINUS, UNKNOWN, WRITERS, amount, change, verdict


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0814, "share", "8.14 %"),
        (0.0068, "share", "0.68 %"),
        (1.0, "share", "100 %"),
        (0.0, "share", "0 %"),
        (0.000_000_1, "share", "< 0.001 %"),
        (28_327 * 1024.0, "mib", "27.7 TiB"),
        (10_234, "cpus", "10,234 CPUs"),
        (1, "cpus", "1 CPU"),
        (1500, "cpu_milli", "1.5 CPUs"),
        (155.2, "kwh", "155 kWh"),
        (12_345.0, "kwh", "12.3 MWh"),
        (90.0, "s", "2 min"),
        (1e9, "time", "2001-09-09 01:46 UTC"),
        (439, "slots", "439 slots"),
        (1, "slots", "1 slot"),
        (2.5, "", "2.5"),
        (None, "slots", UNKNOWN),
        (math.nan, "kwh", UNKNOWN),
        (math.inf, "ratio", "unlimited"),
        ("host-1", "share", "host-1"),
    ],
)
def test_amounts(value: float | str | None, unit: str, text: str) -> None:
    assert amount(value, unit) == text


def test_a_head_can_say_what_is_counted() -> None:
    assert amount(439, "slots", bare=True) == "439"
    assert amount(0.5, "share", bare=True) == "50 %"


def test_changes_have_a_sign_and_a_verdict() -> None:
    assert change(0.0814, 0.0068, "share") == f"{MINUS}7.46 points"
    assert change(406, 439, "slots") == "+33 slots"
    assert change(5.0, 5.0, "slots") == ""
    assert change(None, 5.0, "slots") == change(math.nan, 5.0, "slots") == ""
    assert verdict(0.08, 0.006, "down") == verdict(406, 439, "up") == "better"
    assert verdict(406, 439, "down") == "worse"
    assert verdict(1, 2, "neither") == verdict(1, 1, "up") == verdict(math.nan, 1, "up") == ""


@given(st.floats(), st.sampled_from([*WRITERS, "slots", ""]))
def test_any_number_can_be_written(value: float, unit: str) -> None:
    assert amount(value, unit)


@given(st.floats(), st.floats(), st.sampled_from([*WRITERS, "slots", ""]))
def test_any_change_can_be_written(before: float, after: float, unit: str) -> None:
    assert isinstance(change(before, after, unit), str)
