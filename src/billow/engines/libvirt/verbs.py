# SPDX-License-Identifier: Apache-2.0
"""How each verb is done by libvirt, and how one that somebody left is brought to an end.

Every verb writes into the machine's own definition what it is about to do before it does it, where
more than one call of libvirt is needed, so that `mend` can go on from any instant.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from billow.act.premise import unmet
from billow.act.terms import Terms
from billow.engines.libvirt.cpu import is_amd
from billow.engines.libvirt.disks import hindrances, leave, misplaced, travels
from billow.engines.libvirt.fleet import Fleet
from billow.engines.libvirt.line import Fault
from billow.engines.libvirt.machine import NAMESPACE, PREFIX, Description, Machine, Stage
from billow.engines.libvirt.migration import PAST_RECALL, Order, move
from billow.engines.libvirt.records import Records
from billow.engines.libvirt.rules import blockers
from billow.engines.libvirt.sight import Sight, Sighting
from billow.engines.libvirt.storage import Shelf
from billow.engines.libvirt.takeback import settle
from billow.engines.libvirt.translate import (
    FIRMWARE,
    cpus_of,
    definition,
    element_of,
    identity,
    machine_of,
    resized,
)
from billow.engines.libvirt.wire import Api
from billow.engines.libvirt.words import Domain, DomainState, Error
from billow.errors import Bug, NotFound, Refused
from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Migrate,
    Place,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Uncordon,
)
from billow.model.kinds import MigrationPolicy, State
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker, Clock

VERBS: frozenset[type[Action]] = frozenset(
    {Place, Migrate, Start, Stop, Delete, Resize, Suspend, Resume, Allot, Cordon, Uncordon}
)
RESIZE_GRACE_S: Final = 30.0
BUTTON_EVERY_S: Final = 3.0
_BLINK_S: Final = 0.05
_LOOK_EVERY_S: Final = 0.05
_OFF: Final = (DomainState.SHUTOFF, DomainState.CRASHED)


@dataclass(slots=True)
class LibvirtCraft:
    """What the verbs work with; fulfils `billow.act.performer.Craft`.

    Attributes:
        network: Of instances with an operating system: a libvirt network, `bridge:NAME`, or none.
        carried: What the last move between two hosts carried, MiB/s.
    """

    fleet: Fleet
    records: Records
    sight: Sight
    shelf: Shelf
    terms: Terms
    clock: Clock
    network: str = ""
    carried: dict[tuple[str, str], float] = field(default_factory=dict)
    _glanced: Pool | None = None
    _glancing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def past_recall(self) -> frozenset[str]:
        """Phases of a move from which on it can no longer be called off."""
        return PAST_RECALL

    def left(self) -> Collection[str]:
        """Nothing: what is left half-way has a deed, and libvirt's hosts say the rest."""
        return ()

    async def settle(self, subject: str) -> None:
        """Do nothing: nothing is left without a deed."""

    def changed(self) -> None:
        """Look again before the next action."""
        self._glanced = None

    async def look(self) -> Pool:
        """Return the pool as it is now."""
        async with self._glancing:
            self._glanced = await self.sight.pool()
            return self._glanced

    async def blockers(self, action: Action, under_way: Sequence[Action]) -> list[Blocker]:
        """Return why an action must not be done, with what others under way will take."""
        glanced = self._glanced
        if glanced is None or self.clock.now() - glanced.taken_at > _BLINK_S:
            glanced = await self.look()
        found = list(blockers(glanced, self.sight.found, action, under_way))
        return found or [each async for each in self._asked(action)]

    async def do(self, action: Action) -> AsyncGenerator[Progress, None]:
        """Do an action; yield how far it is. After an error, `mend` puts things right."""
        try:
            match action:
                case Place():
                    doing = self._place(action)
                case Migrate():
                    doing = self._migrate(action)
                case Resize():
                    doing = self._resize(action)
                case Stop():
                    doing = self._stop(action)
                case Start() | Delete() | Suspend() | Resume():
                    doing = self._on_instance(action)
                case _:
                    doing = self._on_host(action)
            async with contextlib.aclosing(doing):
                async for progress in doing:
                    yield progress
        finally:
            self._glanced = None

    async def mend(self, action: Action) -> bool:
        """Bring what an action left half-way to a clear state; return whether it is achieved."""
        if isinstance(action, Place):
            await self._take_back(action)
        await self.look()
        there = self.sight.found.get(action.subject.partition("/")[2])
        if there is not None and there.machine.description is not None:
            await self._go_on(there, there.machine.description)
        if isinstance(action, Migrate) and there is not None:
            ends = action.source, action.target
            await settle(self.fleet, self.records, there.machine.uuid, *ends)
            await self.look()
            there = self.sight.found.get(action.instance, there)
            for host in {*ends} - {there.host}:
                await leave(there, host, self.fleet, self.shelf)
        pool = await self.look()
        self._glanced = None
        return not unmet(pool, action.achieves)

    async def _asked(self, action: Action) -> AsyncGenerator[Blocker, None]:
        """Yield what only the hosts and their storage can say."""
        if isinstance(action, Place):
            for blocker in misplaced(action.instance, self.shelf):
                yield blocker
        if isinstance(action, Place) and action.instance.image not in {"", FIRMWARE}:
            try:
                api = await self.fleet.api(action.host)
                await self.shelf.image(api, action.instance.image)
            except (NotFound, Refused) as error:
                yield Blocker(error.brief, error.fix)
        if isinstance(action, Stop | Resize):
            there = self._there(action.instance, action.host)
            api = await self.fleet.api(there.host)
            if any(each.uuid == there.domain.uuid for each in await api.domains(transient=True)):
                yield Blocker(
                    f"instance {action.instance} is transient: it is gone when it stops",
                    "define it in libvirt first (virsh dumpxml, virsh define)",
                )
        if isinstance(action, Migrate):
            why = self.fleet.unreachable(action.target)
            if why:
                yield Blocker(why, "set libvirt_peer_uri, such as qemu+tls://{host}/system")
            there = self._there(action.instance, action.source)
            async for blocker in hindrances(there, action.target, self.fleet, self.shelf):
                yield blocker

    async def _place(self, action: Place) -> AsyncGenerator[Progress, None]:
        wanted, host = action.instance, action.host
        yield Progress(0.0, "preparing")
        api = await self.fleet.api(host)
        plain = wanted.image in {"", FIRMWARE}
        volume = "" if plain else _volume_of(action)
        described = Description(
            instance=replace(wanted, host="", state=State.REQUESTED, nodes=()),
            group=action.group,
            stage=Stage.CREATING,
            volumes=(volume,) if volume else (),
        )
        firmware = await self.shelf.put_firmware(api, host) if plain else ""
        disks = () if plain else ((await self.shelf.make_disk(api, volume, wanted.image)).key,)
        record = self.records.host(host)
        machine = Machine(
            name=wanted.id,
            uuid=str(identity(action.id, wanted.id)),
            vcpus=cpus_of(wanted.shape),
            memory_mib=wanted.shape.memory_mib,
            kvm=record.kvm,
            description=described,
            disks=disks,
            ring=record.kvm,
            amd=is_amd(record.cpu_model),
        )
        domain = await api.define(definition(machine, firmware=firmware, network=self.network))
        yield Progress(0.5, "starting")
        await api.start(domain)
        await self._describe(api, domain, replace(described, stage=Stage.READY), runs=True)
        yield Progress(1.0, "running", 0.0)

    async def _take_back(self, action: Place) -> None:
        """Remove what a placement left that was not finished."""
        api = await self.fleet.api(action.host)
        domain = await api.find(identity(action.id, action.instance.id).bytes)
        if domain is None:
            if action.instance.image not in {"", FIRMWARE}:
                await self.shelf.remove(api, _volume_of(action))
            return
        described = machine_of(await api.xml(domain)).description
        if described is not None and described.stage is Stage.CREATING:
            await self._remove(api, domain, described)

    async def _migrate(self, action: Migrate) -> AsyncGenerator[Progress, None]:
        there = self._there(action.instance, action.source)
        described = there.machine.description
        usual = described.instance.migration if described else MigrationPolicy.BALANCED
        promise = self.terms.downtime_s if action.downtime_s is None else action.downtime_s
        order = Order(
            there=there,
            target=action.target,
            policy=action.policy or usual,
            downtime_s=promise,
            terms=self.terms,
            copies_disks=travels(there, self.shelf),
        )
        if described is not None and described.instance.image in {"", FIRMWARE}:
            await self.shelf.put_firmware(await self.fleet.api(action.target), action.target)
        moving = move(self.fleet, self.records, order)
        async with contextlib.aclosing(moving):
            async for progress in moving:
                if progress.flow is not None and progress.flow.rate_mib_s > 0:
                    self.carried[action.source, action.target] = progress.flow.rate_mib_s
                yield progress
        await leave(there, action.source, self.fleet, self.shelf)
        self.records.forget_limit(there.machine.uuid)  # they ended with the source's process
        self.sight.forget(there.domain.uuid)

    async def _on_instance(
        self, action: Start | Delete | Suspend | Resume
    ) -> AsyncGenerator[Progress, None]:
        there = self._there(action.instance, action.host)
        api = await self.fleet.api(action.host)
        yield Progress(0.0, action.name)
        state, _ = await api.state(there.domain)
        match action:
            case Start() | Resume() if state is DomainState.PAUSED:
                await api.resume(there.domain)
            case Start() if state in _OFF:
                await api.start(there.domain)
            case Suspend() if state is not DomainState.PAUSED:
                await api.suspend(there.domain)
            case Delete():
                described = there.machine.description
                if described is None:
                    raise Refused(f"{action.instance} was not made by Billow", code="foreign")
                leaving = replace(described, stage=Stage.DELETING)
                await self._describe(api, there.domain, leaving, runs=state not in _OFF)
                await self._remove(api, there.domain, leaving)
        yield Progress(1.0, action.name, 0.0)

    async def _stop(self, action: Stop) -> AsyncGenerator[Progress, None]:
        there = self._there(action.instance, action.host)
        api = await self.fleet.api(action.host)
        yield Progress(0.0, "stopping", action.grace_s)
        orderly = await _switch_off(api, there.domain, action.grace_s)
        yield Progress(1.0, "stopped" if orderly else "power cut", 0.0)

    async def _resize(self, action: Resize) -> AsyncGenerator[Progress, None]:
        """Change the shape; a machine that runs is stopped for it and started again."""
        there = self._there(action.instance, action.host)
        described = there.machine.description
        if described is None:
            raise Refused(f"{action.instance} was not made by Billow", code="foreign")
        api, domain = await self.fleet.api(action.host), there.domain
        runs = (await api.state(domain))[0] not in _OFF
        resizing = replace(described, stage=Stage.RESIZING) if runs else described
        if runs:
            yield Progress(0.1, "stopping", RESIZE_GRACE_S)
            await self._describe(api, domain, resizing, runs=True)
            await _switch_off(api, domain, RESIZE_GRACE_S)
        larger = replace(resizing, instance=replace(described.instance, shape=action.new))
        domain = await api.define(resized(await api.xml(domain, inactive=True), action.new, larger))
        self.sight.forget(domain.uuid)
        if runs:
            yield Progress(0.8, "starting")
            await api.start(domain)
            await self._describe(api, domain, replace(larger, stage=Stage.READY), runs=True)
        yield Progress(1.0, action.name, 0.0)

    async def _go_on(self, there: Sighting, described: Description) -> None:
        """Bring what a machine's own definition says is half-way to its end."""
        api = await self.fleet.api(there.host)
        match described.stage:
            case Stage.DELETING:
                await self._remove(api, there.domain, described)
            case Stage.RESIZING:
                if (await api.state(there.domain))[0] in _OFF:
                    await api.start(there.domain)
                ready = replace(described, stage=Stage.READY)
                await self._describe(api, there.domain, ready, runs=True)

    async def _on_host(self, action: Action) -> AsyncGenerator[Progress, None]:
        host = action.hosts[0]
        record = self.records.host(host)
        match action:
            case Cordon():
                record = replace(record, cordon=action.why)
            case Uncordon():
                record = replace(record, cordon="")
            case Allot():
                cpu, memory = action.cpu_ratio, action.memory_ratio
                record = replace(record, cpu_ratio=cpu, memory_ratio=memory)
            case _:
                raise Bug(f"the engine accepted {action.name}, which it cannot do")
        self.records.save_host(host, record)
        yield Progress(1.0, action.name, 0.0)

    async def _describe(
        self, api: Api, domain: Domain, described: Description, *, runs: bool
    ) -> None:
        """Write into a machine's definition what Billow knows of it."""
        self.sight.forget(domain.uuid)
        await api.describe(domain, element_of(described), PREFIX, NAMESPACE, runs=runs)
        self.sight.forget(domain.uuid)

    async def _remove(self, api: Api, domain: Domain, described: Description) -> None:
        """Remove a machine and the files that were made for it. Repeatable."""
        with contextlib.suppress(Fault):
            await api.destroy(domain)
        for name in described.volumes:
            await self.shelf.remove(api, name)
        try:
            await api.undefine(domain)
        except Fault as fault:
            if fault.number != Error.NO_DOMAIN:
                raise
        self.sight.forget(domain.uuid)

    def _there(self, name: str, host: str) -> Sighting:
        there = self.sight.found.get(name)
        if there is None or there.host != host:
            raise Refused(f"there is no instance {name} on {host}", code="not-there")
        return there


def _volume_of(action: Place) -> str:
    """Return the name of the disk that a placement makes: the same each time it is tried."""
    return f"billow-{action.instance.id}-{identity(action.id, action.instance.id).hex[:8]}.qcow2"


async def _switch_off(api: Api, domain: Domain, grace_s: float) -> bool:
    """Press the power button; cut the power when time is up. Return whether it went by itself."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            while (await api.state(domain))[0] not in _OFF:
                await _press(api, domain)
                if await _is_off(api, domain, BUTTON_EVERY_S):
                    return True
    if (await api.state(domain))[0] in _OFF:
        return True
    await api.destroy(domain)
    return False


async def _press(api: Api, domain: Domain) -> None:
    """Let a suspended guest go on, so that it sees its button, and press that."""
    with contextlib.suppress(Fault):
        if (await api.state(domain))[0] is DomainState.PAUSED:
            await api.resume(domain)
        await api.press(domain)


async def _is_off(api: Api, domain: Domain, within_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while (await api.state(domain))[0] not in _OFF:  # noqa: ASYNC110  # on another host
                await asyncio.sleep(_LOOK_EVERY_S)
            return True
    return False
