# SPDX-License-Identifier: Apache-2.0
"""Move what runs on an ill host away, live, by plans as a person would ask for them.

What cannot be moved live twice is stopped, moved and started again, where that was asked for.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from billow.errors import Refused
from billow.loop import Loop, Wish
from billow.model.ask import Ask, AskVerb
from billow.model.counting import counted
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.plan import Proposal
from billow.model.pool import Pool
from billow.plan.asked import Choose, requested

ACTOR: Final = "billow"
AT_ONE_TIME: Final = 4
"""Instances per plan while there is time: what comes up meanwhile is not kept waiting."""
_TRIES: Final = 2
_MOVABLE: Final = (State.RUNNING, State.PAUSED, State.STOPPED)


class Emptying:
    """Empties hosts that still live."""

    def __init__(self, loop: Loop, choose: Choose) -> None:
        self._loop = loop
        self._choose = choose

    async def empty(self, host: str, at_once: bool) -> None:  # noqa: FBT001 - a deed's own field
        """Return when nothing that can be moved is on a host any more.

        Raises:
            Refused: something is left, and why.
        """
        for _ in range(_TRIES):
            for batch in _batches(await self._there(host), at_once=at_once):
                await self._carry(host, [Ask(AskVerb.MIGRATE, each.id) for each in batch])
        left = await self._there(host)
        if left and at_once:
            await self._cold(host, left)
            left = await self._there(host)
        if left:
            names = tuple(each.id for each in left)
            raise Refused(f"{host} still has {counted(len(left), 'instance')}", names)

    async def _cold(self, host: str, left: Sequence[Instance]) -> None:
        """Stop, move and start what a live move did not get away."""
        running = [each for each in left if each.state is State.RUNNING]
        for verb, whom in (
            (AskVerb.STOP, running),
            (AskVerb.MIGRATE, left),
            (AskVerb.START, running),
        ):
            await self._carry(host, [Ask(verb, each.id) for each in whom])

    async def _there(self, host: str) -> list[Instance]:
        """Return what can be moved, the most important first."""
        pool = await self._loop.world.collector.fresh()
        rows = (pool.instances.host == pool.host_row(host)).nonzero()[0].tolist()
        found = [each for each in pool.views(rows) if not each.immovable]
        movable = (each for each in found if each.state in _MOVABLE)
        return sorted(movable, key=lambda each: (-each.priority, each.id))

    async def _carry(self, host: str, asks: Sequence[Ask]) -> None:
        """Make one plan of requests, carry it out, and wait for its end."""

        def want(pool: Pool) -> tuple[Pool, list[Proposal]]:
            return pool, [requested(pool, asks, self._choose)]

        if not asks:
            return
        plan = await self._loop.plan(want, Wish(f"ha: empty {host}", ACTOR))
        if plan.steps:
            run = await self._loop.start(plan.id, actor=ACTOR)
            await self._loop.wait(run.id)


def _batches(found: Sequence[Instance], *, at_once: bool) -> Iterable[Sequence[Instance]]:
    size = len(found) if at_once else AT_ONE_TIME
    return [found[at : at + size] for at in range(0, len(found), size or 1)]
