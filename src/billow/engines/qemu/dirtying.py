# SPDX-License-Identifier: Apache-2.0
"""How a running guest writes memory, asked of its QEMU. Nothing of the guest is changed.

QEMU measures by itself, one way at a time; the conversation is closed meanwhile, so that a move or
a look does not have to wait for it.
"""

import asyncio
import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.engines.qemu.monitor import Monitor, talk
from billow.engines.qemu.process import threads
from billow.errors import Refused, Unavailable

MEASURED_S: Final = 1
"""The dirty ring is counted for so long; QEMU takes whole seconds."""
SAMPLED_S: Final = 3
"""Pages are sampled for longer: a working set shows only once it was written through."""
SAMPLED_FROM_MIB: Final = 128
"""Page sampling leaves out memory smaller than this (QEMU's MIN_RAMBLOCK_SIZE)."""
_SAMPLES: Final = 4096
"""Per GiB, the most that QEMU takes."""
_PATIENCE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Dirtying:
    """What was measured.

    Attributes:
        rates: MiB/s, one per vCPU; a single one for all without the dirty ring.
        busy: Share of time in which each vCPU ran or wanted to, as many as there are vCPUs.
        sampled: Different pages written in `SAMPLED_S`, MiB; not a number when not sampled.
        held: Limits that vCPUs are under now, by vCPU, MiB/s.
    """

    rates: tuple[float, ...]
    busy: tuple[float, ...]
    sampled: float
    held: Mapping[int, float]


async def dirtying(line: Path, process: int, memory_mib: int, *, ring: bool) -> Dirtying:
    """Measure a guest by the QMP socket and the number of its process; takes 1 to 4 seconds.

    Raises:
        Unavailable: it does not answer, or measures for somebody else all the time.
        Refused: it cannot measure.
    """
    async with talk(line) as monitor:
        held = await _held(monitor) if ring else {}
        cpus = await _cpus(monitor)
    before, began = _ran(process, cpus), asyncio.get_running_loop().time()
    ringed = await _measure(line, MEASURED_S, {"mode": "dirty-ring"}) if ring else None
    sampled = None
    if memory_mib >= SAMPLED_FROM_MIB:
        sampled = await _measure(
            line, SAMPLED_S, {"mode": "page-sampling", "sample-pages": _SAMPLES}
        )
    if ringed is None and sampled is None:
        await asyncio.sleep(MEASURED_S)
    passed_s = asyncio.get_running_loop().time() - began
    after = _ran(process, cpus)
    unique = math.nan if sampled is None else _number(sampled, "dirty-rate") * SAMPLED_S
    return Dirtying(
        rates=(unique / SAMPLED_S,) if ringed is None else _per_cpu(ringed),
        busy=tuple(
            min(1.0, max(0.0, b - a) / passed_s) for a, b in zip(before, after, strict=True)
        ),
        sampled=unique,
        held=held,
    )


def touched_mib(process: int, memory_mib: int) -> float:
    """Return how much of a guest's memory was ever written to, MiB; all of it when that is hidden.

    It is the process's largest mapping; what QEMU has beside it is not the guest's.
    """
    largest = found = 0.0
    with contextlib.suppress(OSError), Path(f"/proc/{process}/smaps").open() as smaps:
        size = 0.0
        for row in smaps:
            name, _, value = row.partition(":")
            if name == "Size":
                size = float(value.removesuffix(" kB\n")) / 1024
                if size > largest:
                    largest, found = size, 0.0
            elif name in {"Rss", "Swap"} and size == largest:
                found += float(value.removesuffix(" kB\n")) / 1024
    return min(found, float(memory_mib)) if largest >= memory_mib else float(memory_mib)


async def _measure(line: Path, seconds: int, how: Mapping[str, object]) -> dict[str, object]:
    """Let QEMU measure; return what it says. Waits for another measurement first."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await _begin(line, {"calc-time": seconds, **how})
            await asyncio.sleep(seconds)
            while True:
                async with talk(line) as monitor:
                    answer = await monitor.mapping("query-dirty-rate")
                if answer.get("status") == "measured":
                    return answer
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError as error:
        raise Unavailable(
            "QEMU does not say how much the guest writes",
            details=(f"no answer within {_PATIENCE_S:g} s",),
            fix="try again",
        ) from error


async def _begin(line: Path, how: Mapping[str, object]) -> None:
    while True:
        async with talk(line) as monitor:
            answer = await monitor.mapping("query-dirty-rate")
            if answer.get("status") != "measuring":
                await monitor.execute("calc-dirty-rate", how)
                return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _held(monitor: Monitor) -> dict[int, float]:
    """Return the limits that vCPUs are under; QEMU may refuse the question while there are none."""
    try:
        rows = _rows(await monitor.execute("query-vcpu-dirty-limit"))
    except Refused:
        return {}
    found = {int(_number(row, "cpu-index")): _number(row, "limit-rate") for row in rows}
    return {cpu: limit for cpu, limit in found.items() if limit > 0}


async def _cpus(monitor: Monitor) -> tuple[int, ...]:
    """Return the thread of each vCPU, in their order."""
    rows = _rows(await monitor.execute("query-cpus-fast"))
    ordered = sorted(rows, key=lambda row: _number(row, "cpu-index"))
    return tuple(int(_number(row, "thread-id")) for row in ordered)


def _ran(process: int, cpus: Sequence[int]) -> list[float]:
    """Return how long each vCPU ran or waited for a CPU, in seconds; 0 for one that is gone."""
    found = {thread.number: thread.ran_s + thread.waited_s for thread in threads(process)}
    return [found.get(cpu, 0.0) for cpu in cpus]


def _per_cpu(answer: Mapping[str, object]) -> tuple[float, ...]:
    rows = sorted(_rows(answer.get("vcpu-dirty-rate")), key=lambda row: _number(row, "id"))
    return tuple(_number(row, "dirty-rate") for row in rows)


def _rows(answer: object) -> list[dict[str, object]]:
    return [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []


def _number(row: Mapping[str, object], name: str) -> float:
    value = row.get(name)
    if isinstance(value, int | float):
        return float(value)
    raise Refused(f"QEMU does not tell {name}", details=(str(dict(row))[:200],))
