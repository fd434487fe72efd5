# SPDX-License-Identifier: Apache-2.0
"""High availability keeps the contract of all capabilities, and counts who would not come back."""

from hypothesis import given

from billow.capabilities.ha.plan import Ha
from billow.model.ha.incident import Fate
from billow.model.ha.policy import HaPolicy
from billow.model.pool import Pool
from billow.plan.ha.recovery import victims_of
from billow.testing.capability_contract import CapabilityContract
from billow.testing.strategies import pools


class TestHa(CapabilityContract):
    capability = Ha()


@given(pools())
def test_it_counts_as_recovery_does(pool: Pool) -> None:
    report = Ha().report(pool, HaPolicy())
    victims = [each for host in pool.hosts.id for each in victims_of(pool, host)]
    left = sum(each.fate is Fate.LEFT for each in victims)
    share = 1.0 - left / len(victims) if victims else 1.0
    assert report.figures["covered_share"] == share
    assert len(report.findings) == sum(
        any(each.fate is Fate.LEFT for each in victims_of(pool, host)) for host in pool.hosts.id
    )
