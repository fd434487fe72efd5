# SPDX-License-Identifier: Apache-2.0
"""Start, stop and destroy the one process that a residence may hold."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Final

from billow.act.durable import write
from billow.engines.qemu.command import Site, command_line
from billow.engines.qemu.disk import disk_of
from billow.engines.qemu.folder import Residence
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.groups import Share
from billow.engines.qemu.machine import Machine, Wire
from billow.engines.qemu.monitor import listen, talk
from billow.engines.qemu.process import (
    alive,
    claimed,
    ended,
    gone,
    kill,
    last_words,
    launch,
    process_id,
)
from billow.engines.qemu.record import InstanceRecord, Stage
from billow.errors import BillowError, Refused, Unavailable

BUTTON_EVERY_S: Final = 2.0
"""A guest that still boots misses the power button; it is pressed again."""
_LOOK_EVERY_S: Final = 0.1


async def spawn(ground: Ground, machine: Machine, host: str, *, incoming: bool = False) -> None:
    """Start the process of a machine on a host; its guest does not run yet.

    Raises:
        Conflict: it has a process there.
        Unavailable: QEMU is not installed, or cannot be started.
    """
    if not ground.findings.version:
        missing = ground.findings.missing[0]
        raise Unavailable(f"{missing.what} is missing: {missing.effect}", fix=missing.fix)
    residence = ground.ledger.folder.residence(host, machine.instance)
    card = machine.card
    if card is not None and card.wire is Wire.TAP:
        await ground.network.add_tap(host, card.tap)
    enter = ground.groups.entering(host, machine.instance, machine.cpus)
    with claimed(residence) as lock, listen(residence.socket) as server:
        for mark in (residence.limits, residence.pressed):  # of the process that was here before
            mark.unlink(missing_ok=True)
        site = _site(ground, machine, host, server.fileno(), incoming=incoming)
        where = ground.network.namespace(host)
        command = (*enter, *command_line(machine, site))
        await launch(command, residence, (server.fileno(), lock), netns=where)


async def boot(ground: Ground, machine: Machine, host: str) -> None:
    """Start a machine on a host and let its guest run.

    Raises:
        Refused: the host is not its home, or QEMU did not take the machine; nothing runs there.
    """
    home = ground.ledger.home(machine.instance)
    if home is None or home[0] != host:
        where = home[0] if home else "nowhere"
        brief = f"the home of {machine.instance} is {where}, not {host}"
        raise Refused(brief, fix="start it where it is", code="not-home")
    async with ground.starts:
        await spawn(ground, machine, host)
        await cont(ground, machine, host)


def regulate(ground: Ground, name: str, host: str) -> None:
    """Give the process of an instance the CPU that its record says. Repeatable. Raises Refused."""
    residence = ground.ledger.folder.residence(host, name)
    record = ground.ledger.instance(name)
    if record is None or not alive(residence):
        return
    described = record.description
    share = Share(
        cpus=record.machine.cpus,
        service=described.service,
        limit_milli=described.cpu_limit_milli,
    )
    ground.groups.regulate(host, name, share, process_id(residence))


def hasten(ground: Ground, machine: Machine, host: str) -> None:
    """Lift what slows a process that must answer, or send its memory, until `regulate`."""
    residence = ground.ledger.folder.residence(host, machine.instance)
    if alive(residence):
        share = Share(cpus=machine.cpus)
        ground.groups.regulate(host, machine.instance, share, process_id(residence))


async def cont(ground: Ground, machine: Machine, host: str) -> None:
    """Let the guest of a started process run; end the process when that fails. Raises Refused."""
    residence = ground.ledger.folder.residence(host, machine.instance)
    try:
        async with talk(residence.socket) as monitor:
            await monitor.execute("cont")
        regulate(ground, machine.instance, host)
    except BillowError as error:
        await clear(ground, machine, host)
        raise Refused(
            f"QEMU did not start {machine.instance} on {host}",
            details=(*error.details, *last_words(residence)),
            fix="read what QEMU said; `billow doctor` tries this machine",
        ) from error


async def stop(ground: Ground, machine: Machine, host: str, grace_s: float) -> bool:
    """Press the power button; cut the power when time is up. Return whether it went by itself."""
    residence = ground.ledger.folder.residence(host, machine.instance)
    hasten(ground, machine, host)
    orderly = await _press(residence, grace_s) if alive(residence) else True
    if orderly:
        await ended(residence)
    await clear(ground, machine, host)
    return orderly


async def clear(ground: Ground, machine: Machine, host: str) -> None:
    """End the process of a machine on a host and what only it needed. Repeatable."""
    residence = ground.ledger.folder.residence(host, machine.instance)
    await kill(residence)
    residence.pid.unlink(missing_ok=True)
    residence.socket.unlink(missing_ok=True)
    residence.pressed.unlink(missing_ok=True)
    card = machine.card
    if card is not None and card.wire is Wire.TAP:
        await ground.network.remove_tap(host, card.tap)
    await ground.groups.remove(host, machine.instance)


async def leave(ground: Ground, machine: Machine, host: str) -> None:
    """End everything that a host has of an instance, its record included. Repeatable."""
    await clear(ground, machine, host)
    ground.ledger.forget_resident(host, machine.instance)


async def destroy(ground: Ground, record: InstanceRecord) -> None:
    """Remove an instance from every host and from the storage. Repeatable; there is no way back."""
    name = record.machine.instance
    ground.ledger.save_instance(replace(record, stage=Stage.DELETING))
    for host in ground.ledger.hosts_of(name):
        await leave(ground, record.machine, host)
    ground.ledger.forget_instance(name)


async def _press(residence: Residence, grace_s: float) -> bool:
    """Press until the guest ends; return whether it did in its time.

    A process that was pressed, also by a controller before, and then answers nobody is going.
    """
    pressed = residence.pressed.exists()
    write(residence.pressed, b"", durable=False)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_s):
            while alive(residence):
                try:
                    async with talk(residence.socket) as monitor:
                        if await monitor.power_down(BUTTON_EVERY_S):
                            return True
                    pressed = True
                except BillowError:
                    if pressed:
                        return True
                await gone(residence, _LOOK_EVERY_S)
    return not alive(residence)


def _site(ground: Ground, machine: Machine, host: str, qmp: int, *, incoming: bool) -> Site:
    folder = ground.ledger.folder
    residence, volume = folder.residence(host, machine.instance), folder.volume(machine.instance)
    return Site(
        binary=Path(ground.findings.qemu),
        qmp=qmp,
        cache=folder.cache,
        pid=residence.pid,
        serial=volume.serial,
        disk=disk_of(folder, machine, host),
        seed=volume.seed,
        orders=volume.orders,
        incoming=incoming,
        sandbox=ground.findings.sandbox,
    )
