# SPDX-License-Identifier: Apache-2.0
"""Hosts are emptied by one plan: closed first, then moved off, and nothing goes to a closed one."""

import pytest

from billow.errors import Invalid, NotFound
from billow.migrations import homes
from billow.model.action import Cordon, Migrate
from billow.model.group import Fact
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Power, State
from billow.model.plan import Proposal
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.check import violations
from billow.plan.compose import Stamp, compose
from billow.plan.drain import Drain, drained, hosts_of
from billow.plan.replay import replay

SMALL = Shape("small", 1000, 1024)
WHERE = {"h1": ("z1", "r1"), "h2": ("z1", "r2"), "h3": ("z2", "r3"), "h4": ("z2", "r3")}


def cloud(*more: Instance, off: str = "") -> Pool:
    hosts = [
        Host(
            name,
            (Node(8000, 16_384),),
            zone=zone,
            rack=rack,
            power=Power.OFF if name == off else Power.ON,
        )
        for name, (zone, rack) in WHERE.items()
    ]
    guests = [
        Instance(f"{host}-{number}", SMALL, host=host, state=State.RUNNING, priority=number)
        for host in ("h1", "h2")
        for number in range(2)
    ]
    facts = [Fact("host/h2", "aggregate", "fast"), Fact("host/h3", "aggregate", "fast")]
    return Pool.build(hosts, [*guests, *more], facts=facts)


def plan_of(pool: Pool, proposal: Proposal) -> Pool:
    """Return the pool after a proposal; check that its plan is sound and does all of it."""
    plan = compose(pool, [proposal], Limits(), Stamp("p"))
    assert violations(pool, plan) == ()
    assert len(plan.steps) == len(proposal.actions)
    return replay(pool, [step.action for step in plan.steps])


def test_groups_name_their_hosts() -> None:
    pool = cloud()
    assert hosts_of(pool, Drain(zone="z1")) == ["h1", "h2"]
    assert hosts_of(pool, Drain(rack="r3")) == ["h3", "h4"]
    assert hosts_of(pool, Drain(("h1",), aggregate="fast")) == ["h1", "h2", "h3"]
    for wrong in (Drain(zone="z9"), Drain(aggregate="slow"), Drain(("h9",))):
        with pytest.raises(NotFound):
            hosts_of(pool, wrong)
    with pytest.raises(Invalid):
        hosts_of(pool, Drain())


def test_a_zone_is_emptied_into_others_the_most_important_first() -> None:
    pool = cloud()
    proposal = drained(pool, Drain(zone="z1", why="new switch"), homes)
    closing, moves = proposal.actions[:2], proposal.actions[2:]
    assert [(each.host, each.why) for each in closing if isinstance(each, Cordon)] == [
        ("h1", "new switch"),
        ("h2", "new switch"),
    ]
    assert [each.instance for each in moves if isinstance(each, Migrate)] == [
        "h1-1",
        "h2-1",
        "h1-0",
        "h2-0",
    ]
    after = plan_of(pool, proposal)
    assert {each.host for each in after.instance_views()} <= {"h3", "h4"}
    assert not drained(after, Drain(zone="z1"), homes).actions


def test_what_cannot_leave_is_told_with_a_reason_and_the_rest_goes() -> None:
    stuck = Instance("pinned", SMALL, host="h1", state=State.RUNNING, immovable="a local disk")
    broken = Instance("broken", SMALL, host="h1", state=State.FAILED)
    large = Instance("large", Shape("large", 64_000, 1024), host="h1", state=State.STOPPED)
    pool = cloud(stuck, broken, large)
    proposal = drained(pool, Drain(("h1",)), homes)
    why = {each.subject: each.reason for each in proposal.rejections}
    assert set(why) == {"instance/pinned", "instance/broken", "instance/large"}
    assert "a local disk" in why["instance/pinned"]
    after = plan_of(pool, proposal)
    left = {each.id for each in after.instance_views() if each.host == "h1"}
    assert left == {"pinned", "broken", "large"}


def test_a_host_that_does_not_live_is_not_drained_but_evacuated() -> None:
    proposal = drained(cloud(off="h1"), Drain(("h1",)), homes)
    assert not [each for each in proposal.actions if isinstance(each, Migrate)]
    assert {each.fix for each in proposal.rejections} == {"billow host evacuate h1"}
