# SPDX-License-Identifier: Apache-2.0
"""Plans for a pool in a file: the same planner as in a control plane, without one."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from billow.api.render import capability_document, plan_answer, report_answer
from billow.api.requests import NewPlan, instances_of
from billow.catalog import CAPABILITIES
from billow.cli.output import Document
from billow.cli.session import Session
from billow.cli.up import settings_of
from billow.errors import Invalid
from billow.model.plan import Plan
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.plan import explain
from billow.plan.compose import Stamp, compose
from billow.policies import Policies, about
from billow.sense.files import read_pool


def plan_for(session: Session, path: Path, body: dict[str, Any]) -> tuple[int, int]:
    """Print the plan for the pool in a file; return how many steps and rejections it has."""
    pool = read_pool(path)
    plan = offline_plan(pool, body)
    if session.output.as_json:
        session.output.document(plan_answer(plan, pool, pool))
    else:
        session.output.text(explain.text(pool, plan))
    return len(plan.steps), len(plan.rejections)


def offline_plan(pool: Pool, body: dict[str, Any]) -> Plan:
    """Return the plan that a capability makes for a pool. Raises Invalid, NotFound."""
    wish = _checked(body)
    policies = known_here()
    capability = policies.capability(wish.capability)
    groups = [each.group() for each in wish.groups]
    grown = pool.with_groups(groups).with_requests(instances_of(wish.requests, pool))
    proposal = capability.propose(grown, policies.of(wish.capability, wish.policy))
    stamp = Stamp("offline", title=f"{wish.capability} for the pool in a file")
    return compose(pool, [proposal], Limits(), stamp)


def report_for(path: Path, name: str, knobs: dict[str, Any], *, planned: bool) -> Document:
    """Return a report on the pool in a file, with what it is after the capability's own plan."""
    pool, policies = read_pool(path), known_here()
    asked, policy = policies.reporting(name), policies.of(name, knobs)
    after = None
    if planned:
        plan = offline_plan(pool, {"capability": name, "policy": knobs})
        after = asked.report(plan.predicted, policy)
    return report_answer((asked.report(pool, policy), after), policy, "offline" if planned else "")


def reports_here() -> list[Document]:
    """Return every report that there is, without a control plane."""
    reports = known_here().reports
    return [{"name": name, "about": about(each)} for name, each in reports.items()]


def capability_here(name: str) -> Document:
    """Return a capability with its knobs, without a control plane. Raises NotFound."""
    return capability_document(known_here(), name)


def capabilities_here() -> list[Document]:
    """Return every capability with its knobs, without a control plane."""
    policies = known_here()
    return [capability_document(policies, name) for name in policies.capabilities]


def known_here() -> Policies:
    """Return the capabilities with the policies that `billow.toml` in this folder gives."""
    return Policies(CAPABILITIES, settings_of({}).policy)


def _checked(body: dict[str, Any]) -> NewPlan:
    try:
        return NewPlan.model_validate(body)
    except ValidationError as error:
        details = tuple(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:20]
        )
        raise Invalid("the request makes no sense", details) from error
