# SPDX-License-Identifier: Apache-2.0
"""The way back from a run: a proposal to take its successful steps back, for another plan.

The world has gone on since. What is elsewhere by now is taken back from where it is; what is back
already needs nothing; what has become something else is left alone, with the reason.
"""

from dataclasses import replace

from billow.act.premise import unmet
from billow.model.action import Action, Migrate
from billow.model.plan import Plan, Proposal, Rejection
from billow.model.pool import Pool
from billow.model.run import Phase, Run
from billow.model.verb import OnInstance
from billow.plan.inverse import inverse
from billow.plan.replay import replay


def way_back(plan: Plan, run: Run, pool: Pool) -> Proposal:
    """Return the proposal that undoes what a run has done, last step first, in the pool as it is.

    Linear in the pool for every step on a subject that an earlier step of the way back changes.
    """
    done = {name for name, entry in run.entries.items() if entry.phase is Phase.DONE}
    actions: list[Action] = []
    rejections: list[Rejection] = []
    changed: set[str] = set()
    now = pool
    for step in reversed(plan.steps):
        if step.action.id not in done:
            continue
        if step.action.subject in changed:
            now = replay(pool, actions)
        found = _back(step.action, now)
        if isinstance(found, Rejection):
            rejections.append(found)
        elif found is not None:
            actions.append(found)
            changed.add(found.subject)
    return Proposal("request", tuple(actions), rejections=tuple(rejections))


def _back(action: Action, now: Pool) -> Action | Rejection | None:
    """Return what takes an action back; None when it is back already."""
    back = inverse(action)
    if back is None:
        return Rejection(action.subject, f"there is no way back from {action.name}")
    back = _where_it_is(back, now)
    if not unmet(now, back.achieves):
        return None
    broken = unmet(now, back.expects)
    if broken:
        return Rejection(action.subject, f"{action.name} cannot be undone any more", broken)
    return back


def _where_it_is(back: Action, now: Pool) -> Action:
    """Return the action, for the place at which its instance is by now."""
    if not isinstance(back, Migrate | OnInstance) or back.instance not in now.instances.row:
        return back
    instance = now.instance(back.instance)
    if isinstance(back, Migrate):
        return replace(back, source=instance.host, source_nodes=instance.nodes)
    return replace(back, host=instance.host)
