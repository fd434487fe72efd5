# SPDX-License-Identifier: Apache-2.0
"""The day a resource runs out: right on a line, robust against spikes, silent without history."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from billow.capabilities.capacity import Capacity, CapacityPolicy
from billow.capabilities.capacity.forecast import Forecast, forecasts, trend_of
from billow.capabilities.capacity.survey import survey
from billow.model.history import History, Levels
from billow.model.plan import Severity
from billow.model.resources import CPU, MEMORY, RESOURCES, FloatArray
from billow.testing.pools import pool

DAY_S = 86_400.0
NOW = datetime(2026, 11, 22, tzinfo=UTC).timestamp()
POLICY = CapacityPolicy(full_share=1.0)
NOBODY = np.zeros(len(RESOURCES), dtype=np.int64)


def levels(days: float, cpu: FloatArray, *, memory: int = 500) -> Levels:
    """Return levels up to now in even steps; 1,000 of CPU and memory are sellable."""
    reserved = np.zeros((len(cpu), len(RESOURCES)), dtype=np.int64)
    reserved[:, CPU] = np.round(cpu)
    reserved[:, MEMORY] = memory
    sellable = np.zeros_like(reserved)
    sellable[:, [CPU, MEMORY]] = 1000
    return Levels(NOW + np.linspace(-days, 0, len(cpu)) * DAY_S, reserved, sellable)


def past(known: Levels) -> History:
    nothing = np.zeros((0, 0), dtype=np.float32)
    return History(3600.0, NOW, (), nothing, nothing, np.zeros(0), np.zeros(0), levels=known)


def of(found: tuple[Forecast, ...], resource: int) -> Forecast:
    return next(each for each in found if each.resource == resource)


def test_a_line_runs_out_on_its_day() -> None:
    found, why = forecasts(levels(30, np.linspace(400, 700, 721)), NOBODY, POLICY)
    assert why == ""
    cpu, memory = of(found, CPU), of(found, MEMORY)
    assert cpu.days == pytest.approx(30, rel=0.01)
    assert cpu.earliest == pytest.approx(30, rel=0.02)
    assert cpu.latest == pytest.approx(30, rel=0.02)
    assert (memory.days, memory.earliest, memory.latest) == (None, None, None)
    assert found[0] is cpu
    assert {each.resource for each in found} == {CPU, MEMORY}  # nothing else is sold


def test_a_few_wild_samples_change_nothing() -> None:
    line = np.linspace(400, 700, 721)
    line[100:124] = 990  # a day of a migration
    line[400:424] = 0
    found, _ = forecasts(levels(30, line), NOBODY, POLICY)
    assert of(found, CPU).days == pytest.approx(30, rel=0.05)


def test_noise_widens_the_interval_and_it_holds() -> None:
    dice = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        at = np.arange(40, dtype=np.float64)
        trend = trend_of(at, 0.5 * at + dice.standard_normal(40), 0.9)
        held += trend.low <= 0.5 <= trend.high
    assert 0.85 <= held / 200 <= 0.99


@pytest.mark.parametrize(("bond", "least"), [(0.5, 0.85), (0.8, 0.85), (1.0, 0.75)])
def test_levels_that_remember_are_not_trusted_more_than_they_deserve(
    bond: float, least: float
) -> None:
    dice = np.random.default_rng(4)
    held = 0
    for _ in range(200):
        noise = np.zeros(60)
        for step in range(1, 60):
            noise[step] = bond * noise[step - 1] + dice.standard_normal()
        at = np.arange(60, dtype=np.float64)
        trend = trend_of(at, 0.5 * at + noise, 0.9)
        held += trend.low <= 0.5 <= trend.high
    assert held / 200 >= least


def test_too_short_a_history_gives_no_forecast_and_says_so() -> None:
    assert forecasts(None, NOBODY, POLICY) == ((), "nothing is known of the past")
    found, why = forecasts(levels(3, np.linspace(400, 700, 73)), NOBODY, POLICY)
    assert found == ()
    assert why == "3.0 days of history are known; it takes 7"
    found, why = forecasts(levels(30, np.linspace(400, 700, 3)), NOBODY, POLICY)
    assert found == ()
    assert why == "only 3 points of history are known; it takes 6"


def test_sleeping_hosts_can_be_woken() -> None:
    asleep = NOBODY.copy()
    asleep[CPU] = 500
    found, _ = forecasts(levels(30, np.linspace(400, 700, 721)), asleep, POLICY)
    assert of(found, CPU).days == pytest.approx(80, rel=0.01)
    world = pool("2 hosts x 64GiB 16c; 1 hosts x 64GiB 8c off; 1 hosts x 64GiB 8c off cordoned")
    history = past(levels(30, np.linspace(400, 700, 721)))
    told = survey(world.with_history(history), POLICY)
    assert of(told.forecasts, CPU).sellable == 1000 + 8000


def test_what_is_full_has_run_out_now() -> None:
    found, _ = forecasts(levels(30, np.linspace(700, 960, 721)), NOBODY, CapacityPolicy())
    assert of(found, CPU).days == 0.0


@pytest.mark.parametrize(
    ("start", "severity", "said"),
    [
        (400.0, Severity.WARNING, "CPU runs out in 28 days (2026-12-20) by the trend"),
        (900.0, Severity.CRITICAL, "CPU runs out now (2026-11-22)"),
    ],
)
def test_findings_name_the_day(start: float, severity: Severity, said: str) -> None:
    world = pool("2 hosts x 64GiB 16c; a: 2 vms x 4GiB 2c spread")
    line = np.linspace(start, start + 300, 721)
    history = past(levels(30, line))
    seen = replace(world, taken_at=NOW).with_history(history)
    policy = CapacityPolicy(full_share=0.98)
    found = [each for each in Capacity().propose(seen, policy).findings if each.subject == "pool"]
    assert found[0].severity is severity
    assert found[0].text.startswith(said)
    told = Capacity().report(seen, policy)
    assert {picture.key for picture in told.pictures} == {"slots", "past", "future"}
    days = max(0.98 * 1000 - line[-1], 0) / 10
    assert told.figures["days_left"] == pytest.approx(days, rel=0.02)
