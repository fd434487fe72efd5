# SPDX-License-Identifier: Apache-2.0
"""Management controllers as an engine: it powers hosts on and off and fences them, nothing else.

It is paired with the engine in which the pool lives. Its view of a host is hollow: power, and
nothing of what the host has. Controllers are slow and many, so what it shows of power may be a
minute old; what it does, it reads anew.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from pathlib import Path
from typing import Final

from billow.act.deed import Deeds
from billow.act.performer import Performer, Performing
from billow.act.power.controllers import Controllers
from billow.errors import BillowError, Refused
from billow.model.action import Action, Fence, PowerOff, PowerOn
from billow.model.group import Gap
from billow.model.host import Host, Node
from billow.model.kinds import Health, Power
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Clock

VERBS: Final[frozenset[type[Action]]] = frozenset({PowerOn, PowerOff, Fence})
HOLLOW: Final = (Node(0, 0),)
"""The NUMA nodes of a host of which only the power is seen."""
_OLD_S: Final = 60.0
_AT_ONCE: Final = 16
_PATIENCE_S: Final = 3.0


class PowerEngine(Performing):
    """Hosts by their management controllers; fulfils `billow.ports.Engine` and `Bmc`."""

    def __init__(self, name: str, controllers: Controllers, folder: Path, clock: Clock) -> None:
        """Keep what became of actions in a folder."""
        self._name = name
        self.controllers = controllers
        self._clock = clock
        self._craft = _Craft(controllers)
        self._performer = Performer(name, self._craft, Deeds(folder))
        self._refreshing: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)

    @property
    def name(self) -> str:
        """The engine's name in settings and messages."""
        return self._name

    @property
    def verbs(self) -> frozenset[type[Action]]:
        """What it can perform."""
        return VERBS

    async def sense(self) -> Pool:
        """Return the hosts' power as last read, at most a minute ago; who is silent is a gap."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        seen = self._craft.seen
        if seen.keys() < self.controllers.hosts:  # nothing waits for those who are known
            await asyncio.wait({self._refreshing}, timeout=_PATIENCE_S)
        hosts = [
            Host(name, HOLLOW, power=seen.get(name, _UNSEEN)[1], health=Health.UNKNOWN)
            for name in sorted(self.controllers.hosts)
        ]
        gaps = [Gap(f"host/{name}", why) for name, why in sorted(self._craft.silent.items())]
        return Pool.build(hosts, gaps=gaps, taken_at=self._clock.now())

    async def power(self, host: str) -> Power:
        """Return what its controller reads now. Raises as `billow.ports.Bmc` says."""
        began = self._clock.now()
        power = await self.controllers.power(host)
        self._craft.saw(host, power, began)
        return power

    async def off(self, host: str) -> str:
        """Turn a host off and prove it. Raises as `billow.ports.Bmc` says."""
        proof = await self.controllers.off(host)
        self._craft.saw(host, Power.OFF, self._clock.now())
        return proof

    async def on(self, host: str) -> None:
        """Let a host return and turn it on. Raises as `billow.ports.Bmc` says."""
        await self.controllers.on(host)
        self._craft.saw(host, Power.ON, self._clock.now())

    async def identity(self, host: str) -> str:
        """Return who its controller says that it is. Raises as `billow.ports.Bmc` says."""
        return await self.controllers.identity(host)

    async def learn(self, host: str, machine: str) -> None:
        """Keep which machine a host is. Raises as `billow.act.acquainted` says."""
        await self.controllers.learn(host, machine)

    async def rehearse(self, host: str) -> str:
        """Try every path to a host's controller. Raises as `billow.ports.Rehearsed` says."""
        return await self.controllers.rehearse(host)

    async def aclose(self) -> None:
        """Let go of connections; the hosts stay as they are."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await self._performer.aclose()
        await self.controllers.aclose()

    async def _refresh(self) -> None:
        """Read the power of those hosts whose last reading is old, a few at one time."""
        now, seen = self._clock.now(), self._craft.seen
        old = [
            name for name in self.controllers.hosts if now - seen.get(name, _UNSEEN)[0] >= _OLD_S
        ]
        await asyncio.gather(*(self._look(name) for name in old))

    async def _look(self, host: str) -> None:
        async with self._room:
            began = self._clock.now()
            try:
                power = await self.controllers.power(host)
            except BillowError as error:
                self._craft.missed(host, error.brief, began)
            else:
                self._craft.saw(host, power, began)


_UNSEEN: Final = (float("-inf"), Power.UNKNOWN)


class _Craft:
    """What is done to hosts, and their power as last read; fulfils `performer.Craft`."""

    def __init__(self, controllers: Controllers) -> None:
        self._controllers = controllers
        self.seen: dict[str, tuple[float, Power]] = {}
        self.silent: dict[str, str] = {}

    def saw(self, host: str, power: Power, at: float) -> None:
        """Take note of a reading, unless a newer one is known."""
        if at >= self.seen.get(host, _UNSEEN)[0]:
            self.seen[host] = (at, power)
            self.silent.pop(host, None)

    def missed(self, host: str, why: str, at: float) -> None:
        """Take note that a controller said nothing that counts."""
        if at >= self.seen.get(host, _UNSEEN)[0]:
            self.seen[host] = (at, Power.UNKNOWN)
            self.silent[host] = why

    async def do(self, action: Action) -> AsyncGenerator[Progress, None]:
        """Do an action. Raises what the controllers raise."""
        match action:
            case Fence(host=host):
                yield Progress(0.1, phase="off")
                await self._controllers.off(host)
                power = Power.OFF
            case PowerOff(host=host):
                yield Progress(0.1, phase="shutdown")
                if not await self._controllers.ask_off(host):
                    yield Progress(0.5, phase="off")
                    await self._controllers.cut(host)
                power = Power.OFF
            case PowerOn(host=host):
                yield Progress(0.1, phase="on")
                await self._controllers.on(host)
                power = Power.ON
            case _:
                raise Refused(f"a management controller cannot {action.name}")
        self.saw(host, power, self._controllers.now())

    async def mend(self, action: Action) -> bool:
        """Return whether an action that was left is achieved: its host's power tells.

        Raises:
            Unavailable: the controller does not answer now.
        """
        wanted = Power.ON if isinstance(action, PowerOn) else Power.OFF
        (host,) = action.hosts
        power = await self._controllers.power(host)
        self.saw(host, power, self._controllers.now())
        return power is wanted

    async def blockers(self, action: Action, under_way: Sequence[Action]) -> Sequence[Blocker]:
        """Return why an action must not be done."""
        if type(action) not in VERBS:
            return [Blocker(f"a management controller cannot {action.name}")]
        busy = [
            Blocker(f"host {each} is busy with {other.id}", "wait for it")
            for other in under_way
            for each in set(other.hosts) & set(action.hosts)
        ]
        unknown = [
            Blocker(f"no management controller of {each} is known", "add it to bmc.toml")
            for each in action.hosts
            if each not in self._controllers.hosts
        ]
        nameless = [
            Blocker(f"nobody has recorded which machine {each} is", "write its uuid into bmc.toml")
            for each in action.hosts
            if each in self._controllers.hosts and not self._controllers.recorded(each)
        ]
        return [*busy, *unknown, *nameless]

    @property
    def past_recall(self) -> frozenset[str]:
        """No phase: nothing here is a move."""
        return frozenset()

    def left(self) -> Collection[str]:
        """Nothing: what is left half-way has a deed, and the host's power says the rest."""
        return ()

    async def settle(self, subject: str) -> None:
        """Do nothing: nothing is left half-way here that has no deed."""

    def changed(self) -> None:
        """Do nothing: what was done was read."""
