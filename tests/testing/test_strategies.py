# SPDX-License-Identifier: Apache-2.0
"""Random pools keep the laws that the contracts take for granted, and are not all alike."""

from hypothesis import Phase, given, settings

from billow.model.kinds import State
from billow.model.pool import Pool
from billow.testing.capability_contract import broken_pairs
from billow.testing.strategies import pools


@given(pools())
def test_pools_are_lawful(pool: Pool) -> None:
    assert (pool.free >= 0).all()
    assert (pool.free_nodes >= 0).all()
    assert broken_pairs(pool) == 0


@given(pools(requests=False))
def test_without_requests_everything_has_a_host(pool: Pool) -> None:
    assert all(each.host for each in pool.instance_views())


def test_pools_are_mixed() -> None:
    seen: set[object] = set()

    @settings(phases=[Phase.generate])
    @given(pools())
    def look(pool: Pool) -> None:
        seen.update(each.state for each in pool.instance_views())
        seen.update(each.group for each in pool.instance_views() if each.host)
        seen.update(bool(each) for each in pool.hosts.schedulable)

    look()
    assert seen >= {State.RUNNING, State.REQUESTED, State.STOPPED, "g0", "g1", "", True, False}
