# SPDX-License-Identifier: Apache-2.0
"""After a crash: take over what an earlier controller began, and bring it to an end.

Recovery adds no rules of its own. It adopts each open run under the new fence and hands it to the
executor, which asks the engine what became of every action that was intended.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from billow.act.execute import Execution
from billow.act.guard import World
from billow.errors import Conflict
from billow.model.event import Event, EventKind


async def unfinished(world: World, is_here: Callable[[str], bool]) -> AsyncIterator[Execution]:
    """Adopt every open run that is not under way here, oldest first, and yield its execution.

    Raises:
        Leased: this controller is not the writer.
    """
    for run in await world.journal.open_runs():
        if is_here(run.id):
            continue
        fence = world.writer.fence
        try:
            await world.journal.adopt(run.id, fence=fence)
        except Conflict:  # it has ended since it was listed
            continue
        plan = await world.journal.plan(run.plan_id)
        text = f"run {run.id} goes on after a change of controller"
        subjects = (f"run/{run.id}", f"plan/{plan.id}")
        await world.witness.tell(
            Event(EventKind.RUN_RECOVERED, world.clock.now(), text, subjects, run.actor)
        )
        yield Execution(world, plan, replace(run, fence=fence))
