# SPDX-License-Identifier: Apache-2.0
"""Find out by how wide a channel a guest is best sent, and set both ends to it.

What is decided stands in `billow.plan.channel`; here is what is looked at for it, and what QEMU is
told. Both ends must be told the same, before the target begins to wait.
"""

import asyncio
import math
import os
from typing import Final

from billow.engines.qemu.carried import lately_carried, recalled
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.migration.abilities import Ends
from billow.engines.qemu.migration.order import Order
from billow.engines.qemu.migration.sample import changes, pages_of, shrinks_to
from billow.engines.qemu.monitor import Monitor
from billow.engines.qemu.process import memory_of, process_id
from billow.errors import Refused
from billow.model.kinds import MigrationPolicy
from billow.plan.channel import LEAST_MIB, Channel, Facts, choose, with_deltas

STREAMS: Final = "multifd"
"""The capability of several streams, and of compressing them."""
DELTAS: Final = "xbzrle"
"""The capability of sending of a page only what changed in it."""
_KEPT: Final = "xbzrle-cache-size"
_PACKING: Final = "multifd-compression"
_LEVEL: Final = {"multifd-zstd-level": 1}
SAFE_FROM: Final = (9, 0)
"""Before that, a stream that fails while the others are made may take the sender along, and its
guest (QEMU's commit "add a synchronization point for channel creation", February 2024)."""
UNSAFE_ENCRYPTED: Final = (10, 0), (10, 2)
"""From the first to before the second, a move that fails ends the TLS session of a stream while the
stream's own thread may still write to it (`multifd_send_shutdown`, since February 2025), which can
take the sender along. Patches of September 2025 end it on success only; that they are in the second
was not tried."""
_MEASURED_FROM_MIB: Final = 128.0
"""For less, the link is not measured: that would take as long as what it might spare."""
_WRITES_S: Final = 0.25
"""Between two looks at what a guest writes, at least."""
_WRITES_SMALL_S: Final = 0.1
"""The same of a guest that is across in a second or two, and writes the same pages more often."""
_BESIDE_MIB: Final = 48.0
"""What a QEMU process has in memory that is not its guest's, about."""


async def look(ground: Ground, order: Order) -> Facts:
    """Return what is known of a guest and its way before it moves; half a second at the most.

    What the ends can do is not known yet.
    """
    residence = ground.ledger.folder.residence(order.source, order.machine.instance)
    process = process_id(residence)
    later = order.policy is MigrationPolicy.POST_COPY  # not together with several streams
    if process is None or later or not ground.network.namespaces:
        return Facts()
    memory_mib = order.machine.memory_mib
    touched = max(0.0, memory_of(process)[0] - _BESIDE_MIB)
    looked = asyncio.get_running_loop().time()
    before = await asyncio.to_thread(pages_of, process, memory_mib)
    ends = (order.source, order.target)
    much = touched >= _MEASURED_FROM_MIB
    link = await lately_carried(ground.network, *ends) if much else recalled(ground.network, *ends)
    cpus = len(os.sched_getaffinity(0))  # both hosts are on this machine
    between = _WRITES_S if touched >= LEAST_MIB else _WRITES_SMALL_S
    await asyncio.sleep(between - (asyncio.get_running_loop().time() - looked))
    now = await asyncio.to_thread(pages_of, process, memory_mib)
    return Facts(
        link_mib_s=link,
        cpus=cpus,
        share=min(1.0, cpus / (os.getloadavg()[0] + 1.0)),
        touched_mib=min(touched, memory_mib),
        kept_mib=ground.terms.kept_mib,
        shrinks_to=await asyncio.to_thread(shrinks_to, process, memory_mib),
        changes=changes(before, now),
        encrypted=ground.terms.encrypted,
    )


async def widen(facts: Facts, ends: Ends, source: Monitor, target: Monitor) -> Channel:
    """Set both ends to the channel that suits; the capabilities are the caller's to switch.

    Raises:
        Refused, Lost: an end would not.
    """
    found = await _streams(facts, ends, source, target)
    if DELTAS not in ends.capabilities or _KEPT not in ends.parameters:
        return found
    found = with_deltas(facts, found)
    if found.kept_mib:
        await source.execute("migrate-set-parameters", {_KEPT: found.kept_mib * 2**20})
    return found


async def _streams(facts: Facts, ends: Ends, source: Monitor, target: Monitor) -> Channel:
    if STREAMS not in ends.capabilities or _PACKING not in ends.parameters:
        return Channel(why="both ends know only a single stream")
    versions = {await _version(end) for end in (source, target)}
    if len(versions) > 1 or min(versions) < SAFE_FROM:
        return Channel(why="several streams are safe from QEMU 9.0 on, the same at both ends")
    first, after = UNSAFE_ENCRYPTED
    if facts.encrypted and first <= min(versions) < after:
        return Channel(why="several encrypted streams are not safe in QEMU 10.0 and 10.1")
    known = not math.isnan(facts.link_mib_s)
    packed = known and all([await _packs(end) for end in (target, source)])
    found = choose(facts, packed=packed)
    told: dict[str, object] = {_PACKING: "zstd" if found.packed else "none"}
    if found.streams:
        told["multifd-channels"] = found.streams
    if found.packed:
        told |= _LEVEL
    for end in (target, source):
        await end.execute("migrate-set-parameters", told)
    return found


async def _version(end: Monitor) -> tuple[int, int]:
    """Return the first two numbers of an end's version."""
    numbers = (await end.mapping("query-version")).get("qemu")
    parts = numbers if isinstance(numbers, dict) else {}
    return int(parts.get("major", 0)), int(parts.get("minor", 0))


async def _packs(end: Monitor) -> bool:
    """Return whether an end was built with zstd, by trying."""
    try:
        await end.execute("migrate-set-parameters", {_PACKING: "zstd"})
    except Refused:
        return False
    return True
