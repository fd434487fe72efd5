# SPDX-License-Identifier: Apache-2.0
"""The contract that every capability keeps, as properties to subclass.

    class TestPlacement(CapabilityContract):
        capability = Placement()
        policies = st.builds(PlacementPolicy, strategy=st.sampled_from(Strategy))

Each property runs on random pools; a capability may bring pools of its own (`pools`).
"""

import json
from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from billow.model.action import Action, Migrate, Place, PowerOn
from billow.model.codec import pack
from billow.model.document import written
from billow.model.kinds import Power, Rule
from billow.model.plan import Plan, Proposal
from billow.model.policy import Limits, Policy
from billow.model.pool import Pool
from billow.model.report import Report
from billow.model.text import render
from billow.plan.check import violations
from billow.plan.compose import Stamp, compose
from billow.ports import Capability
from billow.testing.strategies import domain, pools

DATA = st.data()
_inherited = settings(suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])


class CapabilityContract:
    """Properties of one capability.

    Attributes:
        capability: The one under test.
        policies: Its policies; only the defaults when None.
        pools: The pools that it is tried on.
    """

    capability: ClassVar[Capability[Any]]
    policies: ClassVar[st.SearchStrategy[Any] | None] = None
    pools: ClassVar[st.SearchStrategy[Pool]] = pools()

    def test_defaults_are_a_policy(self) -> None:
        """The policy's defaults work, and unknown knobs are errors."""
        policy = self.capability.policy()
        assert isinstance(policy, Policy)
        assert policy.model_config["extra"] == "forbid"

    @_inherited
    @given(DATA)
    def test_it_is_pure(self, data: st.DataObject) -> None:
        """The same pool and policy give the same proposal, and the pool is untouched."""
        pool, policy = self._drawn(data)
        before = pack(pool)
        first, second = self._propose(pool, policy), self._propose(pool, policy)
        assert pack(pool) == before
        assert repr(first) == repr(second)  # NaN is not equal to itself
        assert first.capability == self.capability.name

    @_inherited
    @given(DATA)
    def test_its_report_can_be_told(self, data: st.DataObject) -> None:
        """A report, where there is one, is JSON, and its parts fit together; it changes nothing."""
        pool, policy = self._drawn(data)
        tell = getattr(self.capability, "report", None)
        if tell is None:
            return
        before = pack(pool)
        report: Report = tell(pool, policy)
        assert pack(pool) == before
        assert json.dumps(written(report))
        assert report.name == self.capability.name
        assert report.summary
        for part in (report.measures, report.grids, report.pictures):
            keys = [each.key for each in part]
            assert len(set(keys)) == len(keys)
        for grid in report.grids:
            assert {len(row) for row in grid.rows} <= {len(grid.columns)}
        for picture in report.pictures:
            assert {len(each.values) for each in picture.series} <= {len(picture.labels)}

    @_inherited
    @given(DATA)
    def test_a_plan_is_sound(self, data: st.DataObject) -> None:
        """Its proposal composes into a plan that breaks no law; every step says why."""
        pool, policy = self._drawn(data)
        plan = self._plan(pool, policy, Limits())
        assert violations(pool, plan) == ()
        assert all(step.action.reason for step in plan.steps)

    @_inherited
    @given(DATA)
    def test_nothing_gets_over_capacity(self, data: st.DataObject) -> None:
        """No host and no NUMA node is more oversold than it was."""
        pool, policy = self._drawn(data)
        after = self._plan(pool, policy, Limits()).predicted
        assert (after.free >= np.minimum(pool.free, 0)).all()
        assert (after.free_nodes >= np.minimum(pool.free_nodes, 0)).all()

    @_inherited
    @given(DATA)
    def test_groups_are_kept(self, data: st.DataObject) -> None:
        """No more pairs of instances break their group's rule than before."""
        pool, policy = self._drawn(data)
        after = self._plan(pool, policy, Limits()).predicted
        assert broken_pairs(after) <= broken_pairs(pool)

    @_inherited
    @given(DATA)
    def test_new_homes_are_open_and_suit(self, data: st.DataObject) -> None:
        """What gets a new host gets one that takes instances, of its arch, traits and zone."""
        pool, policy = self._drawn(data)
        plan = self._plan(pool, policy, Limits())
        woken = {step.action.host for step in plan.steps if isinstance(step.action, PowerOn)}
        for step in plan.steps:
            _check_home(pool, step.action, woken)

    @_inherited
    @given(DATA)
    def test_a_second_plan_is_empty(self, data: st.DataObject) -> None:
        """Once everything that it wanted has happened, it wants nothing more."""
        pool, policy = self._drawn(data)
        plan = self._plan(pool, policy, Limits())
        again = self._plan(plan.predicted, policy, Limits())
        assert [step.action for step in again.steps] == []

    @_inherited
    @given(DATA)
    def test_protected_things_are_not_touched(self, data: st.DataObject) -> None:
        """What the limits protect is in no step."""
        pool, policy = self._drawn(data)
        names = st.sampled_from([*pool.hosts.id, *pool.instances.id])
        protected = data.draw(st.frozensets(names, max_size=3))
        plan = self._plan(pool, policy, Limits(protected=protected))
        for step in plan.steps:
            touched = {step.action.subject.partition("/")[2], *step.action.hosts}
            assert not touched & protected

    def _drawn(self, data: st.DataObject) -> tuple[Pool, Policy]:
        policies = self.policies
        if policies is None:
            policies = st.just(self.capability.policy())
        pool, policy = data.draw(self.pools), data.draw(policies)
        note(render(pool))
        return pool, policy

    def _propose(self, pool: Pool, policy: Policy) -> Proposal:
        return self.capability.propose(pool, policy)

    def _plan(self, pool: Pool, policy: Policy, limits: Limits) -> Plan:
        return compose(pool, [self._propose(pool, policy)], limits, Stamp("plan"))


def broken_pairs(pool: Pool) -> int:
    """Return how many pairs of placed instances break the rule of their group."""
    domains: dict[str, Counter[str]] = {group.name: Counter() for group in pool.groups}
    scopes = {group.name: group.scope for group in pool.groups}
    for each in pool.instance_views():
        if each.host and each.group:
            domains[each.group][domain(pool.host(each.host), scopes[each.group])] += 1
    return sum(_broken(group.rule, domains[group.name]) for group in pool.groups)


def _broken(rule: Rule, members: Counter[str]) -> int:
    together = sum(count * (count - 1) // 2 for count in members.values())
    if rule is Rule.ANTI_AFFINITY:
        return together
    return members.total() * (members.total() - 1) // 2 - together


def _check_home(pool: Pool, action: Action, woken: set[str]) -> None:
    match action:
        case Place():
            instance, name = action.instance, action.host
        case Migrate():
            instance, name = pool.instance(action.instance), action.target
        case _:
            return
    host = pool.host(name)
    if name in woken:  # the order of plans lets nobody in before it has power
        host = replace(host, power=Power.ON)
    assert host.schedulable or name == instance.host
    assert instance.shape.arch in (None, host.arch)
    assert instance.shape.traits <= host.traits
    assert instance.zone in ("", host.zone)
