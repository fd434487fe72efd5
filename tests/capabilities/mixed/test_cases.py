# SPDX-License-Identifier: Apache-2.0
"""Single decisions: who gives way, how far, and who gets something back."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from billow.capabilities.mixed import Mixed, MixedPolicy
from billow.model.action import Action, Migrate, Resume, Suspend, Throttle
from billow.model.history import History
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Service, State
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.compose import Stamp, compose

POLICY = MixedPolicy(safe_share=0.9, wait_hot_share=0.005)


def host(name: str = "h1", cpus: int = 10, **more: object) -> Host:
    return Host(name, (Node(cpus * 1000, 65_536),), **more)  # type: ignore[arg-type]  # its fields


def made(name: str, used: float, cpus: int = 4, **more: object) -> Instance:
    shape = Shape(f"c{cpus}", cpus * 1000, 1024)
    fields: dict[str, Any] = {"host": "h1", "state": State.RUNNING, "cpu_wait": 0.0, **more}
    return Instance(name, shape, cpu_used_milli=used, **fields)


def batch(name: str, used: float, cpus: int = 4, **more: object) -> Instance:
    return made(name, used, cpus, service=Service.BATCH, **more)


def wanted(*instances: Instance, hosts: int = 1, policy: MixedPolicy = POLICY) -> list[Action]:
    pool = Pool.build([host(f"h{number + 1}") for number in range(hosts)], instances)
    return list(Mixed().propose(pool, policy).actions)


def test_nothing_happens_while_everything_fits() -> None:
    assert wanted(made("a", 3000), batch("b", 3000)) == []


def test_batch_is_limited_to_what_the_forecast_peak_leaves() -> None:
    (limit,) = wanted(made("a", 4000), batch("b", 6000, 8))
    assert isinstance(limit, Throttle)
    # 9 CPUs are safe; 4 are wanted, 0.4 more may be for want of a past, 0.25 are taken beforehand
    assert limit.cpu_limit_milli == pytest.approx(9000 - 4000 - 400 - 250, abs=2)
    assert "may want 44% of the host soon" in limit.reason


def test_the_lowest_priority_gives_way_first_then_the_largest_relief() -> None:
    steps = wanted(
        made("a", 4000),
        batch("kept", 1000, 4, priority=10),
        batch("large", 3000),
        batch("small", 2000),
    )
    assert [step.subject for step in steps] == ["instance/large"]


def test_a_wait_cuts_batch_whatever_was_forecast() -> None:
    (limit,) = wanted(made("a", 1000, cpu_wait=0.02), batch("b", 2000))
    assert isinstance(limit, Throttle)
    assert limit.cpu_limit_milli == 1500
    assert "wait 2.0% of the time" in limit.reason


def test_pressure_counts_only_where_nobody_measures_waits() -> None:
    pair = [made("a", 1000, cpu_wait=float("nan")), batch("b", 2000)]
    pressed = Pool.build([host(cpu_pressure=0.5)], pair)
    (limit,) = Mixed().propose(pressed, POLICY).actions
    assert "under CPU pressure (50%)" in limit.reason
    calm = Pool.build([host(cpu_pressure=0.5)], [made("a", 1000), pair[1]])
    assert Mixed().propose(calm, POLICY).actions == ()


def test_what_is_left_at_its_least_is_suspended_and_marked_by_its_limit() -> None:
    steps = wanted(made("a", 9000, 10), batch("b", 500), batch("c", 900))
    assert [type(step) for step in steps] == [Throttle, Throttle, Suspend, Suspend]
    assert {step.cpu_limit_milli for step in steps if isinstance(step, Throttle)} == {200}


def test_a_host_with_room_takes_what_would_be_suspended() -> None:
    pair = made("a", 9000, 10), batch("b", 2000)
    throttle, move = wanted(*pair, hosts=2)
    assert isinstance(throttle, Throttle)
    assert isinstance(move, Migrate)
    assert move.target == "h2"
    without = POLICY.model_copy(update={"moves": 0})
    assert isinstance(wanted(*pair, hosts=2, policy=without)[1], Suspend)
    pinned = pair[0], batch("b", 2000, immovable="local disk")
    assert isinstance(wanted(*pinned, hosts=2)[1], Suspend)


def test_a_plan_with_a_move_can_be_carried_out_and_is_all() -> None:
    pair = [made("a", 9000, 10), batch("b", 2000)]
    pool = Pool.build([host("h1"), host("h2")], pair)
    plan = compose(pool, [Mixed().propose(pool, POLICY)], Limits(), Stamp("p"))
    assert len(plan.steps) == 2
    assert Mixed().propose(plan.predicted, POLICY).actions == ()


def test_who_suspended_by_limit_goes_on_when_room_is_back() -> None:
    held = batch("b", 0, state=State.PAUSED, cpu_limit_milli=200)
    (resume,) = wanted(made("a", 4000), held)
    assert isinstance(resume, Resume)
    assert wanted(made("a", 8200), held) == []  # within the room that keeps it from flapping
    by_person = batch("b", 0, state=State.PAUSED)
    assert wanted(made("a", 4000), by_person) == []


def test_a_limit_is_lifted_a_step_beyond_what_is_used_and_then_for_good() -> None:
    (step,) = wanted(made("a", 1000), batch("b", 500, cpu_limit_milli=500))
    assert isinstance(step, Throttle)
    assert (step.cpu_limit_milli, step.was_milli) == (1500, 500)
    (last,) = wanted(made("a", 1000), batch("b", 3300, cpu_limit_milli=3300))
    assert isinstance(last, Throttle)
    assert last.cpu_limit_milli == 0
    assert wanted(made("a", 1000), batch("b", 100, cpu_limit_milli=500)) == []  # it needs no more


def test_nothing_is_given_back_while_somebody_still_waits_a_little() -> None:
    limited = batch("b", 500, cpu_limit_milli=500)
    assert wanted(made("a", 1000, cpu_wait=0.004), limited) == []


def test_the_past_tells_how_fast_use_grows() -> None:
    pair = [made("a", 4000, 8), batch("b", 4500, 8)]
    ramp = np.array([[*np.arange(100.0, 4000.0, 300.0), 4000.0]], dtype=np.float32)
    past = History(300.0, 0.0, ("a",), ramp, ramp, born=np.zeros(1), settled=np.zeros(1))
    pool = Pool.build([host()], pair).with_history(past)
    (limit,) = Mixed().propose(pool, POLICY).actions
    assert isinstance(limit, Throttle)
    assert limit.cpu_limit_milli < 9000 - 4000 - 3 * 250
    flat = History(300.0, 0.0, ("a",), ramp * 0 + 4000, ramp, born=np.zeros(1), settled=np.zeros(1))
    assert Mixed().propose(pool.with_history(flat), POLICY).actions == ()


def test_waits_without_batch_are_said() -> None:
    pool = Pool.build([host()], [made("a", 1000, cpu_wait=0.2)])
    proposal = Mixed().propose(pool, POLICY)
    assert not proposal.actions
    assert "no batch runs there" in proposal.findings[0].text


def test_the_report_names_the_promise_and_the_shares() -> None:
    limited = batch("b", 500, cpu_limit_milli=500)
    past = History(
        300.0,
        0.0,
        ("b",),
        np.full((1, 12), 2000, np.float32),
        np.zeros((1, 12), np.float32),
        born=np.zeros(1),
        settled=np.zeros(1),
    )
    pool = Pool.build([host()], [made("a", 4000, cpu_wait=0.001), limited]).with_history(past)
    report = Mixed().report(pool, POLICY)
    assert "waited 0.10% of the time (0.50% is promised)" in report.summary
    assert report.figures["batch_cpu_hours"] == pytest.approx(2.0)
    assert report.figures["throttled"] == 1
    (row,) = report.grids[0].rows
    assert row[0] == "h1"
    assert row[1] == pytest.approx(0.4)
    empty = Mixed().report(Pool.build([host()], []), POLICY)
    assert "No instance is batch" in empty.summary


@pytest.mark.parametrize(
    "knobs", [{"least_share": 0.2}, {"room_share": 0.95}, {"unknown": 1}, {"risk": 0.7}]
)
def test_a_policy_that_would_flap_is_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MixedPolicy.model_validate(knobs)
