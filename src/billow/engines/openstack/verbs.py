# SPDX-License-Identifier: Apache-2.0
"""How each verb is done by Nova, and how one that somebody left is brought to an end.

Nova keeps what is needed for that: a server bears the id of the action that made it, and each move
has a record. Nothing here is remembered from one action to the next.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from billow.act.premise import unmet
from billow.act.terms import Terms
from billow.engines.openstack import move
from billow.engines.openstack.nova import Nova, Seen
from billow.engines.openstack.outcome import failure, refused
from billow.engines.openstack.patience import INSIST_S, looks, order, steadfast
from billow.engines.openstack.place import Wanted, place, remove, take_back
from billow.engines.openstack.recover.craft import VERBS as RECOVERING
from billow.engines.openstack.recover.craft import Recovery
from billow.engines.openstack.rules import READ_ONLY, Cloudscape, blockers
from billow.engines.openstack.sight import Sight
from billow.errors import BillowError, Bug, NotFound, Refused, Unavailable
from billow.model.action import (
    Action,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Repair,
    Resize,
    Start,
    Stop,
    Uncordon,
)
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Clock

OWN_VERBS: Final[frozenset[type[Action]]] = frozenset(
    {Place, Migrate, Start, Stop, Delete, Resize, Cordon, Uncordon}
)
VERBS: Final = OWN_VERBS | RECOVERING
_FRESH_S: Final = 1.0
"""So old may be what blockers are judged by, seconds; Nova judges again."""
_TURNED_S: Final = 300.0
"""How long a guest may take to start or to stop: Nova itself cuts its power before."""
_STARTS: Final = {"SHUTOFF": "os-start", "PAUSED": "unpause", "SUSPENDED": "resume"}
_STOPS: Final = {"ACTIVE": "os-stop", "PAUSED": "unpause", "SUSPENDED": "resume"}
_CALLED: Final = {"os-start": "start", "os-stop": "stop"}
"""How Nova's list of instance actions calls what its API calls otherwise."""


@dataclass(slots=True)
class OpenStackCraft:
    """What the verbs work with; fulfils `billow.act.performer.Craft`.

    Attributes:
        network: Of new servers: `auto`, `none`, or the name or id of one.
        allow_changes: Whether anything may be done at all.
    """

    nova: Nova
    sight: Sight
    terms: Terms
    clock: Clock
    recovery: Recovery
    network: str = "auto"
    allow_changes: bool = False
    _glanced: Pool | None = None
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _given_up: set[str] = field(default_factory=set)

    @property
    def past_recall(self) -> frozenset[str]:
        """Phases of a move from which on it can no longer be called off."""
        return move.PAST_RECALL

    def left(self) -> Collection[str]:
        """Nothing: what is left half-way has a deed; what others left is told as a finding."""
        return ()

    async def settle(self, subject: str) -> None:
        """Do nothing: nothing is left without a deed."""

    def changed(self) -> None:
        """Look again before the next action."""
        self._glanced = None

    async def look(self) -> Pool:
        """Return the pool as it is now."""
        async with self._looking:
            self._glanced = await self.sight.look()
            return self._glanced

    async def blockers(self, action: Action, under_way: Sequence[Action]) -> list[Blocker]:
        """Return why an action must not be done, with what others under way will take."""
        if not self.allow_changes:
            return [READ_ONLY]
        if type(action) in RECOVERING:
            return await self.recovery.blockers(action, under_way, self._glanced)
        seen = await self._cloudscape()
        found = list(blockers(seen, action, under_way))
        if isinstance(action, Place) and not found:
            found += await self._image(action)
        return found

    async def do(self, action: Action) -> AsyncGenerator[Progress, None]:
        """Do an action; yield how far it is. After an error, `mend` puts things right."""
        doing = self._doing(action)
        try:
            async with contextlib.aclosing(doing):
                async for progress in doing:
                    yield progress
        except (GeneratorExit, BillowError):
            self._given_up.add(action.id)
            raise
        finally:
            self.changed()

    async def mend(self, action: Action) -> bool:
        """Bring what an action left half-way to a clear state; return whether it is achieved.

        What this process gave up is taken back; what another one left goes on where it can.

        Raises:
            Unavailable, Lost: it cannot be said yet; try again.
        """
        if type(action) in RECOVERING:
            return await self.recovery.mend(action)
        keep = action.id not in self._given_up
        self._given_up.discard(action.id)
        if isinstance(action, Place):
            await take_back(self.nova, action)
        elif isinstance(action, Delete):
            await self._finish_delete(action)
        elif isinstance(action, Migrate | Resize | Start | Stop):
            await self._settle(action, keep=keep)
        pool = await steadfast(self.look)
        self.changed()
        return not unmet(pool, action.achieves)

    async def server(self, instance: str) -> str:
        """Return the id of an instance's server; empty when it has none."""
        if instance not in self.sight.servers:
            await self.look()
        return self._uuid(instance)

    def _uuid(self, instance: str) -> str:
        found = self.sight.servers.get(instance)
        return found.uuid if found else ""

    async def _cloudscape(self) -> Cloudscape:
        """Return what was seen, at most a second old and never older than the last action's end."""
        pool = self._glanced
        if pool is None or self.clock.now() - pool.taken_at > _FRESH_S:
            pool = await self.look()
        sight = self.sight
        known = sight.servers, sight.flavors, sight.services
        return Cloudscape(pool, *known, sight.view.held, sight.silent)

    async def _image(self, action: Place) -> list[Blocker]:
        try:
            await self.nova.image(action.instance.image)
        except NotFound:
            why = f"the cloud has no image {ascii(action.instance.image)[:100]}"
            return [Blocker(why, "openstack image list shows those that it has")]
        return []

    def _doing(self, action: Action) -> AsyncGenerator[Progress, None]:
        match action:
            case Place():
                return self._place(action)
            case Cordon() | Uncordon():
                return self._switch(action)
            case Evacuate() | Fence() | PowerOn() | PowerOff() | Repair():
                return self.recovery.do(action)
            case Migrate() | Resize() | Start() | Stop() | Delete():
                return self._on_server(action)
            case _:
                raise Bug(f"the engine accepted {action.name}, which it cannot do")

    def _on_server(
        self, action: Migrate | Resize | Start | Stop | Delete
    ) -> AsyncGenerator[Progress, None]:
        match action:
            case Migrate():
                return self._migrate(action)
            case Resize():
                return self._resize(action)
            case Start():
                return self._turn(action, _STARTS, "ACTIVE")
            case Stop():
                return self._turn(action, _STOPS, "SHUTOFF")
            case Delete():
                return self._delete(action)
            case _:
                assert_never(action)

    async def _place(self, action: Place) -> AsyncGenerator[Progress, None]:
        flavor = self.sight.flavors[action.instance.shape.name]
        wanted = Wanted(action=action, flavor=flavor, network=self.network)
        async for progress in place(self.nova, wanted):
            yield progress

    async def _migrate(self, action: Migrate) -> AsyncGenerator[Progress, None]:
        seen = await self._there(action.instance)
        async for progress in self._carry(seen, action.target):
            yield progress

    def _carry(self, seen: Seen, target: str) -> AsyncGenerator[Progress, None]:
        """Move a server: live when it runs, else cold."""
        way = move.cold if seen.status == "SHUTOFF" else move.live
        return move.carry(self.nova, way(seen.uuid, seen.name, target), self.terms)

    async def _resize(self, action: Resize) -> AsyncGenerator[Progress, None]:
        """Give another flavor; Nova chooses the host for that, so that it may have to go back."""
        seen = await self._there(action.instance)
        order_ = move.resize(seen.uuid, seen.name, self.sight.flavors[action.new.name])
        async for progress in move.carry(self.nova, order_, self.terms):
            yield replace(progress, fraction=progress.fraction / 2)
        async for progress in self._bring_home(action):
            yield replace(progress, fraction=0.5 + progress.fraction / 2)
        yield Progress(1.0, action.name, 0.0)

    async def _bring_home(self, action: Resize) -> AsyncGenerator[Progress, None]:
        """Bring a server back to the host that Nova took it from to resize it."""
        seen = await self._there(action.instance)
        if seen.host != action.host:
            async for progress in self._carry(seen, action.host):
                yield progress

    async def _turn(
        self, action: Start | Stop, calls: Mapping[str, str], goal: str
    ) -> AsyncGenerator[Progress, None]:
        """Order what leads from a server's status to another one, until it is there."""
        sent: set[str] = set()
        yield Progress(0.0, action.name)
        async for waited in looks():
            seen = await self._there(action.instance)
            if seen.rests and seen.status == goal:
                break
            call = calls.get(seen.status, "")
            brief = f"Nova could not {action.name} {action.instance}"
            if seen.status == "ERROR" or (seen.rests and (call in sent or not call)):
                raise await failure(self.nova, brief, seen, _CALLED.get(call, call))
            if waited > _TURNED_S:
                raise Refused(f"{brief} within {waited:.0f} s", code="slow")
            if seen.rests:
                sent.add(call)
                await self._order(seen, call, brief)
        yield Progress(1.0, action.name, 0.0)

    async def _order(self, seen: Seen, call: str, brief: str) -> None:
        async def taken() -> bool:
            now = await self.nova.server(seen.uuid)
            return now is None or bool(now.task) or now.status != seen.status

        try:
            await order(lambda: self.nova.act(seen.uuid, call), taken)
        except Unavailable:
            raise
        except BillowError as error:
            raise refused(brief, error) from error

    async def _delete(self, action: Delete) -> AsyncGenerator[Progress, None]:
        yield Progress(0.0, "deleting")
        await remove(self.nova, (await self._there(action.instance)).uuid)
        yield Progress(1.0, "deleted", 0.0)

    async def _switch(self, action: Cordon | Uncordon) -> AsyncGenerator[Progress, None]:
        """Close or open a host's compute service; an order that was lost is given again."""
        fields = {"status": "enabled"}
        if isinstance(action, Cordon):
            fields = {"status": "disabled", "disabled_reason": action.why}
        service = self.sight.services[action.host]
        try:
            await steadfast(lambda: self.nova.set_service(service, **fields), INSIST_S)
        except Unavailable:
            raise
        except BillowError as error:
            raise refused(f"Nova does not {action.name} {action.host}", error) from error
        yield Progress(1.0, action.name, 0.0)

    async def _finish_delete(self, action: Delete) -> None:
        """Wait for a deletion that was ordered; one that was not is left."""
        seen = await self._known(action.instance)
        if seen is not None and seen.task == "deleting":
            await remove(self.nova, seen.uuid)

    async def _settle(self, action: Migrate | Resize | Start | Stop, *, keep: bool) -> None:
        """Wait until Nova does nothing with a server any more, and see that it is at home."""
        seen = await self._known(action.instance)
        if seen is None:
            return
        await move.settle(self.nova, seen.uuid, keep=keep, live=isinstance(action, Migrate))
        if isinstance(action, Resize):
            pool = await steadfast(self.look)
            if not unmet(pool, action.achieves):
                async for _ in self._bring_home(action):
                    continue

    async def _known(self, instance: str) -> Seen | None:
        """Return a server as it is now, looked for anew; None when there is none."""
        await steadfast(self.look)
        uuid = self._uuid(instance)
        return await steadfast(lambda: self.nova.server(uuid)) if uuid else None

    async def _there(self, instance: str) -> Seen:
        uuid = self._uuid(instance)
        seen = await steadfast(lambda: self.nova.server(uuid)) if uuid else None
        if seen is None:
            raise Refused(f"there is no server {instance}", code="not-there")
        return seen
