# SPDX-License-Identifier: Apache-2.0
"""The capability contract: a real capability keeps it, and each law is one that can be broken."""

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from billow.capabilities.placement.plan import Placement
from billow.capabilities.placement.policy import PlacementPolicy, Strategy
from billow.errors import Bug
from billow.model.action import Action, Cordon, Delete, Migrate, Place
from billow.model.plan import Proposal
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.testing.capability_contract import CapabilityContract


class TestPlacement(CapabilityContract):
    """Placement keeps the contract."""

    capability = Placement()
    policies = st.builds(PlacementPolicy, strategy=st.sampled_from(Strategy))


class Wrong:
    """A capability that wants whatever a test gives it."""

    name = "wrong"
    policy = Policy

    def __init__(self, want: Callable[[Pool], list[Action]]) -> None:
        self._want = want

    def propose(self, pool: Pool, policy: Policy, /) -> Proposal:
        return Proposal(self.name, tuple(self._want(pool)))


def _restless(pool: Pool) -> list[Action]:
    return [Cordon(host=pool.hosts.id[0], reason="always")]


def _silent(pool: Pool) -> list[Action]:
    running = [each for each in pool.instance_views() if each.host]
    return [Delete(instance=each.id, host=each.host) for each in running[:1]]


def _blind(pool: Pool) -> list[Action]:
    asked = [each for each in pool.instance_views() if not each.host]
    first = pool.host(pool.hosts.id[0])
    return [
        Place(
            instance=each, host=first.id, nodes=tuple(range(each.shape.numa_nodes)), reason="here"
        )
        for each in asked
        if each.shape.numa_nodes <= len(first.nodes)
    ]


def _pacing(pool: Pool) -> list[Action]:
    """Move something to and fro for ever."""
    for each in pool.instance_views():
        others = [
            host.id for host in pool.host_views() if host.id != each.host and host.schedulable
        ]
        if each.host and not each.shape.numa_nodes and others:
            return [Migrate(instance=each.id, source=each.host, target=others[0], reason="stroll")]
    return []


LAWS: list[tuple[Callable[[Pool], list[Action]], str]] = [
    (_silent, "test_a_plan_is_sound"),
    (_blind, "test_new_homes_are_open_and_suit"),
    (_restless, "test_a_second_plan_is_empty"),
    (_pacing, "test_a_second_plan_is_empty"),
]


def try_law(want: Callable[[Pool], list[Action]], law: str) -> None:
    """Run one law on a wrong capability, without making its failure small."""

    class Case(CapabilityContract):
        capability = Wrong(want)

    check = getattr(Case, law).hypothesis.inner_test

    @settings(phases=[Phase.generate])
    @given(st.data())
    def run(data: st.DataObject) -> None:
        check(Case(), data)

    run()


@pytest.mark.parametrize(("want", "law"), LAWS)
def test_a_wrong_capability_is_caught(want: Callable[[Pool], list[Action]], law: str) -> None:
    with pytest.raises((AssertionError, Bug)):  # Bug: what checks every plan sees it first
        try_law(want, law)


def test_dice_are_caught() -> None:
    count = iter(range(10_000))

    def want(pool: Pool) -> list[Action]:
        return [Cordon(host=pool.hosts.id[0], reason=f"roll {next(count)}")]

    with pytest.raises(AssertionError):
        try_law(want, "test_it_is_pure")


def test_a_touched_pool_is_caught() -> None:
    def want(pool: Pool) -> list[Action]:
        power = pool.hosts.power.copy()
        object.__setattr__(pool.hosts, "power", (power + 1) % 3)
        return []

    with pytest.raises(AssertionError):
        try_law(want, "test_it_is_pure")
