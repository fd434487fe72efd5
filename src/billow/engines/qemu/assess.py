# SPDX-License-Identifier: Apache-2.0
"""Assess a move: measure how the guest writes and what the link carries. Changes nothing."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from billow.engines.qemu.carried import carried
from billow.engines.qemu.dirtying import (
    SAMPLED_FROM_MIB,
    SAMPLED_S,
    Dirtying,
    dirtying,
    touched_mib,
)
from billow.engines.qemu.disk import stored_mib
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.machine import Machine
from billow.engines.qemu.migration.abilities import of_source
from billow.engines.qemu.migration.channel import BANDWIDTH_BYTES_S
from billow.engines.qemu.migration.order import sleeps
from billow.engines.qemu.migration.sample import changes, pages_of
from billow.engines.qemu.process import process_id
from billow.engines.qemu.record import InstanceRecord
from billow.errors import Invalid, NotFound
from billow.model.action import Action, Migrate
from billow.model.assessment import Assessment, Guest, Link, Way, Writer
from billow.plan.steering import Abilities, choose

_SATURATED: Final = 0.8
"""Pages sampled below this part of what the ring counted: the same ones are written again."""
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class _Seen:
    guest: Guest
    ways: tuple[Way, ...]
    used: Way
    measured: tuple[str, ...]
    gaps: tuple[str, ...]


async def assess(
    ground: Ground, name: str, target: str, under_way: Sequence[Action], now: float
) -> Assessment:
    """Measure an instance and its link to a host; takes 1 to 5 seconds.

    Args:
        ground: The pool.
        name: The instance.
        target: The host to which it might move.
        under_way: What the engine does now: other moves share the link.
        now: Seconds since the epoch.

    Raises:
        NotFound: no such instance.
        Invalid: it is there already.
        Unavailable: QEMU or the link does not answer.
    """
    record, home = ground.ledger.instance(name), ground.ledger.home(name)
    if record is None or home is None:
        raise NotFound(f"there is no instance {name} that could be measured")
    source, ends = home[0], {home[0], target}
    if source == target:
        raise Invalid(f"{name} is on {target} already", fix="name another host")
    seen = await _guest(ground, record, source)
    rate = await carried(ground.network, source, target)  # afterwards, or it slows the guest down
    share = min(rate, BANDWIDTH_BYTES_S / _MIB)
    link = Link(bandwidth_mib_s=share, downtime_s=ground.terms.downtime_s)
    moves = sum(isinstance(each, Migrate) and bool(ends & {*each.hosts}) for each in under_way)
    beside = f", beside {moves} moves under way" if moves else ""
    return Assessment(
        instance=name,
        source=source,
        target=target,
        taken_at=now,
        guest=seen.guest,
        link=link,
        ways=seen.ways,
        used=seen.used,
        measured=(*seen.measured, f"bandwidth: sent for half a second{beside}"),
        gaps=seen.gaps,
    )


async def weigh(ground: Ground, name: str) -> Guest:
    """Measure an instance alone; takes 1 to 4 seconds.

    Raises:
        NotFound: no such instance.
        Unavailable: QEMU does not answer.
    """
    record, home = ground.ledger.instance(name), ground.ledger.home(name)
    if record is None or home is None:
        raise NotFound(f"there is no instance {name} that could be measured")
    return (await _guest(ground, record, home[0])).guest


async def _guest(ground: Ground, record: InstanceRecord, source: str) -> _Seen:
    machine = record.machine
    residence = ground.ledger.folder.residence(source, machine.instance)
    process = process_id(residence)
    memory = float(machine.memory_mib)
    disk = stored_mib(residence.disk) if machine.has_own_disk else 0.0
    if process is None:
        idle = Guest(memory_mib=memory, writers=(), empty_share=1.0, disk_mib=disk)
        gap = "it does not run: there is no memory to copy"
        return _Seen(idle, (Way.PLAIN,), Way.PLAIN, (), (gap,))
    ring = machine.platform.dirty_ring > 0
    before = await asyncio.to_thread(pages_of, process, machine.memory_mib)
    found = await dirtying(residence.socket, process, machine.memory_mib, ring=ring)
    after = await asyncio.to_thread(pages_of, process, machine.memory_mib)
    can = await of_source(residence.socket, ring=ring)
    way = choose(record.description.migration, can).way
    used = await asyncio.to_thread(touched_mib, process, machine.memory_mib)
    writers = _writers(found, used)
    guest = Guest(
        memory_mib=memory,
        writers=writers,
        changes=_changes(ground, changes(before, after), writers, used) if can.deltas else 1.0,
        empty_share=1.0 - used / memory,
        writes_known=not any(map(math.isnan, found.rates)),
        disk_mib=disk,
    )
    told, gaps = _told(found, machine)
    if machine.has_own_disk:
        told += ("disk: what its file takes",)
        gaps += ("what it writes to its disk is not measured: it is sent as well",)
    if sleeps(machine, ground.findings.version):
        gaps += (
            "this QEMU keeps a translated guest still for the whole copy, not for the last of it",
        )
    return _Seen(guest, _ways(can), way, told, gaps)


def _changes(ground: Ground, seen: float, writers: Sequence[Writer], used_mib: float) -> float:
    """Return what part of memory must be sent again: whole pages where none are kept."""
    working = min(used_mib, math.fsum(writer.working_mib for writer in writers))
    if math.isnan(seen) or not working:
        return 1.0
    kept = min(1.0, ground.terms.kept_mib / working)
    return 1.0 - kept * (1.0 - seen)


def _ways(can: Abilities) -> tuple[Way, ...]:
    """Return the ways that the source knows; the target is not there to be asked yet."""
    limited = can.limits or can.own_limit
    brakes = (Way.DIRTY_LIMIT,) * limited + (Way.AUTO_CONVERGE,) * can.auto_converge
    return (Way.PLAIN, *brakes, *(Way.POST_COPY,) * can.post_copy)


def _writers(found: Dirtying, used_mib: float) -> tuple[Writer, ...]:
    """Return the writers; they write again to what was sampled, if less than was counted."""
    if any(map(math.isnan, found.rates)):
        return ()
    counted = math.fsum(found.rates)
    known = not math.isnan(found.sampled) and found.sampled < _SATURATED * counted * SAMPLED_S
    busy = found.busy if len(found.busy) == len(found.rates) else (max(found.busy, default=1.0),)
    return tuple(
        Writer(
            dirty_mib_s=rate,
            working_mib=min(used_mib, found.sampled * rate / counted) if known else used_mib,
            busy=share,
        )
        for rate, share in zip(found.rates, busy, strict=True)
    )


def _told(found: Dirtying, machine: Machine) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return how it was measured, and what was not."""
    ring, sampled = machine.platform.dirty_ring > 0, not math.isnan(found.sampled)
    told, gaps = [], []
    if ring:
        told.append("dirty rate: KVM's dirty ring, per vCPU, one second")
    elif sampled:
        told.append(f"dirty rate: page sampling, all vCPUs together, {SAMPLED_S} seconds")
        gaps.append(
            "no dirty ring: vCPUs cannot be told apart, and what is written twice counts once"
        )
    else:
        gaps.append(
            f"no dirty ring, and less than {SAMPLED_FROM_MIB} MiB: what it writes is not known"
        )
    if sampled:
        told.append(f"working set: page sampling, {SAMPLED_S} seconds")
    elif ring:
        gaps.append(
            f"below {SAMPLED_FROM_MIB} MiB no pages are sampled: all memory may be written anew"
        )
    gaps += [
        f"vCPU {cpu} is held to {limit:g} MiB/s by a limit: it may want to write more"
        for cpu, limit in found.held.items()
    ]
    return tuple(told), tuple(gaps)
