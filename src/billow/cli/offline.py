# SPDX-License-Identifier: Apache-2.0
"""Plans for a pool in a file: the same planner as in a control plane, without one."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from billow.api.render import plan_answer
from billow.api.requests import NewPlan, instances_of
from billow.app import CAPABILITIES, parse_policy
from billow.cli.session import Session
from billow.errors import Invalid, NotFound
from billow.model.plan import Plan
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.plan import explain
from billow.plan.compose import Stamp, compose
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
    known = {each.name: each for each in CAPABILITIES}
    if wish.capability not in known:
        raise NotFound(f"no capability {wish.capability!a}", fix=f"choose: {', '.join(known)}")
    capability = known[wish.capability]
    groups = [each.group() for each in wish.groups]
    grown = pool.with_groups(groups).with_requests(instances_of(wish.requests, pool))
    proposal = capability.propose(grown, parse_policy(capability, wish.policy))
    stamp = Stamp("offline", title=f"{wish.capability} for the pool in a file")
    return compose(pool, [proposal], Limits(), stamp)


def _checked(body: dict[str, Any]) -> NewPlan:
    try:
        return NewPlan.model_validate(body)
    except ValidationError as error:
        details = tuple(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:20]
        )
        raise Invalid("the request makes no sense", details) from error
