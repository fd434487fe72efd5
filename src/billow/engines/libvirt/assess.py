# SPDX-License-Identifier: Apache-2.0
"""Assess a move: ask a machine's QEMU, through libvirt, how the guest writes. Changes nothing.

What the link between two hosts carries cannot be measured from here: it is what the last move over
it carried, and until there was one, what planners take it for.
"""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from billow.engines.libvirt.migration import abilities
from billow.engines.libvirt.sight import Sighting
from billow.engines.libvirt.translate import LINK_MIB_S
from billow.engines.libvirt.wire import Api
from billow.engines.libvirt.words import Domain
from billow.errors import Refused, Unavailable
from billow.model.assessment import Assessment, Guest, Link, Way, Writer
from billow.model.kinds import MigrationPolicy
from billow.plan.steering import Abilities, choose

COUNTED_S: Final = 1
SAMPLED_S: Final = 3
SAMPLED_FROM_MIB: Final = 128
"""QEMU leaves smaller memory out when it samples pages."""
_SATURATED: Final = 0.8
"""Pages sampled below this part of what the ring counted: the same ones are written again."""
_PATIENCE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be assessed.

    Attributes:
        carried_mib_s: What the last move between the two hosts carried; NaN before the first.
    """

    instance: str
    there: Sighting
    target: str
    downtime_s: float
    policy: MigrationPolicy
    carried_mib_s: float = math.nan


async def assess(api: Api, question: Question, now: float) -> Assessment:
    """Measure a machine; takes 1 to 5 seconds. Raises Unavailable, Refused."""
    known = question.carried_mib_s > 0
    guest, can, measured, gaps = await _guest(api, question.there)
    link = "bandwidth: what the last move between the two hosts carried"
    unknown = f"no move has shown what the link carries: {LINK_MIB_S:.0f} MiB/s is taken for it"
    return Assessment(
        instance=question.instance,
        source=question.there.host,
        target=question.target,
        taken_at=now,
        guest=guest,
        link=Link(
            bandwidth_mib_s=question.carried_mib_s if known else LINK_MIB_S,
            downtime_s=question.downtime_s,
        ),
        ways=_ways(can) if can else (Way.PLAIN,),
        used=choose(question.policy, can).way if can else Way.PLAIN,
        measured=(*measured, *((link,) if known else ())),
        gaps=(*gaps, *(() if known else (unknown,))),
    )


async def _guest(
    api: Api, there: Sighting
) -> tuple[Guest, Abilities | None, tuple[str, ...], tuple[str, ...]]:
    """Return the guest, what its process can do, how it was measured, and what was not."""
    machine, domain = there.machine, there.domain
    memory = float(machine.memory_mib)
    if domain.number < 0:
        idle = Guest(memory_mib=memory, writers=(), empty_share=1.0)
        return idle, None, (), ("it does not run: there is no memory to copy",)
    rates: tuple[float, ...] = ()
    sampled, told, gaps = math.nan, [], []
    if machine.ring:
        rates = _per_vcpu(await _measure(api, domain, COUNTED_S, {"mode": "dirty-ring"}))
        told.append("dirty rate: KVM's dirty ring, per vCPU, one second")
    if memory >= SAMPLED_FROM_MIB:
        how = {"mode": "page-sampling", "sample-pages": 4096}
        answer = await _measure(api, domain, SAMPLED_S, how)
        sampled = _number(answer.get("dirty-rate")) * SAMPLED_S
        told.append(f"working set: page sampling, {SAMPLED_S} seconds")
    if not machine.ring:
        gaps.append("no dirty ring: vCPUs cannot be told apart")
        rates = () if math.isnan(sampled) else (sampled / SAMPLED_S,)
    used = memory if math.isnan(there.use.memory_mib) else min(memory, there.use.memory_mib)
    guest = Guest(
        memory_mib=memory,
        writers=_writers(rates, sampled, used),
        empty_share=1.0 - used / memory,
        writes_known=bool(rates),
    )
    return guest, await abilities(api, domain, machine), tuple(told), tuple(gaps)


def _writers(rates: tuple[float, ...], sampled: float, used_mib: float) -> tuple[Writer, ...]:
    """Return the writers; they write again to what was sampled, if less than was counted."""
    counted = math.fsum(rates)
    known = not math.isnan(sampled) and sampled < _SATURATED * counted * SAMPLED_S
    return tuple(
        Writer(
            dirty_mib_s=rate,
            working_mib=min(used_mib, sampled * rate / counted) if known else used_mib,
        )
        for rate in rates
    )


def _ways(can: Abilities) -> tuple[Way, ...]:
    brakes = (Way.DIRTY_LIMIT,) * can.limits + (Way.AUTO_CONVERGE,) * can.auto_converge
    return (Way.PLAIN, *brakes, *(Way.POST_COPY,) * can.post_copy)


async def _measure(
    api: Api, domain: Domain, seconds: int, how: Mapping[str, object]
) -> dict[str, object]:
    """Let QEMU measure; return what it says. Waits for another measurement first."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await _measured(api, domain)
            await api.ask_qemu(domain, "calc-dirty-rate", {"calc-time": seconds, **how})
            await asyncio.sleep(seconds)
            return await _measured(api, domain)
    except TimeoutError as error:
        raise Unavailable(
            "QEMU does not say how much the guest writes",
            details=(f"no answer within {_PATIENCE_S:g} s",),
            fix="try again",
        ) from error


async def _measured(api: Api, domain: Domain) -> dict[str, object]:
    """Return the last measurement once none is under way."""
    while True:
        answer = await api.ask_qemu(domain, "query-dirty-rate")
        if isinstance(answer, dict) and answer.get("status") != "measuring":
            return answer
        await asyncio.sleep(_LOOK_EVERY_S)


def _per_vcpu(answer: Mapping[str, object]) -> tuple[float, ...]:
    found = answer.get("vcpu-dirty-rate")
    rows = found if isinstance(found, list) else []
    return tuple(
        _number(row.get("dirty-rate")) for row in sorted(rows, key=lambda row: int(row["id"]))
    )


def _number(value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise Refused("QEMU does not tell how much the guest writes", code="bad-answer")
