# SPDX-License-Identifier: Apache-2.0
"""Several engines as one: each action goes to the first engine that has its verb and its hosts.

Redfish powers and fences, an agent patches, OpenStack migrates; planners and guards see one engine.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from billow.errors import NotFound, Refused
from billow.model.action import Action
from billow.model.assessment import Assessment, Guest
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Assessor, Blocker, Canceller, Engine, Trace, Weigher
from billow.sense.merge import merge


class Pairing:
    """Engines in order of precedence; fulfils `billow.ports.Engine`."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        self._hosts: dict[str, frozenset[str]] = {}

    @property
    def name(self) -> str:
        """The engines' names."""
        return "+".join(engine.name for engine in self._engines)

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What any of them can perform."""
        return frozenset().union(*(engine.verbs for engine in self._engines))

    async def sense(self) -> Pool:
        """Look through every engine at once and return one pool. Raises Unavailable."""
        views = await asyncio.gather(*(engine.sense() for engine in self._engines))
        for engine, view in zip(self._engines, views, strict=True):
            self._hosts[engine.name] = frozenset(view.hosts.id)
        return merge(views)

    async def blockers(self, action: Action) -> Sequence[Blocker]:
        """Return why the engine that would perform the action must not, or that there is none."""
        engine = self._engine_for(action)
        if engine is None:
            return (Blocker(f"no engine of this pool can {action.name} {action.subject}"),)
        return await engine.blockers(action)

    async def perform(self, action: Action, *, fence: int) -> AsyncIterator[Progress]:
        """Let the engine that has the verb and the hosts do it. Raises as that engine."""
        engine = self._engine_for(action)
        if engine is None:
            raise Refused(f"no engine of this pool can {action.name} {action.subject}")
        async for progress in engine.perform(action, fence=fence):
            yield progress

    async def find(self, action_id: str) -> Trace:
        """Return what became of an action in whichever engine knows it."""
        for trace in await asyncio.gather(*(e.find(action_id) for e in self._engines)):
            if trace is not Trace.UNKNOWN:
                return trace
        return Trace.UNKNOWN

    async def assess(self, instance: str, target: str) -> Assessment:
        """Let the engine that has the host measure a move to it. Raises as that engine, Refused."""
        for engine in self._engines:
            if isinstance(engine, Assessor) and target in self._hosts.get(engine.name, ()):
                return await engine.assess(instance, target)
        raise Refused(f"no engine of this pool can assess a move to {target}", code="no-assessor")

    async def weigh(self, instance: str) -> Guest:
        """Let the engine that knows an instance measure it. Raises as that engine, NotFound."""
        for engine in self._engines:
            if isinstance(engine, Weigher):
                with contextlib.suppress(NotFound):
                    return await engine.weigh(instance)
        raise NotFound(f"no engine of this pool can measure {instance}")

    async def cancel(self, action_id: str) -> None:
        """Let the engine that does an action take it back. Raises NotFound, Conflict."""
        for engine in self._engines:
            if isinstance(engine, Canceller):
                with contextlib.suppress(NotFound):
                    return await engine.cancel(action_id)
        raise NotFound(f"action {action_id} is not under way")

    async def aclose(self) -> None:
        """Let go of all."""
        await asyncio.gather(*(engine.aclose() for engine in self._engines))

    def _engine_for(self, action: Action) -> Engine | None:
        for engine in self._engines:
            known = self._hosts.get(engine.name, frozenset())
            if type(action) in engine.verbs and known.issuperset(action.hosts):
                return engine
        return None
