# SPDX-License-Identifier: Apache-2.0
"""Bring an instance that was left half-way into one clear state.

It never guesses: the home is what the records say, a move is complete only if the source says
`postmigrate` or is gone and the target says that it has everything. Run it as often as you like; it
may itself be killed at any instant.
"""

import asyncio
import contextlib
from dataclasses import replace
from typing import Final

from billow.engines.qemu.folder import Residence
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.lifecycle import clear, destroy, hasten, leave, regulate
from billow.engines.qemu.machine import Machine
from billow.engines.qemu.migration.limits import release
from billow.engines.qemu.migration.mirror import undo
from billow.engines.qemu.migration.order import Order
from billow.engines.qemu.migration.postcopy import UNDER_WAY, finish, status_of
from billow.engines.qemu.migration.seal import unseal
from billow.engines.qemu.monitor import Monitor, talk
from billow.engines.qemu.process import alive, ended, gone, kill
from billow.engines.qemu.record import InstanceRecord, Resident, Role, Stage
from billow.errors import BillowError, Lost, Unavailable
from billow.model.kinds import State

CANCEL_S: Final = 20.0
FETCH_S: Final = 20.0
SILENT_S: Final = 5.0
"""A target that does not answer for so long is given up: the guest stands still meanwhile."""
ENDING_S: Final = 1.0
"""So long may a process take from its last word to its end."""
_LOOK_EVERY_S: Final = 0.02
_WAITING = frozenset({"inmigrate"})
_HANDED_OVER = "postmigrate"
_CAN_GO_ON = frozenset({"running", "paused", "prelaunch"})
_HALF_WAY = frozenset({"setup", "active", "device", "cancelling", "pre-switchover", "wait-unplug"})


def unclear(ledger: Ledger) -> set[str]:
    """Return the instances that somebody left half-way, or is at work on right now.

    One whose records cannot be read is left alone.
    """
    seen = ledger.survey()
    found = {name for name in seen.residents if name not in seen.records}
    for name, record in seen.records.items():
        roles = [resident.role for resident in seen.residents.get(name, {}).values()]
        if record is None or record.stage is not Stage.READY or roles != [Role.HOME]:
            found.add(name)
    for host, name in ledger.residences():
        stray = host not in seen.residents.get(name, {})  # its record is gone, its files are not
        if stray or ledger.is_limited(host, name):
            found.add(name)
    return found - seen.unreadable.keys()


async def settle(ground: Ground, name: str) -> None:
    """Make an instance clear: on one host, or gone. Nobody else may be at work on it.

    A process may end by itself while it is spoken to, as one whose power button was pressed does,
    and hang as it goes; then it is seen to its end, and all is looked at once more.

    Raises:
        BillowError: a process does not answer or does not end; try again.
    """
    living = _living(ground, name)
    try:
        await _settle(ground, name)
    except (Lost, Unavailable):
        for residence in living:
            if not await gone(residence, ENDING_S) and residence.pressed.exists():
                await ended(residence)
        if _living(ground, name) == living:
            raise
        await settle(ground, name)


def _living(ground: Ground, name: str) -> list[Residence]:
    folder = ground.ledger.folder
    there = (folder.residence(host, name) for host in ground.ledger.hosts_of(name))
    return [residence for residence in there if alive(residence)]


async def _settle(ground: Ground, name: str) -> None:
    record = ground.ledger.instance(name)
    if record is None:
        await _sweep(ground, name)
    elif record.stage is Stage.DELETING:
        await destroy(ground, record)
    elif record.stage is Stage.CREATING:
        await _settle_creation(ground, record)
    else:
        await _settle_move(ground, record.machine)


async def _sweep(ground: Ground, name: str) -> None:
    """Remove what is left of an instance that has no record any more, or never had one."""
    for host in ground.ledger.hosts_of(name):
        await kill(ground.ledger.folder.residence(host, name))
        ground.ledger.forget_resident(host, name)
    ground.ledger.forget_instance(name)


async def _settle_creation(ground: Ground, record: InstanceRecord) -> None:
    """Keep an instance that runs; what did not come that far never was."""
    name = record.machine.instance
    home = ground.ledger.home(name)
    if home is not None and await _runs(ground, name, home[0]):
        ground.ledger.save_instance(replace(record, stage=Stage.READY))
    else:
        await destroy(ground, record)


async def _runs(ground: Ground, name: str, host: str) -> bool:
    residence = ground.ledger.folder.residence(host, name)
    if alive(residence):
        with contextlib.suppress(BillowError):
            async with talk(residence.socket) as monitor:
                return await monitor.status() == "running"
    return False


async def _settle_move(ground: Ground, machine: Machine) -> None:
    residents = ground.ledger.residents(machine.instance)
    by_role = {resident.role: (host, resident) for host, resident in residents.items()}
    source, target = by_role.get(Role.SOURCE), by_role.get(Role.TARGET)
    home = by_role.get(Role.HOME)
    if home is None and source is not None:
        arrived = target is not None and await _arrived(ground, machine, source[0], target[0])
        home = target if arrived else source
        assert home is not None  # noqa: S101  # narrows the type: one of the two is there
        home = (home[0], replace(home[1], role=Role.HOME))
        ground.ledger.save_resident(home[0], machine.instance, home[1])
    if home is not None and source is not None and home[0] != source[0]:
        await _wake(ground, machine, *home)
        await _fetch(ground, machine, source[0], home[0])
    for host in ground.ledger.hosts_of(machine.instance):
        if home is None or host != home[0]:
            await leave(ground, machine, host)
    if home is not None:
        await _wake(ground, machine, *home)
        await _forget_move(ground.ledger.folder.residence(home[0], machine.instance))


async def _forget_move(residence: Residence) -> None:
    """Let a process forget what its last move was encrypted with."""
    if alive(residence):
        async with talk(residence.socket) as monitor:
            await unseal(monitor)


async def _fetch(ground: Ground, machine: Machine, source: str, target: str) -> None:
    """See that a guest has all of its memory where it is; one that cannot get it ends."""
    order = Order(number="", machine=machine, source=source, target=target)
    if not await finish(ground, order, FETCH_S):
        await kill(ground.ledger.folder.residence(target, machine.instance))


async def _arrived(ground: Ground, machine: Machine, source: str, target: str) -> bool:
    """End a move under way; return whether the target has everything and the source is done."""
    folder, name = ground.ledger.folder, machine.instance
    there = folder.residence(target, name)
    try:
        gave_up = await _gave_up(ground, name, source)
    except (Unavailable, Lost):
        # QEMU waits, with its guest, for a target that takes nothing and breaks nothing off
        if await _answers(there):
            raise
        await kill(there)
        gave_up = await _gave_up(ground, name, source)
    if not gave_up or not alive(there):
        return False
    with contextlib.suppress(BillowError, TimeoutError):
        async with talk(there.socket, timeout_s=SILENT_S) as monitor, asyncio.timeout(SILENT_S):
            while await monitor.status() in _WAITING:  # noqa: ASYNC110  # QEMU must be asked
                await asyncio.sleep(_LOOK_EVERY_S)
            return True
    return False


async def _answers(residence: Residence) -> bool:
    """Return whether a process lives and talks."""
    with contextlib.suppress(BillowError, TimeoutError):
        async with talk(residence.socket, timeout_s=SILENT_S) as monitor, asyncio.timeout(SILENT_S):
            return bool(await monitor.status())
    return False


async def _gave_up(ground: Ground, name: str, source: str) -> bool:
    """Cancel what the source still sends; return whether it handed all over, or is gone."""
    here = ground.ledger.folder.residence(source, name)
    if not alive(here):
        return True
    async with talk(here.socket, timeout_s=SILENT_S) as monitor:
        await _cancel(monitor)
        status = await status_of(monitor)
        # a guest that was paused is `postmigrate` after a move that was cancelled or failed, too
        complete = status == "completed" and await monitor.status() == _HANDED_OVER
        return complete or status in UNDER_WAY


async def _cancel(monitor: Monitor) -> None:
    """Take back what is being sent.

    A connection that is still being made cannot be broken off; its guest need not wait for that.
    Raises Unavailable, Refused, Lost.
    """
    began = asyncio.get_running_loop().time()
    while await status_of(monitor) in _HALF_WAY:
        await monitor.execute("migrate_cancel")
        await asyncio.sleep(_LOOK_EVERY_S)
        waited = asyncio.get_running_loop().time() - began
        if waited > SILENT_S and await monitor.status() in _CAN_GO_ON:
            return
        if waited > CANCEL_S:
            raise Unavailable("QEMU does not let go of a move that was called off")


async def _wake(ground: Ground, machine: Machine, host: str, resident: Resident) -> None:
    """Let a guest be as it shall be: at work or paused, with its CPU; or without a process."""
    residence = ground.ledger.folder.residence(host, machine.instance)
    if resident.wanted is State.STOPPED:
        await clear(ground, machine, host)
    elif alive(residence):
        hasten(ground, machine, host)
        async with talk(residence.socket) as monitor:
            await release(residence, monitor)
            if machine.has_own_disk:
                await undo(monitor)
            await _follow(monitor, resident.wanted)
        regulate(ground, machine.instance, host)


async def _follow(monitor: Monitor, wanted: State) -> None:
    status = await monitor.status()
    if wanted is State.PAUSED and status == "running":
        await monitor.execute("stop")
    elif wanted is State.RUNNING and status in {"prelaunch", "paused", "postmigrate"}:
        await monitor.execute("cont")
