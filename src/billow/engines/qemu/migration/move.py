# SPDX-License-Identifier: Apache-2.0
"""Move an instance to another host: live when it runs, by its record when it does not.

The target's guest is started by Billow and not by QEMU, and only after the source has said that it
handed everything over and the target has been written down as the home: so there is no instant at
which two copies run, whoever dies.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from qemu.qmp import EventListener

from billow.act import brakes
from billow.act.copied import Copied
from billow.engines.qemu import disk
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.lifecycle import hasten, leave, regulate, spawn
from billow.engines.qemu.migration.abilities import Ends, abilities, switch
from billow.engines.qemu.migration.channel import BANDWIDTH_BYTES_S, connect
from billow.engines.qemu.migration.copying import BANDWIDTH, Copying, allow
from billow.engines.qemu.migration.landing import Landing
from billow.engines.qemu.migration.limits import Limits, release
from billow.engines.qemu.migration.mirror import HALT_S, NEEDS, PHASE, Mirror, prepare
from billow.engines.qemu.migration.order import ARRIVED, Order, sleeps
from billow.engines.qemu.migration.postcopy import fetch
from billow.engines.qemu.migration.seal import Seal, explaining, seal, unseal
from billow.engines.qemu.migration.width import DELTAS, STREAMS, look, widen
from billow.engines.qemu.monitor import Monitor, talk
from billow.engines.qemu.process import alive
from billow.engines.qemu.record import Resident, Role
from billow.errors import Refused
from billow.model.run import Progress
from billow.plan.channel import Facts
from billow.plan.steering import Course, Steering, allowed_s, choose


async def move(ground: Ground, order: Order) -> AsyncIterator[Progress]:
    """Move an instance; yield how far it is. After an error, `settle` puts things right.

    Raises:
        BillowError: it did not work; what is where is in the records.
    """
    ledger, name = ground.ledger, order.machine.instance
    home = ledger.resident(order.source, name)
    if home is None:
        raise Refused(f"{name} is not on {order.source}", code="not-there")
    arrived = replace(home, role=Role.HOME, nodes=order.nodes, move=order.number, peer=order.source)
    leaving = replace(home, role=Role.SOURCE, move=order.number, peer=order.target)
    ledger.save_resident(order.source, name, leaving)
    if alive(ledger.folder.residence(order.source, name)):
        ledger.save_resident(order.target, name, replace(arrived, role=Role.TARGET))
        async with ground.moves:
            async for progress in _live(ground, order, arrived):
                yield progress
        regulate(ground, name, order.target)
    else:
        if order.machine.has_own_disk:
            ledger.save_resident(order.target, name, replace(arrived, role=Role.TARGET))
            async with ground.moves:
                async for progress in _cold(ground, order):
                    yield progress
        ledger.save_resident(order.target, name, arrived)
    await leave(ground, order.machine, order.source)


async def _cold(ground: Ground, order: Order) -> AsyncIterator[Progress]:
    """Copy the disk of an instance that has no process; nothing else of it is on its host."""
    folder = ground.ledger.folder
    here, there = (disk.disk_of(folder, order.machine, each) for each in order.ends)
    try:
        async for copied, whole in disk.copy(here, there):
            yield Progress(0.99 * copied / whole, PHASE, copied_mib=copied, total_mib=whole)
    except OSError as error:
        raise Refused(
            f"the disk of {order.machine.instance} cannot be copied to {order.target}",
            details=(error.strerror or str(error),),
            fix=f"make room on {order.target}, then move it again",
            code="move-failed",
        ) from error


async def _live(ground: Ground, order: Order, arrived: Resident) -> AsyncIterator[Progress]:
    folder, name = ground.ledger.folder, order.machine.instance
    yield Progress(0.0, "preparing")
    hasten(ground, order.machine, order.source)
    if order.machine.has_own_disk:
        await prepare(ground, order)
    looking = asyncio.create_task(look(ground, order))
    try:
        async with ground.starts:
            await spawn(ground, order.machine, order.target, incoming=True)
        facts = await looking
    finally:
        looking.cancel()
    yield Progress(0.0, "preparing")  # the last chance to be called off before anything flows
    async with (
        talk(folder.residence(order.source, name).socket) as source,
        talk(folder.residence(order.target, name).socket) as target,
    ):
        ends = await abilities(source, target, ring=order.machine.platform.dirty_ring > 0)
        mirror = Mirror(ground, order, source, target) if order.machine.has_own_disk else None
        course = choose(order.policy, ends.steering)
        passage = _Passage(ground, order, source, target, course, mirror, facts)
        with (
            source.events("STOP") as stopped,
            target.events("MIGRATION", "RESUME") as landed,
            explaining(folder.residence(order.target, name)),
        ):
            try:
                async for progress in passage.go(ends, arrived, stopped, landed):
                    yield progress
            except BaseException:
                if mirror is not None:
                    await mirror.cut()
                raise


@dataclass(frozen=True, slots=True)
class _Passage:
    """One live move, with both ends at the line."""

    ground: Ground
    order: Order
    source: Monitor
    target: Monitor
    course: Course
    mirror: Mirror | None
    facts: Facts

    async def go(
        self, ends: Ends, arrived: Resident, stopped: EventListener, landed: EventListener
    ) -> AsyncIterator[Progress]:
        """Send everything, let the guest run on the target, and yield how far it is."""
        sealed = await seal(self.ground, self.order, self.source, self.target)
        async for progress in self._disk(ends, sealed):
            yield progress
        course, why = await self._set_up(ends)
        copying = Copying(
            source=self.source,
            copied=Copied(Steering(course, self._promise_s), channel=why),
            terms=self.ground.terms,
            limits=await self._limits(),
            reckons=BANDWIDTH in ends.parameters,
            net=brakes.net(ends.parameters),
            at_halt=self.mirror.end if self.mirror else None,
        )
        await connect(self.ground, self.order, self.source, self.target)
        landing = Landing(
            target=self.target,
            home=self._home(arrived),
            wanted=arrived.wanted,
            stopped=stopped,
            landed=landed,
        )
        try:
            async for progress in copying.follow():
                yield await self._beside(progress)
        except BaseException:
            await copying.break_off()
            raise
        later = copying.status == "postcopy-active"
        await landing.land(later=later)
        last = landing.told(copying.copied.last)
        if later:
            rest = fetch(self.ground, self.order, self.source, self.target, last)
            async for progress in rest:
                yield self._whole(progress)
                last = progress
        await unseal(self.target)
        yield replace(self._whole(last), fraction=1.0, phase=ARRIVED, left_s=0.0)

    @property
    def _promise_s(self) -> float:
        """What the memory may take of the promised downtime; a disk has its part of it."""
        promise_s = self.order.downtime_s
        return max(promise_s - HALT_S, promise_s / 2) if self.mirror else promise_s

    async def _disk(self, ends: Ends, sealed: Seal) -> AsyncIterator[Progress]:
        """Bring both disks in step, where there are two; from here on they stay so."""
        if self.mirror is None:
            return
        if NEEDS not in ends.capabilities:
            raise Refused(
                "this QEMU cannot wait for a disk before it hands a guest over",
                details=(f"it does not know the capability {NEEDS}",),
                fix="stop the instance and move it then",
                code="move-failed",
            )
        await self.mirror.start(sealed)
        async for progress in self.mirror.follow():
            yield progress

    async def _beside(self, progress: Progress) -> Progress:
        """Return the progress with the disk counted in, which must still be in step."""
        if self.mirror is not None and self.mirror.running:
            await self.mirror.check()
        return self._whole(progress)

    def _whole(self, progress: Progress) -> Progress:
        return self.mirror.beside(progress) if self.mirror else progress

    def _home(self, arrived: Resident) -> Callable[[], None]:
        """Return what makes the target the home.

        The instant costs a wait for the disk only where the disk is the host's own: a power cut
        must not make an old disk the true one again. A shared disk is the same for both homes.
        """
        order, durable = self.order, self.mirror is not None
        prepared = self.ground.ledger.prepare_resident
        return prepared(order.target, order.machine.instance, arrived, durable=durable)

    async def _set_up(self, ends: Ends) -> tuple[Course, str]:
        """Tell both ends how it goes; return that, and why by such a channel."""
        if sleeps(self.order.machine, self.ground.findings.version):
            await self.source.execute("stop")
        wanted = {"events", brakes.capability(self.course, ends.parameters)}
        wanted |= {NEEDS} if self.mirror else set()
        wide = await widen(self.facts, ends, self.source, self.target)
        wanted |= {STREAMS} if wide.streams else set()
        wanted |= {DELTAS} if wide.kept_mib else set()
        course = replace(self.course, deltas=wide.kept_mib > 0)
        told = {"max-bandwidth": BANDWIDTH_BYTES_S, **brakes.throttle(course, ends.parameters)}
        told |= {BANDWIDTH: 0} if BANDWIDTH in ends.parameters else {}
        for monitor in (self.target, self.source):
            await switch(monitor, wanted, ends.capabilities)
        await self.source.execute("migrate-set-parameters", told)
        await allow(self.source, allowed_s(self._promise_s))
        return course, wide.why

    async def _limits(self) -> Limits | None:
        """Begin to watch what each vCPU writes, where that is possible and of use."""
        machine = self.order.machine
        residence = self.ground.ledger.folder.residence(self.order.source, machine.instance)
        await release(residence, self.source)
        if not self.course.watched:
            return None
        limits = Limits(residence, self.source, machine.cpus)
        await limits.watch(asyncio.get_running_loop().time())
        return limits
