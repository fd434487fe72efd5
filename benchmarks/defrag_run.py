# SPDX-License-Identifier: Apache-2.0
"""One vmr document to a composed, ordered plan, with its slots and the bound."""

import time
from dataclasses import dataclass
from typing import Any

from billow.capabilities.defrag import Defrag, DefragPolicy
from billow.capabilities.defrag.slots import slots
from billow.capabilities.defrag.target import targets_of
from billow.model.action import Migrate
from billow.model.plan import Plan, Proposal
from billow.model.policy import Limits
from billow.model.pool import Pool
from billow.plan.compose import Stamp, compose
from billow.sense.vmr import vmr_pool

WANTED_MILLI = 16_000


@dataclass(frozen=True)
class Run:
    """What came of a document."""

    pool: Pool
    plan: Plan
    proposal: Proposal
    slots: int
    bound: int


def run(document: object, name: str, moves: int, time_limit_s: float) -> Run:
    """Plan for a document. The time limit counts from the call. Raises Invalid."""
    started = time.monotonic()
    pool = vmr_pool(document, name)
    return planned(pool, moves, time_limit_s, started)


def planned(pool: Pool, moves: int, time_limit_s: float, started: float | None = None) -> Run:
    """Plan for a pool."""
    spent = time.monotonic() - started if started is not None else 0.0
    policy = policy_for(pool, moves, max(time_limit_s - spent, 0.1))
    proposal = Defrag(time.monotonic).propose(pool, policy)
    plan = compose(pool, [proposal], Limits(), Stamp("defrag"))
    shape = targets_of(pool, policy)[0].shape
    reached = slots(plan.predicted, shape, count_memory=False)
    bound = int(proposal.gain.get("slots_bound", reached) + 1e-6)
    return Run(pool, plan, proposal, reached, max(bound, reached))


def policy_for(pool: Pool, moves: int, time_limit_s: float) -> DefragPolicy:
    """Return the policy of the data set's metric: 16 CPUs on one node, memory not counted."""
    if any(fact.key == "weight" for fact in pool.facts):
        return DefragPolicy(moves=moves, time_limit_s=time_limit_s, count_memory=False)
    return DefragPolicy(
        cpu_milli=WANTED_MILLI,
        numa_nodes=1,
        huge_pages=True,
        moves=moves,
        time_limit_s=time_limit_s,
        count_memory=False,
    )


def written(plan: Plan) -> list[dict[str, Any]]:
    """Return the moves of a plan, in order, as the benchmark writes them."""
    return [
        {
            "instance_id": step.action.instance,
            "from": {"host_id": step.action.source, "numa": list(step.action.source_nodes)},
            "to": {"host_id": step.action.target, "numa": list(step.action.target_nodes)},
            "wave": step.wave,
        }
        for step in plan.steps
        if isinstance(step.action, Migrate)
    ]
