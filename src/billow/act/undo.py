# SPDX-License-Identifier: Apache-2.0
"""The way back from a run: a proposal to take its successful steps back, for another plan."""

from billow.model.plan import Plan, Proposal
from billow.model.run import Phase, Run
from billow.plan.inverse import reversal


def way_back(plan: Plan, run: Run) -> Proposal:
    """Return the proposal that undoes what a run has done, last step first."""
    done = {name for name, entry in run.entries.items() if entry.phase is Phase.DONE}
    return reversal([step.action for step in plan.steps if step.action.id in done])
