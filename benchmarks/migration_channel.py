# SPDX-License-Identifier: Apache-2.0
"""By which channel a guest is sent soonest: one stream, several, compressed; and what Billow chose.

Guests full of noise and of program code are moved over a slow link and over one that nothing
shapes, by each channel and by Billow's own choice, in turns. They write nothing meanwhile, so that
what is measured is the channel. All moves are encrypted, as they are by default, unless asked.
Afterwards each page is compared with what it held before. Before QEMU 9.0 Billow sends by a single
stream, since several are not safe there; they are measured all the same.

For each channel it tells, too, what a GiB takes of the CPUs of both ends: these figures stand in
`plan/channel.py`, and hold on a busy machine as well.
"""

import argparse
import asyncio
import itertools
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.figure import Figure, Peer
from benchmarks.migration_lab import BEGIN, HOSTS, Guest, Lab, open_lab, reader
from benchmarks.migration_pages import bad_pages, dump
from benchmarks.migration_trial import settled
from benchmarks.migration_watch import GuestMemory
from billow.engines.qemu.migration import width
from billow.engines.qemu.network import HOST_LINK
from billow.engines.qemu.process import process_id, threads
from billow.errors import Unavailable
from billow.model.action import Migrate
from billow.plan.channel import Channel, Facts, choose

SLOW_MBIT = 300.0
CHOSEN = "what Billow chose"
CHANNELS: dict[str, Channel | None] = {
    "single stream": Channel(),
    "2 streams": Channel(streams=2),
    "2 streams, zstd": Channel(streams=2, packed=True),
    CHOSEN: None,
}
MOST_BEHIND = 1.1
"""Billow's choice may take so much longer than the best channel."""
_MIB = 2**20
_SCHEDULED = 2
"""CPUCLOCK_SCHED: a process's own clock counts exactly, and threads that have ended, too."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sent:
    """One move: how long, what it took of each end's CPUs, and pages that are not as they were."""

    seconds: float
    cpu_s: tuple[float, float]
    bad: int


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be chosen."""
    parser.add_argument("--moves", type=int, default=3, help="of each kind")
    parser.add_argument("--mib", type=int, default=512, help="what a guest has to send")
    parser.add_argument("--qemu", type=Path, help="folder of the QEMU to use")
    parser.add_argument("--clear", action="store_true", help="without encryption")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Measure each channel over each link with each guest."""
    if arguments.qemu:
        os.environ["PATH"] = f"{arguments.qemu.absolute()}:{os.environ.get('PATH', os.defpath)}"
    steps = _measured(arguments.moves, arguments.mib, encrypted=not arguments.clear)
    with asyncio.Runner() as runner:
        while (figure := runner.run(_next(steps))) is not None:
            yield figure


async def _next(steps: AsyncIterator[Figure]) -> Figure | None:
    """Return the next figure. Who ends this process ends its guests too."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await anext(steps, None)


async def _measured(moves: int, mib: int, *, encrypted: bool) -> AsyncIterator[Figure]:
    contents = {"noise": os.urandom(mib * _MIB), "code": _code(mib * _MIB)}
    async with open_lab(SLOW_MBIT, encrypted=encrypted) as lab:
        for link in (f"{SLOW_MBIT:.0f} Mbit/s", "unshaped"):
            if link == "unshaped":
                await _unshape(lab)
            for name, content in contents.items():
                found = await _turns(lab, content, moves)
                for figure in _told(f"{link}, {name}", found, mib, safe=_is_safe(lab)):
                    yield figure


async def _turns(lab: Lab, content: bytes, moves: int) -> dict[str, list[Sent]]:
    """Move guests by each channel in turns: what else goes on here then hits all alike."""
    found: dict[str, list[Sent]] = {name: [] for name in CHANNELS}
    for _ in range(moves):
        for name, channel in CHANNELS.items():
            found[name].append(await _sent(lab, content, channel))
            print(f"    {name}: {found[name][-1]}", file=sys.stderr)
    return found


async def _sent(lab: Lab, content: bytes, channel: Channel | None) -> Sent:
    """Move one guest; a channel of None is Billow's choice, the link not known beforehand."""
    guest = Guest((reader(20, len(content) // _MIB),), memory_mib=len(content) // _MIB + 64)
    instance = await lab.boot(guest)
    try:
        await settled(lab, instance, guest)
        _fill(lab, instance, guest, content)
        line = lab.residence(HOSTS[0], instance).socket
        pages = await dump(line, guest.laid_out)
        lab.engine.ground.network.carried.clear()
        seconds, cpu_s = await _moved(lab, instance, channel)
        line = lab.residence(HOSTS[1], instance).socket
        return Sent(seconds, cpu_s, await bad_pages(line, guest.laid_out, pages))
    finally:
        await lab.remove(instance)


async def _moved(
    lab: Lab, instance: str, channel: Channel | None
) -> tuple[float, tuple[float, float]]:
    number = f"channel-{next(_numbers)}"
    action = Migrate(id=number, instance=instance, source=HOSTS[0], target=HOSTS[1])

    def decide(facts: Facts, *, packed: bool) -> Channel:
        found = channel or choose(facts, packed=packed)
        print(f"    {facts}: {found}", file=sys.stderr)
        return found

    before, used = _cpu_s(lab, instance), (0.0, 0.0)
    safe_from = (0, 0) if channel else width.SAFE_FROM
    with patch.object(width, "choose", decide), patch.object(width, "SAFE_FROM", safe_from):
        began = time.monotonic()
        async for _ in lab.engine.perform(action, fence=1):
            now = _cpu_s(lab, instance)
            used = (max(used[0], now[0] - before[0]), max(used[1], now[1]))
        return time.monotonic() - began, used


def _cpu_s(lab: Lab, instance: str) -> tuple[float, float]:
    """Return what both processes had of the CPUs, their vCPUs left out, ended threads counted."""
    numbers = [process_id(lab.residence(host, instance)) for host in HOSTS]
    ran = [_beside_guest(number) if number else 0.0 for number in numbers]
    return ran[0], ran[1]


def _beside_guest(process: int) -> float:
    whole = time.clock_gettime(~process << 3 | _SCHEDULED)
    return whole - sum(each.ran_s for each in threads(process) if each.is_vcpu)


def _fill(lab: Lab, instance: str, guest: Guest, content: bytes) -> None:
    """Put content where the guest reads."""
    process = process_id(lab.residence(HOSTS[0], instance))
    if process is None:
        raise Unavailable(f"{instance} has no process")
    memory = GuestMemory(process, guest.memory_mib)
    os.pwrite(memory.handle, content, memory.begin + BEGIN)
    memory.close()


def _code(size: int) -> bytes:
    """Return so much of the libraries that are loaded here: memory as guests have it."""
    libraries = sorted(Path(np.__file__).parent.rglob("*.so"))
    program = b"".join(each.read_bytes() for each in libraries)
    return (program * (size // len(program) + 1))[:size]


async def _unshape(lab: Lab) -> None:
    for host in HOSTS:
        where = lab.engine.ground.network.namespace(host)
        line = ("nsenter", f"--net=/run/netns/{where}", "tc", "qdisc", "del", "dev", HOST_LINK)
        process = await asyncio.create_subprocess_exec(*line, "root")
        await process.wait()


def _is_safe(lab: Lab) -> bool:
    """Return whether this QEMU is one with which Billow uses several streams."""
    major, minor, *_ = map(int, lab.findings.version.split("."))
    return (major, minor) >= width.SAFE_FROM


def _told(case: str, found: dict[str, list[Sent]], mib: int, *, safe: bool) -> Iterator[Figure]:
    took = {name: statistics.median(each.seconds for each in sent) for name, sent in found.items()}
    allowed = (name for name, each in CHANNELS.items() if each and (safe or not each.streams))
    best = min((took[name], name) for name in allowed)
    for name, sent in found.items():
        yield Figure(f"migration_channel, {case}, {name}", took[name], "s")
        for end, host in enumerate(("source", "target")):
            cpu_s = statistics.median(each.cpu_s[end] for each in sent) * 1024 / mib
            yield Figure(f"migration_channel_cpu, {case}, {name}, {host}", cpu_s, "s/GiB")
    yield Figure(
        f"migration_channel_chosen, {case}",
        took[CHOSEN] / best[0],
        "of the best",
        goal=MOST_BEHIND,
        peer=Peer(best[1], 1.0),
    )
    bad = sum(each.bad for sent in found.values() for each in sent)
    yield Figure(f"migration_channel_bad_pages, {case}", bad, "pages", goal=0)
