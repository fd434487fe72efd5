# SPDX-License-Identifier: Apache-2.0
"""The second half of a post-copy move: the guest runs on the target, its memory follows.

The source cannot go on any more and must not be ended before all is fetched. A network that breaks
makes both ends pause; they are joined anew for as long as it takes.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from billow.act.operation import MOVE_LOST
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.migration.channel import rejoin
from billow.engines.qemu.migration.order import FETCHING, WAITING, Order
from billow.engines.qemu.monitor import Monitor, talk
from billow.engines.qemu.process import alive
from billow.errors import BillowError, Lost, Unavailable
from billow.model.run import Progress

STILL_S: Final = 3.0
"""Nothing flows for so long: the connection is taken for dead, and made anew."""
_LOOK_EVERY_S: Final = 0.1
_AGAIN_S: Final = 0.5
_MIB: Final = 2**20
UNDER_WAY: Final = frozenset(
    {"postcopy-active", "postcopy-paused", "postcopy-recover", "postcopy-recover-setup"}
)
_LOST: Final = frozenset({"failed", "none", "cancelled"})


async def fetch(
    ground: Ground, order: Order, source: Monitor, target: Monitor, last: Progress
) -> AsyncIterator[Progress]:
    """Yield how far it is until the target has everything.

    Raises:
        Lost: it did not get everything; with the code `move-lost` it never will.
    """
    folder, name = ground.ledger.folder, order.machine.instance
    try:
        async for progress in _fetching(ground, order, (source, target), last):
            yield progress
    except Lost as error:
        hosts = (order.source, order.target)
        dead = [host for host in hosts if not alive(folder.residence(host, name))]
        if not dead:
            raise
        raise Lost(
            f"{name} was lost: its process on {dead[0]} ended before all memory was over",
            details=(error.brief, *error.details),
            fix=f"start it again: billow instance start {name}",
            code=MOVE_LOST,
        ) from error


async def _fetching(
    ground: Ground, order: Order, ends: tuple[Monitor, Monitor], last: Progress
) -> AsyncIterator[Progress]:
    source, target = ends
    loop = asyncio.get_running_loop()
    began = moved = loop.time()
    before = last.flow.seconds if last.flow else 0.0
    while (answer := await source.mapping("query-migrate")).get("status") != "completed":
        status, now = str(answer.get("status")), loop.time()
        if status in _LOST or now - began > ground.terms.timeout_s:
            raise Lost(
                f"{order.machine.instance} did not get all of its memory",
                details=(f"QEMU says: {answer.get('error-desc') or status}",),
            )
        seen = _seen(last, answer, before + now - began)
        if seen.copied_mib != last.copied_mib:
            moved = now
        last = seen
        if status == "postcopy-paused" or now - moved > STILL_S:
            last = replace(last, phase=WAITING)
            await _mend(ground, order, source, target)
            moved = loop.time()
        yield last
        await asyncio.sleep(_LOOK_EVERY_S)
    yield _seen(last, answer, before + loop.time() - began)


async def finish(ground: Ground, order: Order, timeout_s: float) -> bool:
    """Bring the second half of a move to its end that nobody follows any more.

    Returns:
        Whether the target has everything; else its guest cannot go on: the source is gone.

    Raises:
        Unavailable: the network between the two is still away; try again.
    """
    name, folder = order.machine.instance, ground.ledger.folder
    here, there = (folder.residence(host, name) for host in (order.source, order.target))
    if not alive(there):
        return False
    async with talk(there.socket) as target:
        if await status_of(target) not in UNDER_WAY:
            return True
        if not alive(here):
            return False
        try:
            async with talk(here.socket) as source, asyncio.timeout(timeout_s):
                async for _ in fetch(ground, order, source, target, Progress(0.0)):
                    pass
        except TimeoutError as error:
            raise Unavailable(
                f"{name} waits on {order.target} for memory that is on {order.source}",
                fix="bring the network between the two hosts back",
            ) from error
    return True


async def _mend(ground: Ground, order: Order, source: Monitor, target: Monitor) -> None:
    """Take the connection for dead on both ends, and make a new one if the network is there."""
    for end in (source, target):
        if await status_of(end) == "postcopy-active":
            with contextlib.suppress(BillowError):
                await end.execute("migrate-pause")
    await asyncio.sleep(_AGAIN_S)
    if {await status_of(source), await status_of(target)} == {"postcopy-paused"}:
        with contextlib.suppress(BillowError):
            await rejoin(ground, order, source, target)


async def status_of(end: Monitor) -> str:
    """Return where a process's migration stands. Raises Refused, Lost."""
    return str((await end.mapping("query-migrate")).get("status", "none"))


def _seen(last: Progress, answer: dict[str, object], seconds: float) -> Progress:
    ram = answer.get("ram")
    if not isinstance(ram, dict) or last.flow is None:
        return replace(last, phase=FETCHING)
    sent, left = float(ram["transferred"]) / _MIB, float(ram["remaining"]) / _MIB
    passed = seconds - last.flow.seconds
    rate = (sent - last.copied_mib) / passed if passed > 0 else math.nan
    flow = replace(last.flow, seconds=seconds, left_mib=left, rate_mib_s=rate)
    return replace(
        last,
        phase=FETCHING,
        copied_mib=sent,
        left_s=left / rate if rate > 0 else math.nan,
        flow=flow,
    )
