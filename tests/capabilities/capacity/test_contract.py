# SPDX-License-Identifier: Apache-2.0
"""Capacity keeps the contract of all capabilities, on any pool."""

from hypothesis import given
from hypothesis import strategies as st

from billow.capabilities.capacity import Capacity, CapacityPolicy
from billow.model.codec import pack
from billow.model.pool import Pool
from billow.testing.capability_contract import CapabilityContract
from billow.testing.strategies import pools

POLICIES = st.builds(CapacityPolicy, failures=st.integers(0, 3), zone_slots=st.integers(0, 3))


class TestCapacity(CapabilityContract):
    capability = Capacity()
    policies = POLICIES


@given(pools(), POLICIES)
def test_it_never_acts_and_its_report_is_whole(pool: Pool, policy: CapacityPolicy) -> None:
    before = pack(pool)
    proposal = Capacity().propose(pool, policy)
    assert proposal.actions == ()
    report = Capacity().report(pool, policy)
    assert report.findings == proposal.findings
    assert report.summary
    assert len({measure.key for measure in report.measures}) == len(report.measures)
    for grid in report.grids:
        assert all(len(row) == len(grid.columns) for row in grid.rows)
        assert len(grid.rows) <= 50
    for picture in report.pictures:
        assert all(len(series.values) == len(picture.labels) for series in picture.series)
    assert pack(pool) == before
