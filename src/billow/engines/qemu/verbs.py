# SPDX-License-Identifier: Apache-2.0
"""How each verb is done on this machine, and how one that somebody left is brought to an end.

Every verb writes down what it is about to do before it does it, so that `mend` can go on from any
instant.
"""

import os
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from billow.act.durable import make_folder
from billow.act.premise import unmet
from billow.engines.qemu import linux
from billow.engines.qemu.disk import disk_of
from billow.engines.qemu.evacuate import evacuate, finish
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.images import FIRMWARE, LINUX, Catalogue
from billow.engines.qemu.lifecycle import boot, destroy, regulate, stop
from billow.engines.qemu.linux import LinuxGuest
from billow.engines.qemu.machine import Disk
from billow.engines.qemu.migration.move import move
from billow.engines.qemu.migration.order import PAST_RECALL, Order
from billow.engines.qemu.monitor import talk
from billow.engines.qemu.obstacles import Obstacles
from billow.engines.qemu.process import alive, kill
from billow.engines.qemu.record import InstanceRecord, Resident, Role, Stage
from billow.engines.qemu.seed import seed
from billow.engines.qemu.settle import settle, unclear
from billow.engines.qemu.sight import Sight
from billow.engines.qemu.translate import cpus_of, record_of
from billow.errors import Bug, Refused
from billow.firmware.image import unpack
from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
)
from billow.model.kinds import Power, State
from billow.model.run import Progress
from billow.ports import Blocker, Clock

VERBS: frozenset[type[Action]] = frozenset(
    {
        *(Place, Migrate, Start, Stop, Delete, Resize, Throttle, Suspend, Resume),
        *(Allot, Cordon, Uncordon, PowerOn, PowerOff, Fence, Evacuate),
    }
)
RESIZE_GRACE_S = 30.0


@dataclass(frozen=True, slots=True)
class QemuCraft:
    """What the verbs work with; fulfils `billow.act.performer.Craft`."""

    ground: Ground
    catalogue: Catalogue
    sight: Sight
    clock: Clock
    obstacles: Obstacles

    @property
    def past_recall(self) -> frozenset[str]:
        """Phases of a move from which on it can no longer be called off."""
        return PAST_RECALL

    def changed(self) -> None:
        """Look again before the next action."""
        self.obstacles.look_again()

    def left(self) -> list[str]:
        """Return the instances that somebody left half-way."""
        return [f"instance/{name}" for name in unclear(self.ground.ledger)]

    async def settle(self, subject: str) -> None:
        """Bring an instance to a clear state. Raises BillowError: it cannot be done yet."""
        await settle(self.ground, subject.partition("/")[2])

    async def blockers(self, action: Action, under_way: Sequence[Action]) -> Sequence[Blocker]:
        """Return why an action must not be done, with what others under way will take."""
        return await self.obstacles.of(action, under_way)

    def do(self, action: Action) -> AsyncGenerator[Progress, None]:
        """Do an action; yield how far it is. After an error, `mend` puts things right."""
        match action:
            case Place():
                return self._place(action)
            case Migrate():
                return self._migrate(action)
            case Evacuate():
                return evacuate(self.ground, action)
            case Resize():
                return self._resize(action)
            case Start() | Stop() | Delete() | Throttle() | Suspend() | Resume():
                return self._on_instance(action)
            case _:
                return self._on_host(action)

    async def mend(self, action: Action) -> bool:
        """Bring what an action left half-way to a clear state; return whether it is achieved.

        Raises:
            BillowError: it cannot be said yet; try again.
        """
        if isinstance(action, Evacuate):
            return await finish(self.ground, action)
        kind, _, name = action.subject.partition("/")
        if kind == "instance":
            await settle(self.ground, name)
        if isinstance(action, Resize):
            await self._run_again(name)
        if isinstance(action, Fence) and self.ground.ledger.host(action.host).power is Power.OFF:
            await self._end_all(action.host)
        return not unmet(self.sight.pool(self.clock.now()), action.achieves)

    async def _place(self, action: Place) -> AsyncGenerator[Progress, None]:
        name, ledger = action.instance.id, self.ground.ledger
        yield Progress(0.0, "preparing")
        image = action.instance.image or FIRMWARE
        environment = dict(os.environ)
        guest: LinuxGuest | None = None
        if image == LINUX:
            guest = await linux.prepare(ledger.folder.cache, environment)
        record = self._enrol(action, guest)
        if record.machine.has_disk:
            await self._make_disk(record, action.host, image)
        resident = Resident(role=Role.HOME, wanted=State.RUNNING, nodes=action.nodes)
        ledger.save_resident(action.host, name, resident)
        yield Progress(0.5, "starting")
        await boot(self.ground, record.machine, action.host)
        ledger.save_instance(replace(record, stage=Stage.READY))
        yield Progress(1.0, "running", 0.0)

    def _enrol(self, action: Place, guest: LinuxGuest | None) -> InstanceRecord:
        """Write a new instance down, with an address that nobody else has."""
        ledger = self.ground.ledger
        records = ledger.survey().records.values()
        cards = (record.machine.card for record in records if record)
        taken = [card.address for card in cards if card]
        firmware = unpack(ledger.folder.cache)
        record = record_of(
            action, self.ground.findings, guest, firmware, taken, self.ground.cpu_model
        )
        ledger.save_instance(record)
        return record

    async def _make_disk(self, record: InstanceRecord, host: str, name: str) -> None:
        machine, folder = record.machine, self.ground.ledger.folder
        disk = disk_of(folder, machine, host)
        make_folder(disk.parent)
        if not isinstance(machine.boot, Disk):
            await self.catalogue.empty(disk)
            return
        image = await self.catalogue.find(name)
        await self.catalogue.overlay(image, disk)
        folder.volume(machine.instance).seed.write_bytes(seed(machine, image.user_data))

    async def _migrate(self, action: Migrate) -> AsyncGenerator[Progress, None]:
        name, ledger = action.instance, self.ground.ledger
        record, resident = self._known(name, action.source)
        if action.source == action.target:
            ledger.save_resident(action.source, name, replace(resident, nodes=action.target_nodes))
            return
        terms = self.ground.terms
        order = Order(
            number=action.id,
            machine=record.machine,
            source=action.source,
            target=action.target,
            nodes=action.target_nodes,
            policy=action.policy or record.description.migration,
            downtime_s=terms.downtime_s if action.downtime_s is None else action.downtime_s,
        )
        async for progress in move(self.ground, order):
            yield progress

    def _on_instance(
        self, action: Start | Stop | Delete | Throttle | Suspend | Resume
    ) -> AsyncGenerator[Progress, None]:
        match action:
            case Throttle():
                return self._throttle(action)
            case Suspend() | Resume():
                return self._pause(action)
            case Start():
                return self._start(action)
            case Stop():
                return self._stop(action)
            case Delete():
                return self._delete(action)
            case _:
                assert_never(action)

    async def _start(self, action: Start) -> AsyncGenerator[Progress, None]:
        name, ledger = action.instance, self.ground.ledger
        record, resident = self._known(name, action.host)
        if alive(ledger.folder.residence(action.host, name)):
            if resident.wanted is State.PAUSED:
                ledger.save_resident(action.host, name, replace(resident, wanted=State.RUNNING))
                await settle(self.ground, name)
            return
        yield Progress(0.0, "starting")
        ledger.save_resident(action.host, name, replace(resident, wanted=State.RUNNING))
        try:
            await boot(self.ground, record.machine, action.host)
        except Refused:
            ledger.save_resident(action.host, name, resident)
            raise

    async def _stop(self, action: Stop) -> AsyncGenerator[Progress, None]:
        name, ledger = action.instance, self.ground.ledger
        record, resident = self._known(name, action.host)
        yield Progress(0.0, "stopping", action.grace_s)
        if resident.wanted is State.PAUSED:
            await self._let_go_on(action.host, name)
        orderly = await stop(self.ground, record.machine, action.host, action.grace_s)
        ledger.save_resident(action.host, name, replace(resident, wanted=State.STOPPED))
        yield Progress(1.0, "stopped" if orderly else "power cut", 0.0)

    async def _let_go_on(self, host: str, name: str) -> None:
        """Let a suspended guest run, so that it sees its power button."""
        residence = self.ground.ledger.folder.residence(host, name)
        if alive(residence):
            async with talk(residence.socket) as monitor:
                await monitor.execute("cont")

    async def _throttle(self, action: Throttle) -> AsyncGenerator[Progress, None]:
        """Write a limit down and hold the process to it, if there is one."""
        record, _ = self._known(action.instance, action.host)
        described = replace(record.description, cpu_limit_milli=action.cpu_limit_milli)
        self.ground.ledger.save_instance(replace(record, description=described))
        regulate(self.ground, action.instance, action.host)
        yield Progress(1.0, action.name, 0.0)

    async def _pause(self, action: Suspend | Resume) -> AsyncGenerator[Progress, None]:
        """Write down whether a guest shall run, and see to it."""
        _, resident = self._known(action.instance, action.host)
        wanted = State.PAUSED if isinstance(action, Suspend) else State.RUNNING
        resident = replace(resident, wanted=wanted)
        self.ground.ledger.save_resident(action.host, action.instance, resident)
        await settle(self.ground, action.instance)
        yield Progress(1.0, action.name, 0.0)

    async def _delete(self, action: Delete) -> AsyncGenerator[Progress, None]:
        record, _ = self._known(action.instance, action.host)
        yield Progress(0.0, "deleting")
        await destroy(self.ground, record)

    async def _resize(self, action: Resize) -> AsyncGenerator[Progress, None]:
        """Change the shape; a machine that runs is stopped for it and started again."""
        name, ledger = action.instance, self.ground.ledger
        record, resident = self._known(name, action.host)
        runs = alive(ledger.folder.residence(action.host, name))
        if runs:
            yield Progress(0.1, "stopping", RESIZE_GRACE_S)
            await stop(self.ground, record.machine, action.host, RESIZE_GRACE_S)
        machine = replace(
            record.machine, cpus=cpus_of(action.new), memory_mib=action.new.memory_mib
        )
        described = replace(record.description, shape=action.new)
        ledger.save_resident(action.host, name, replace(resident, nodes=action.nodes))
        ledger.save_instance(replace(record, machine=machine, description=described))
        if runs:
            yield Progress(0.8, "starting")
            await boot(self.ground, machine, action.host)

    async def _on_host(self, action: Action) -> AsyncGenerator[Progress, None]:
        ledger = self.ground.ledger
        host = action.hosts[0]
        record = ledger.host(host)
        match action:
            case Cordon():
                ledger.save_host(host, replace(record, cordon=action.why))
            case Uncordon():
                ledger.save_host(host, replace(record, cordon=""))
            case Allot():
                cpu, memory = action.cpu_ratio, action.memory_ratio
                ledger.save_host(host, replace(record, cpu_ratio=cpu, memory_ratio=memory))
            case PowerOn():
                ledger.save_host(host, replace(record, power=Power.ON))
            case PowerOff():
                ledger.save_host(host, replace(record, power=Power.OFF))
            case Fence():
                ledger.save_host(host, replace(record, power=Power.OFF))
                await self._end_all(host)
            case _:
                raise Bug(f"the engine accepted {action.name}, which it cannot do")
        yield Progress(1.0, action.name, 0.0)

    async def _end_all(self, host: str) -> None:
        """End every process of a host at once; what ran has failed, and is to run again."""
        ledger = self.ground.ledger
        for name in ledger.guests(host):
            await kill(ledger.folder.residence(host, name))

    async def _run_again(self, name: str) -> None:
        """Start an instance that shall run and was stopped only to be resized."""
        ledger = self.ground.ledger
        record, home = ledger.instance(name), ledger.home(name)
        if record is None or home is None or home[1].wanted is not State.RUNNING:
            return
        if not alive(ledger.folder.residence(home[0], name)):
            await boot(self.ground, record.machine, home[0])

    def _known(self, name: str, host: str) -> tuple[InstanceRecord, Resident]:
        record = self.ground.ledger.instance(name)
        resident = self.ground.ledger.resident(host, name)
        if record is None or resident is None:
            raise Refused(f"there is no instance {name} on {host}", code="not-there")
        return record, resident
