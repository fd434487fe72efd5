# SPDX-License-Identifier: Apache-2.0
"""Move an instance to another host: live when it runs, by its record when it does not.

The target's guest is started by Billow and not by QEMU, and only after the source has said that it
handed everything over and the target has been written down as the home: so there is no instant at
which two copies run, whoever dies.
"""

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from qemu.qmp import EventListener

from billow.engines.qemu.ground import Ground
from billow.engines.qemu.lifecycle import hasten, leave, regulate, spawn
from billow.engines.qemu.machine import Accelerator, Firmware, Machine
from billow.engines.qemu.monitor import Monitor, talk
from billow.engines.qemu.process import alive
from billow.engines.qemu.record import Resident, Role
from billow.errors import Lost, Refused
from billow.model.kinds import State
from billow.model.run import Progress

STALL_S: Final = 30.0
"""A target that died behind an open connection never says so: no byte so long ends it."""
LONGEST_S: Final = 900.0
"""A guest that writes faster than the link carries never arrives."""
BANDWIDTH_BYTES_S: Final = 4 * 2**30
DOWNTIME_MS: Final = 300
WATCHES_ALL: Final = 9
"""The first QEMU that misses no write of a guest under TCG."""
_LOOK_EVERY_S: Final = 0.2
_MIB: Final = 2**20
_CHANNEL: Final = "billow-move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move. `number` is unique for ever; `nodes` are the NUMA nodes on the target."""

    number: str
    machine: Machine
    source: str
    target: str
    nodes: tuple[int, ...] = ()


async def move(ground: Ground, order: Move) -> AsyncIterator[Progress]:
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
        ledger.save_resident(order.target, name, arrived)
    await leave(ground, order.machine, order.source)


async def _live(ground: Ground, order: Move, arrived: Resident) -> AsyncIterator[Progress]:
    folder, name = ground.ledger.folder, order.machine.instance
    yield Progress(0.0, "preparing")
    hasten(ground, order.machine, order.source)
    async with ground.starts:
        await spawn(ground, order.machine, order.target, incoming=True)
    async with (
        talk(folder.residence(order.source, name).socket) as source,
        talk(folder.residence(order.target, name).socket) as target,
    ):
        with target.events("MIGRATION") as landed:
            await _begin(ground, order, source, target)
            last = Progress(0.0)
            async for last in _copying(source):
                yield last
            await _landing(target, landed)
        ground.ledger.save_resident(order.target, name, arrived)
        if arrived.wanted is State.RUNNING:
            await target.execute("cont")
    yield replace(last, fraction=1.0, phase="switching", left_s=0.0)


def sleeps(machine: Machine, version: str) -> bool:
    """Return whether a guest must sleep while its memory is copied.

    Before 9.0, QEMU forgets under TCG to watch some pages again that it has sent; a guest that
    wrote to one of them arrives with old memory and hangs. The firmware guest checks its memory
    after a move and was never seen to suffer.
    """
    translated = machine.platform.accelerator is Accelerator.TCG
    major = version.partition(".")[0]
    old = not major.isdecimal() or int(major) < WATCHES_ALL
    return translated and old and not isinstance(machine.boot, Firmware)


async def _begin(ground: Ground, order: Move, source: Monitor, target: Monitor) -> None:
    if sleeps(order.machine, ground.findings.version):
        await source.execute("stop")
    for monitor, names in ((source, ("events", "auto-converge")), (target, ("events",))):
        states = [{"capability": name, "state": True} for name in names]
        await monitor.execute("migrate-set-capabilities", {"capabilities": states})
    limits = {"max-bandwidth": BANDWIDTH_BYTES_S, "downtime-limit": DOWNTIME_MS}
    await source.execute("migrate-set-parameters", limits)
    if ground.network.namespaces:
        address = ground.network.address(order.target)
        await target.execute("migrate-incoming", {"uri": f"tcp:{address}:0"})
        port = _port(await target.mapping("query-migrate"))
        await source.execute("migrate", {"uri": f"tcp:{address}:{port}"})
    else:
        await _join(source, target)


async def _join(source: Monitor, target: Monitor) -> None:
    """Give both processes one end of a pipe that nobody else can reach."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await target.hand_over(_CHANNEL, theirs.fileno())
        await source.hand_over(_CHANNEL, ours.fileno())
    await target.execute("migrate-incoming", {"uri": f"fd:{_CHANNEL}"})
    await source.execute("migrate", {"uri": f"fd:{_CHANNEL}"})


async def _landing(target: Monitor, events: EventListener) -> None:
    """Wait until the target says that it has everything. Raises Lost when it does not say so."""
    try:
        async with asyncio.timeout(STALL_S):
            while (await target.mapping("query-migrate")).get("status") != "completed":
                await _next(events)
    except TimeoutError as error:
        raise Lost("the target does not say whether it has everything", code="move-lost") from error


async def _next(events: EventListener) -> None:
    """Return when something happened, or when it is time to look again."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(events.get(), _LOOK_EVERY_S)


async def _copying(source: Monitor) -> AsyncIterator[Progress]:
    """Follow a migration to its end. Raises Refused when it fails, stalls or takes too long."""
    loop = asyncio.get_running_loop()
    began = moved_at = loop.time()
    sent, fraction = -1.0, 0.0
    with source.events("MIGRATION") as events:
        while True:
            answer = await source.mapping("query-migrate")
            status = str(answer.get("status", "none"))
            if status == "completed":
                return
            if status in {"failed", "cancelled"}:
                raise Refused("the migration failed", details=(_why(answer),), code="move-failed")
            progress = _progress(answer, fraction)
            fraction = progress.fraction
            if progress.copied_mib != sent:
                sent, moved_at = progress.copied_mib, loop.time()
            _check_patience(loop.time() - began, loop.time() - moved_at)
            yield progress
            await _next(events)


def _check_patience(whole_s: float, still_s: float) -> None:
    if still_s > STALL_S:
        raise Refused(
            "the migration stands still",
            details=(f"no memory was copied for {still_s:.0f} s",),
            fix="look at the network between the two hosts",
            code="move-stalled",
        )
    if whole_s > LONGEST_S:
        raise Refused(
            "the instance writes its memory faster than the link carries it",
            details=(f"not there after {whole_s:.0f} s",),
            fix="move it at a quieter time, or stop it first",
            code="move-endless",
        )


def _progress(answer: dict[str, object], least: float) -> Progress:
    """Read `query-migrate`. The fraction never falls, although a busy guest makes more to copy."""
    ram = answer.get("ram")
    if not isinstance(ram, dict):
        return Progress(least, str(answer.get("status", "copying")))
    total, left = float(ram["total"]), float(ram["remaining"])
    rate_bytes_s = float(ram.get("mbps", 0.0)) * 1e6 / 8
    return Progress(
        fraction=min(0.99, max(least, 1.0 - left / total if total else 0.0)),
        phase="copying",
        left_s=left / rate_bytes_s if rate_bytes_s > 0 else math.nan,
        copied_mib=float(ram["transferred"]) / _MIB,
        total_mib=total / _MIB,
    )


def _why(answer: dict[str, object]) -> str:
    return str(answer.get("error-desc") or f"QEMU says: {answer.get('status')}")


def _port(answer: dict[str, object]) -> str:
    addresses = answer.get("socket-address")
    if isinstance(addresses, list) and addresses and isinstance(addresses[0], dict):
        return str(addresses[0]["port"])
    raise Refused("the target does not say where it waits", details=(str(answer),))
