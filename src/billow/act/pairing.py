# SPDX-License-Identifier: Apache-2.0
"""Several engines as one: each action goes to an engine that has its verb and its hosts.

Redfish powers and fences, an agent patches, OpenStack migrates; planners and guards see one engine.
Of several that could, a specialist goes before one that does more: whoever named a host's
management controller wants its power to come from there. Among equals the first named counts.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Final, TypeVar

from billow.act.acquainted import Acquainted
from billow.act.power.turns import in_turn
from billow.act.registrar import NOT_CLEANED, Registrar
from billow.act.scheduler import Scheduler
from billow.errors import NotFound, Refused
from billow.model.action import Action, Fence, PowerOff, PowerOn
from billow.model.assessment import Assessment, Guest
from billow.model.instance import Instance
from billow.model.kinds import Power
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import (
    Assessor,
    Blocker,
    Bmc,
    Canceller,
    Engine,
    Rehearsed,
    Trace,
    Weigher,
)
from billow.sense.merge import merge

_NEXT_S: Final = 6.0
"""How long one management controller may let wait before another one of the host is asked, too."""
BOOT_S: Final = 900.0
"""How long a host may take from its power to an engine that counts on it."""
_AGAIN_S: Final = 2.0
Found = TypeVar("Found")


class Pairing:
    """Engines in order of precedence; fulfils `billow.ports.Engine` and `Bmc`."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        self._specialists = sorted(engines, key=lambda engine: len(engine.verbs))
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
        await self._tell(engine, action)

    async def _tell(self, done_by: Engine, action: Action) -> None:
        """Let the other engines know that a host was turned off, or on. Raises as Registrar."""
        if not isinstance(action, Fence | PowerOff | PowerOn):
            return
        others = [
            each
            for each in self._engines
            if isinstance(each, Registrar)
            and each is not done_by
            and action.host in self._hosts.get(each.name, ())
        ]
        for each in others:
            if isinstance(action, PowerOn):
                await _returned(each, action.host)
            else:
                await each.mark_dead(action.host, f"{done_by.name} turned it off")

    async def mark_dead(self, host: str, why: str) -> None:
        """Let every engine that has the host count it as dead. Raises Unavailable."""
        for each in self._engines:
            if isinstance(each, Registrar):
                with contextlib.suppress(NotFound):
                    await each.mark_dead(host, why)

    async def mark_alive(self, host: str) -> None:
        """Let every engine that has the host count it again. Raises Refused, Unavailable."""
        for each in self._engines:
            if isinstance(each, Registrar):
                with contextlib.suppress(NotFound):
                    await each.mark_alive(host)

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

    async def choose(self, requests: Sequence[Instance]) -> Mapping[str, str]:
        """Let the first engine with a scheduler choose hosts. Raises as it, Refused."""
        for engine in self._engines:
            if isinstance(engine, Scheduler):
                return await engine.choose(requests)
        raise Refused("no engine of this pool has a scheduler of its own", code="no-scheduler")

    async def cancel(self, action_id: str) -> None:
        """Let the engine that does an action take it back. Raises NotFound, Conflict."""
        for engine in self._engines:
            if isinstance(engine, Canceller):
                with contextlib.suppress(NotFound):
                    return await engine.cancel(action_id)
        raise NotFound(f"action {action_id} is not under way")

    async def learn(self, host: str, machine: str) -> None:
        """Tell every management controller which machine its host is. Raises as `Acquainted`."""
        for peers in self._power_peers():
            for each in peers:
                if isinstance(each, Acquainted):
                    with contextlib.suppress(NotFound):
                        await each.learn(host, machine)

    async def power(self, host: str) -> Power:
        """Return what a host's management controller reads. Raises as `billow.ports.Bmc` says."""
        return await self._by_power(host, lambda bmc: bmc.power(host))

    async def off(self, host: str) -> str:
        """Turn a host off and prove it. Raises as `billow.ports.Bmc` says."""
        return await self._by_power(host, lambda bmc: bmc.off(host))

    async def on(self, host: str) -> None:
        """Let a host return and turn it on. Raises as `billow.ports.Bmc` says."""
        await self._by_power(host, lambda bmc: bmc.on(host))

    async def identity(self, host: str) -> str:
        """Return who a host's controller says that it is. Raises as `billow.ports.Bmc` says."""
        return await self._by_power(host, lambda bmc: bmc.identity(host))

    async def rehearse(self, host: str) -> str:
        """Try every way to a host's management controllers; return what each showed.

        Raises as `billow.ports.Rehearsed` says.
        """
        for peers in self._power_peers():
            found = await asyncio.gather(
                *(_rehearsed(each, host) for each in peers), return_exceptions=True
            )
            shown = [each for each in found if isinstance(each, str)]
            failed = [each for each in found if isinstance(each, BaseException)]
            known = [each for each in failed if not isinstance(each, NotFound)]
            if shown:
                return "; ".join([*shown, *(str(each).partition("\n")[0] for each in known)])
            if known:
                raise known[0]
        raise NotFound(f"no management controller of {host} is known", fix="add it to bmc.toml")

    async def _by_power(self, host: str, ask: Callable[[Bmc], Awaitable[Found]]) -> Found:
        """Ask those whose business the power of this host is, the next when one lets wait."""
        for peers in self._power_peers():
            try:
                _, found = await in_turn([partial(ask, each) for each in peers], _NEXT_S)
            except NotFound:
                continue
            return found
        raise NotFound(f"no management controller of {host} is known", fix="add it to bmc.toml")

    def _power_peers(self) -> Iterator[list[Bmc]]:
        """Yield engines that reach management controllers: specialists first, equals together."""
        for _, equals in groupby(self._specialists, key=lambda engine: len(engine.verbs)):
            peers: list[Bmc] = [each for each in equals if isinstance(each, Bmc)]
            if peers:
                yield peers

    async def aclose(self) -> None:
        """Let go of all."""
        await asyncio.gather(*(engine.aclose() for engine in self._engines))

    def _engine_for(self, action: Action) -> Engine | None:
        for engine in self._specialists:
            known = self._hosts.get(engine.name, frozenset())
            if type(action) in engine.verbs and known.issuperset(action.hosts):
                return engine
        return None


async def _returned(registrar: Registrar, host: str) -> None:
    """Let a host count again that has power, when it has booted and cleared up."""
    clock = asyncio.get_running_loop().time
    until = clock() + BOOT_S
    while True:
        try:
            return await registrar.mark_alive(host)
        except Refused as error:
            if error.code != NOT_CLEANED or clock() > until:
                raise
        await asyncio.sleep(_AGAIN_S)


async def _rehearsed(bmc: Bmc, host: str) -> str:
    """Try a host's controller in every way that there is, or in the one. Raises as `ports.Bmc`."""
    if isinstance(bmc, Rehearsed):
        return await bmc.rehearse(host)
    return f"reads {await bmc.power(host)}"
