# SPDX-License-Identifier: Apache-2.0
"""An instance of a dead host is started on another one, and never a second time.

Whether a host is dead is decided elsewhere. Here is the second opinion, from this machine's side: a
process that lives, or a lock that is held on the disk, refuses the evacuation. The try is written
down beside the disk before anything else, the home moves by one rename, and only the home boots
(`lifecycle.boot`); QEMU's own lock on the image stands behind all that. `finish` brings a try that
somebody left to its end.
"""

import asyncio
import contextlib
import fcntl
import os
import struct
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from billow.act.durable import load, save, turn
from billow.engines.qemu.disk import disk_of
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.ledger import Ledger
from billow.engines.qemu.lifecycle import boot, clear, leave
from billow.engines.qemu.machine import Machine
from billow.engines.qemu.process import alive, ended_by_itself
from billow.engines.qemu.record import Resident, Role
from billow.engines.qemu.settle import settle
from billow.errors import Refused
from billow.model.evacuate import Evacuate, overtaken
from billow.model.kinds import State
from billow.model.run import Progress
from billow.ports import Blocker

KEPT: Final = 64
"""Tries that are remembered of one instance: more than an incident ever makes."""
LET_GO_S: Final = 2.0
"""A process that ends may hold its disk for an instant longer than its own lock."""
_LOOK_EVERY_S: Final = 0.01
_LOCK: Final = "hhqqi4x"
_WRITERS: Final = 101, 3
"""The bytes of an image that QEMU locks for the rights to write, to rewrite and to resize."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One evacuation of an instance, written down before it begins.

    Attributes:
        nodes: The NUMA nodes of the source, should it be given back.
        starts: Whether the instance ran, and is started.
        under_way: Whether it may have to be brought to its end.
    """

    action: str
    incident: str
    epoch: int
    source: str
    nodes: tuple[int, ...]
    starts: bool
    under_way: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """All tries that are remembered, oldest first."""

    tries: tuple[Try, ...] = ()


def hindrances(ground: Ground, action: Evacuate) -> Iterator[Blocker]:
    """Yield why an instance may still run where it was, or why this try comes too late."""
    ledger, name = ground.ledger, action.instance
    for host in ledger.hosts_of(name):
        if alive(ledger.folder.residence(host, name)):
            why = f"{name} has a process on {host}: it would run twice"
            yield Blocker(why, f"billow host fence {host}")
    if late := overtaken(action, [(each.incident, each.epoch) for each in _tries(ledger, name)]):
        yield Blocker(late, "ask what became of the newer one")


def is_written(disk: Path) -> bool:
    """Return whether any process has the right to write to an image, by QEMU's locks on it."""
    try:
        handle = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        asked = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, *_WRITERS, 0)
        found = struct.unpack(_LOCK, fcntl.fcntl(handle, fcntl.F_OFD_GETLK, asked))
    finally:
        os.close(handle)
    return bool(found[0] != fcntl.F_UNLCK)


async def _let_go(ground: Ground, machine: Machine, host: str) -> None:
    """Wait until nobody has the right to write to a machine's disk. Raises Refused.

    A process that was killed an instant ago lets go of its files one after the other.
    """
    disk = disk_of(ground.ledger.folder, machine, host)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LET_GO_S):
            while machine.has_disk and is_written(disk):  # noqa: ASYNC110  # locks tell nobody
                await asyncio.sleep(_LOOK_EVERY_S)
    if machine.has_disk and is_written(disk):
        why = f"the disk of {machine.instance} is held by a process that writes to it"
        fix = "end that process (lslocks shows it), then try again"
        raise Refused(f"{why}: it may run somewhere", fix=fix, code="disk-held")


async def evacuate(ground: Ground, action: Evacuate) -> AsyncGenerator[Progress, None]:
    """Give an instance its new home, and start it there when it ran.

    Raises:
        Refused: it may still run, or did not start; its home is the source.
    """
    mine = turn(ground.ledger.folder.volume(action.instance).turn)
    async with mine, contextlib.aclosing(_evacuate(ground, action)) as doing:
        async for progress in doing:
            yield progress


async def _evacuate(ground: Ground, action: Evacuate) -> AsyncGenerator[Progress, None]:
    ledger, name = ground.ledger, action.instance
    record, resident = ledger.instance(name), ledger.resident(action.source, name)
    if record is None or resident is None:
        raise Refused(f"there is no instance {name} on {action.source}", code="not-there")
    for found in hindrances(ground, action):
        raise Refused(found.reason, fix=found.fix, code="blocked")
    yield Progress(0.0, "moving its home")
    await _let_go(ground, record.machine, action.source)
    here, there = (ledger.folder.residence(at, name) for at in (action.source, action.target))
    begun = Try(
        action=action.id,
        incident=action.incident,
        epoch=action.epoch,
        source=action.source,
        nodes=resident.nodes,
        starts=resident.wanted is State.RUNNING and not ended_by_itself(here),
    )
    _remember(ledger, name, begun)
    if there.path.exists():
        await clear(ground, record.machine, action.target)
    tied = replace(resident, role=Role.SOURCE, move=action.id, peer=action.target)
    ledger.save_resident(action.source, name, tied)
    ledger.save_resident(action.target, name, _home(action, begun))
    yield Progress(0.2, "starting")
    await _start(ground, record.machine, action, begun)
    await leave(ground, record.machine, action.source)
    _remember(ledger, name, replace(begun, under_way=False), durable=False)
    yield Progress(1.0, "running" if begun.starts else "stopped", 0.0)


async def finish(ground: Ground, action: Evacuate) -> bool:
    """Bring a try to its end that somebody left; return whether it is achieved.

    One whose home had not moved yet is as if it had never been; else it is started where it is now.

    Raises:
        BillowError: it cannot be said yet; try again.
    """
    volume = ground.ledger.folder.volume(action.instance)
    if not volume.path.exists():
        return False
    async with turn(volume.turn):
        await settle(ground, action.instance)
        return await _finish(ground, action)


async def _finish(ground: Ground, action: Evacuate) -> bool:
    ledger, name = ground.ledger, action.instance
    record, home = ledger.instance(name), ledger.home(name)
    begun = next((each for each in _tries(ledger, name) if each.action == action.id), None)
    if record is None or home is None or begun is None:
        return False
    arrived = home[0] == action.target and home[1].move == action.id
    if arrived and begun.under_way:
        try:
            await _start(ground, record.machine, action, begun)
        except Refused:
            return False
    if begun.under_way:
        _remember(ledger, name, replace(begun, under_way=False))
    return arrived


async def _start(ground: Ground, machine: Machine, action: Evacuate, begun: Try) -> None:
    """Start an instance where its home is now; give it back when it cannot. Raises Refused."""
    if not begun.starts or alive(ground.ledger.folder.residence(action.target, action.instance)):
        return
    try:
        await boot(ground, machine, action.target)
    except Refused:
        await _give_back(ground, machine, action, begun)
        raise


async def _give_back(ground: Ground, machine: Machine, action: Evacuate, begun: Try) -> None:
    """Let the source be the home again, as it was: at every instant one of the two is."""
    ledger, name = ground.ledger, action.instance
    home = _home(action, begun)
    if ledger.resident(action.source, name) is None:  # somebody has cleared it up since
        ledger.save_resident(action.target, name, replace(home, role=Role.SOURCE))
    else:
        await leave(ground, machine, action.target)
    back = replace(home, nodes=begun.nodes, move="", peer="")
    residence = ledger.save_resident(action.source, name, back)
    residence.pid.touch()  # its process did not end by itself: it has failed, not stopped
    await leave(ground, machine, action.target)
    _remember(ledger, name, replace(begun, under_way=False))


def _home(action: Evacuate, begun: Try) -> Resident:
    return Resident(
        role=Role.HOME,
        wanted=State.RUNNING if begun.starts else State.STOPPED,
        nodes=action.target_nodes,
        move=action.id,
        peer=action.source,
    )


def _tries(ledger: Ledger, name: str) -> tuple[Try, ...]:
    found = load(Tries, ledger.folder.volume(name).tries)
    return found.tries if found else ()


def _remember(ledger: Ledger, name: str, latest: Try, *, durable: bool = True) -> None:
    """Write a try down, as the newest.

    Its begin must survive a power cut. Of its end the home tells, too: whoever finds the try under
    way then starts the instance where it is.
    """
    others = [each for each in _tries(ledger, name) if each.action != latest.action]
    tries = Tries(tries=(*others, latest)[-KEPT:])
    save(ledger.folder.volume(name).tries, tries, durable=durable)
