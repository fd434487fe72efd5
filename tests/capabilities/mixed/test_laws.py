# SPDX-License-Identifier: Apache-2.0
"""What mixed deployment promises of every pool."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from billow.capabilities.mixed import Mixed, MixedPolicy
from billow.capabilities.mixed.solve import EVEN, Sharing
from billow.model.action import Migrate, Resume, Suspend, Throttle
from billow.model.kinds import Service
from billow.model.pool import Pool
from billow.plan.replay import replay
from billow.testing.capability_contract import CapabilityContract
from tests.capabilities.mixed.worlds import crowded_pools, shared_pools

POLICIES = st.sampled_from(
    [
        MixedPolicy(),
        MixedPolicy(moves=0, safe_share=0.5),
        MixedPolicy(step_share=0.9, room_share=0.06, risk=0.2, window_samples=10),
        MixedPolicy(wait_hot_share=0.5, cut_share=0.9, least_share=0.01, horizon_samples=1),
    ]
)


class TestMixed(CapabilityContract):
    """The contract of all capabilities, on pools in which both classes share hosts."""

    capability = Mixed()
    policies = POLICIES
    pools = st.one_of(crowded_pools(), crowded_pools(), shared_pools())


def test_all_that_can_be_done_to_batch_is_tried_here() -> None:
    seen: set[str] = set()

    @given(crowded_pools(), POLICIES)
    def look(pool: Pool, policy: MixedPolicy) -> None:
        seen.update(action.name for action in Mixed().propose(pool, policy).actions)

    look()
    assert seen == {"throttle", "suspend", "resume", "migrate"}


@given(crowded_pools(), POLICIES)
def test_only_batch_is_touched(pool: Pool, policy: MixedPolicy) -> None:
    for action in Mixed().propose(pool, policy).actions:
        assert isinstance(action, Throttle | Suspend | Resume | Migrate)
        assert pool.instance(action.instance).service is Service.BATCH


@given(crowded_pools(), POLICIES)
def test_batch_fits_into_what_is_left_afterwards(pool: Pool, policy: MixedPolicy) -> None:
    sharing = Sharing(pool, policy)
    sharing.run()
    for host in range(len(pool.hosts)):
        most = sharing.allowed()[host] + EVEN * sharing.demand.capacity[host] + 1
        assert sharing.in_use(host) <= most or not sharing.demand.capacity[host]


@given(crowded_pools(), POLICIES)
def test_a_limit_is_never_nothing_by_mistake(pool: Pool, policy: MixedPolicy) -> None:
    limits = {each.id: each.cpu_limit_milli for each in pool.instance_views()}
    for action in Mixed().propose(pool, policy).actions:
        if isinstance(action, Throttle):
            assert action.cpu_limit_milli != action.was_milli == limits[action.instance]
            limits[action.instance] = action.cpu_limit_milli


@given(crowded_pools(), POLICIES)
def test_a_report_adds_up(pool: Pool, policy: MixedPolicy) -> None:
    report = Mixed().report(pool, policy)
    figures = report.figures
    assert all(np.isfinite(value) for value in figures.values())
    after = Mixed().report(replay(pool, list(Mixed().propose(pool, policy).actions)), policy)
    assert set(after.figures) == set(figures)
    for grid in report.grids:
        assert all(len(row) == len(grid.columns) for row in grid.rows)
