# SPDX-License-Identifier: Apache-2.0
"""What the power report says, and that it agrees with what is proposed."""

from dataclasses import replace

import numpy as np
import pytest

from billow.capabilities.power import Power, PowerPolicy
from billow.model.history import Levels
from billow.model.report import Form
from billow.testing.pools import pool as pool_of
from tests.capabilities.power.test_plan import SPREAD, past, planned, with_use

POLICY = PowerPolicy(spare_hosts=0, euro_per_kwh=0.5, co2_g_per_kwh=(400.0,) * 24)


def test_energy_money_and_carbon_before_and_after() -> None:
    pool = with_use(pool_of(SPREAD), 0.0)
    before = Power().report(pool, POLICY)
    kwh = 4 * 120 * 24 / 1000
    assert before.figures["energy_kwh"] == pytest.approx(kwh)
    assert before.figures["money_euro"] == pytest.approx(kwh / 2)
    assert before.figures["co2_kg"] == pytest.approx(kwh * 0.4)
    assert before.figures["hosts_could_sleep"] == 3
    assert before.figures["moves"] == 6
    assert "3 hosts could sleep" in before.summary
    after = Power().report(planned(pool, POLICY).predicted, POLICY)
    assert after.figures["energy_kwh"] == pytest.approx(before.measures[0].bound)
    assert after.figures["hosts_could_sleep"] == 0
    assert "none of them can be spared" in after.summary


def test_hosts_that_could_sleep_come_first() -> None:
    grid = Power().report(with_use(pool_of(SPREAD), 100.0), POLICY).grids[0]
    assert [row[-1] for row in grid.rows] == ["sleep"] * 3 + [""]
    assert len(grid.columns) == len(grid.rows[0])


def test_without_intensity_there_is_no_carbon() -> None:
    figures = Power().report(pool_of(SPREAD), PowerPolicy()).figures
    assert "co2_kg" not in figures


def test_the_past_is_drawn_beside_what_was_on() -> None:
    pool = pool_of(SPREAD)
    seen = past(pool, np.full((8, 600), 500.0))
    levels = Levels(
        seen.until - np.array([300.0, 0.0]),
        np.zeros((2, 4), dtype=np.int64),
        np.full((2, 4), 64_000, dtype=np.int64),
    )
    full = pool.with_history(replace(seen, levels=levels))
    lines = Power().report(full, POLICY).pictures[0]
    assert lines.form is Form.LINES
    assert len(lines.labels) <= 288
    assert lines.labels[-1] == seen.until
    used, on = lines.series
    assert set(used.values) == {4.0}
    assert on.values[-1] == 64.0
    assert [picture.form for picture in Power().report(pool, POLICY).pictures] == [Form.BARS]


def test_a_host_over_its_ceiling_is_a_finding() -> None:
    hot = with_use(pool_of("1 host x 64GiB 8c; 4 vms x 4GiB 2c pack"), 2000)
    (finding,) = Power().report(hot, POLICY).findings
    assert finding.subject == "host/h1"
