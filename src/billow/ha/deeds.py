# SPDX-License-Identifier: Apache-2.0
"""Do what a turn of an incident asks for, each deed in a task of its own, and keep the answers.

A deed may be begun again by another controller, or by this one; none does harm twice. A deed of
which it is not certain how it ended has no answer. This module must not decide anything.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, assert_never

import structlog

from billow.act.guard import World
from billow.act.registrar import Registrar
from billow.errors import BillowError, Leased, Lost, Refused, Unavailable
from billow.model.action import Action, Cordon, Evacuate, Uncordon
from billow.model.ha.incident import Incident
from billow.model.ha.response import (
    Answer,
    AskAgent,
    Clean,
    CloseOff,
    CutPower,
    Deed,
    MoveAway,
    StartElsewhere,
    Tell,
)
from billow.model.kinds import Health, Power, State
from billow.model.pool import Pool
from billow.plan.ha.facts import Terms
from billow.ports import Bmc, Commander, Trace

CORDON: Final = "ha: "
"""How the reason begins with which a host is cordoned for an incident."""
_AGAIN_S: Final = 0.5
_PATIENCE: Final = 0.95
"""It waits for so much of the protocol's own limit for a management controller."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hands:
    """What deeds are done with.

    Attributes:
        bmc: Turns hosts off, with proof.
        empty: Moves what runs on a host away, live; returns when that has ended.
    """

    world: World
    orders: Commander
    bmc: Bmc
    empty: Callable[[str, bool], Coroutine[Any, Any, None]]
    terms: Terms


class Deeds:
    """The deeds that this controller has begun."""

    def __init__(self, hands: Hands) -> None:
        self._hands = hands
        self._answers: dict[str, list[Answer]] = defaultdict(list)
        self._tasks: dict[tuple[str, Deed], asyncio.Task[None]] = {}
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def answers(self, incident: str) -> tuple[Answer, ...]:
        """Return how the deeds of an incident ended, oldest first."""
        return tuple(self._answers.get(incident, ()))

    def begin(self, incident: Incident, deed: Deed) -> None:
        """Begin a deed; one that is under way goes on."""
        key = (incident.id, deed)
        if isinstance(deed, Tell) or key in self._tasks:
            return  # telling is part of the step that the store keeps
        task = asyncio.create_task(self._carry(incident, deed), name=f"{incident.id} {deed}")
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def forget(self, incident: str) -> None:
        """Forget a closed incident."""
        self._answers.pop(incident, None)

    async def aclose(self) -> None:
        """Let go of what is under way; another controller, or a restart, begins it again."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, incident: Incident, deed: Deed) -> None:
        ok, gone = True, tuple[str, ...]()
        try:
            text, gone = await self._do(incident, deed)
        except Leased:
            return  # another controller goes on
        except BillowError as error:
            ok, text = False, "; ".join((error.brief, *error.details))
        except TimeoutError:
            ok, text = False, "no answer in time"
        except Exception as error:
            log.exception("unexpected error in a deed", incident=incident.id, deed=str(deed))
            ok, text = False, repr(error)
        if isinstance(deed, CloseOff):
            return  # nobody asks how it ended: it is begun again while it is not so
        answer = Answer(deed, ok, self._hands.world.clock.now(), text, gone)
        self._answers[incident.id].append(answer)

    async def _do(self, incident: Incident, deed: Deed) -> tuple[str, tuple[str, ...]]:
        engine = self._hands.world.engine
        match deed:
            case AskAgent() | Clean():
                answer = await self._order(incident, deed)
                if isinstance(deed, Clean) and isinstance(engine, Registrar):
                    await engine.mark_alive(deed.host)
                return answer
            case CutPower():
                text = await self._cut(deed)
            case StartElsewhere():
                text = await self._start(incident, deed)
            case MoveAway():
                await self._hands.empty(deed.host, deed.at_once)
                text = f"{deed.host} is empty"
            case CloseOff():
                text = await self._close_off(incident, deed)
            case Tell():
                text = ""
            case _:
                assert_never(deed)
        return text, ()

    async def _order(
        self, incident: Incident, deed: AskAgent | Clean
    ) -> tuple[str, tuple[str, ...]]:
        """Let an agent do something; what it did not prove is Refused."""
        body: dict[str, object] = {"do": "fence", "fence": deed.fence}
        if isinstance(deed, Clean):
            elsewhere = [each.instance for each in incident.victims if each.target]
            body |= {"do": "clean", "instances": elsewhere, "boot": deed.boot}
        async with asyncio.timeout(self._hands.terms.agent_s):
            said = await self._hands.orders.order(deed.host, deed.over, body)
        text = str(said.get("text", ""))
        if not said.get("ok"):
            raise Refused(text or f"the agent of {deed.host} did not do it")
        gone = said.get("gone")
        return text, tuple(map(str, gone)) if isinstance(gone, list) else ()

    async def _cut(self, deed: CutPower) -> str:
        """Turn a host off; returns only when that is proved.

        It gives up before the protocol does, so that the next try is not taken for this one.
        """
        async with asyncio.timeout(_PATIENCE * self._hands.terms.bmc_s):
            await self._hands.bmc.off(deed.host)
        return "its management controller turned it off, and read off twice"

    async def _start(self, incident: Incident, deed: StartElsewhere) -> str:
        """Start an instance elsewhere; while it is not certain how that ended, ask again."""
        action = Evacuate(
            id=f"{incident.id}.{deed.instance}.{deed.epoch}",
            incident=incident.id,
            instance=deed.instance,
            source=deed.source,
            target=deed.target,
            epoch=deed.epoch,
            reason=f"{deed.source} is dead",
        )
        try:
            await self._perform(action, _proof(incident))
        except Refused:
            if not (where := await self._elsewhere(deed)):
                raise
            return f"it is on {where} by now, and goes on from there"
        return f"it runs on {deed.target}"

    async def _elsewhere(self, deed: StartElsewhere) -> str:
        """Return where an instance is whose start failed since it had left its dead host before.

        An earlier try may have brought it away, and its new host may have died since: that host's
        own incident goes on with it. Empty when it is where it was, or lies failed on a host that
        works: then somebody has to see to it.
        """
        pool = await self._hands.world.collector.fresh()
        if deed.instance not in pool.instances.row:
            return ""
        found = pool.instance(deed.instance)
        if found.host in {"", deed.source}:
            return ""
        host = pool.host(found.host)
        works = host.power is Power.ON and host.health is not Health.FAILED
        return "" if found.state is State.FAILED and works else found.host

    async def _close_off(self, incident: Incident, deed: CloseOff) -> str:
        """Close a host off, or open it again, by turns, and by how it is now."""
        async with self._turns[deed.host]:
            pool = await self._looked(closing=deed.closed)
            cordon = pool.host(deed.host).cordon
            name = f"{incident.id}.cordon.{incident.version}"
            if deed.closed and not cordon:
                why = deed.why if deed.why.startswith(CORDON) else f"{CORDON}{deed.why}"
                await self._perform(Cordon(id=name, host=deed.host, why=why))
            if not deed.closed and is_ours(cordon):
                await self._perform(Uncordon(id=name, host=deed.host, was=cordon))
            return ""

    async def _looked(self, *, closing: bool) -> Pool:
        """Look at the pool; what is closed off again though it is closed off is not harmed."""
        collector = self._hands.world.collector
        try:
            return await collector.fresh()
        except Unavailable:
            if not closing:
                raise
            return await collector.last()

    async def _perform(self, action: Action, proof: str = "") -> None:
        """Perform an action, and after a lost answer or a silent engine, ask and try again.

        Args:
            action: What is done.
            proof: Why an evacuation's source is dead; an engine with records of its own is told.

        Raises:
            Leased: another controller is the writer.
            Refused: it is certain that it was not done.
        """
        world = self._hands.world
        while True:
            try:
                trace = await world.engine.find(action.id)
                if trace is Trace.FAILED:
                    raise Refused(f"{action.name} of {action.subject} had no effect")
                if trace is not Trace.DONE:
                    if isinstance(action, Evacuate) and isinstance(world.engine, Registrar):
                        await world.engine.mark_dead(action.source, proof)
                    async for _ in world.engine.perform(action, fence=world.writer.fence):
                        pass
            except (Lost, Unavailable) as error:
                log.warning("asked again", action=action.id, why=error.brief)
                await world.clock.sleep(_AGAIN_S)
            else:
                return


def is_ours(cordon: str) -> bool:
    """Whether a host is closed off for an incident."""
    return cordon.startswith(CORDON)


def _proof(incident: Incident) -> str:
    """Return what the record of an incident says of a death, for an engine's own records."""
    return f"{incident.id}: {incident.proof.text}" if incident.proof else incident.id
