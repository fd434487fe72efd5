# SPDX-License-Identifier: Apache-2.0
"""Why a decision about a host is what it is, and what would have made it another one.

Everything is said in sentences here, so that all faces say the same. It must not decide anything.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from billow.model.ha.evidence import NETWORKS, Hardware, Network
from billow.model.ha.explanation import Explanation
from billow.model.ha.incident import Recovery
from billow.model.ha.response import Response
from billow.model.kinds import Power
from billow.plan.ha.facts import Facts
from billow.plan.ha.gates import Ruling
from billow.plan.ha.table import Key, key_of, rows

_POWER: Final = {
    Power.ON: "its management controller says on",
    Power.OFF: "its management controller says off",
    Power.UNKNOWN: "its management controller does not answer",
}
_HARDWARE: Final = {
    Hardware.SOUND: "no symptom of the host itself",
    Hardware.PREDICTED: "a failure is predicted",
    Hardware.HURTING: "its instances suffer now",
    Hardware.FATAL: "its kernel is dead or dying",
}
_RECOVERY: Final = {
    Recovery.NONE: "nothing is ended or moved",
    Recovery.DRAIN: "its instances are moved away live, one after the other",
    Recovery.MOVE: "its instances are moved away live, at once",
    Recovery.RESTART: "its instances start elsewhere after a proof",
}


def explain(facts: Facts, rulings: Sequence[Ruling]) -> Explanation:
    """Return why a host is treated as it is.

    Args:
        facts: What the protocol was told.
        rulings: What each gate said.
    """
    return Explanation(
        row=facts.response.row,
        diagnosis=facts.response.diagnosis,
        evidence=tuple(_evidence(facts)),
        gates=tuple(each.gate for each in rulings),
        otherwise=tuple(_otherwise(facts, rulings)),
    )


def deed_of(response: Response) -> str:
    """Return what a row does, in words."""
    if response.recovery is not Recovery.RESTART:
        return _RECOVERY[response.recovery]
    if not response.fence:
        return "it is held, as nothing can prove that it is dead"
    return f"{_RECOVERY[response.recovery]} by {', '.join(response.fence)}"


def _evidence(facts: Facts) -> Iterator[str]:
    sight = facts.sight
    for network in NETWORKS:
        yield f"{network}: {_path(facts, network)}"
    if sight.heard_at:
        yield f"last heard at most {max(0.0, facts.now - sight.heard_at):.1f} s ago"
    yield f"power: {_power(facts)}"
    yield f"hardware: {_HARDWARE[sight.hardware]}"
    yield from (f"{each.probe} {each.subject}: {each.text}" for each in sight.symptoms)
    if sight.gasped:
        yield "its kernel said that nothing runs any more"
    lease = f"its watchdog resets it after {sight.lease_s:g} s without an acknowledged beat"
    yield lease if sight.lease_s else "no watchdog resets it"


def _path(facts: Facts, network: Network) -> str:
    sight = facts.sight
    if network in sight.lost:
        return f"lost for {max(0.0, facts.now - sight.lost[network]):.1f} s"
    if any(each.network is network for each in sight.symptoms):
        return "heard, but its agent proves the path broken"
    if key_of(facts.response.row).lost[NETWORKS.index(network)]:
        return "heard by nobody for a while, though too few may judge it"
    return "heard, or nobody may say that it is not"


def _power(facts: Facts) -> str:
    sight, believed = facts.sight, key_of(facts.response.row).power
    if believed is sight.power:
        return _POWER[sight.power]
    if sight.power is Power.UNKNOWN and not sight.power_since:
        return f'not read yet, taken for "{believed}"'
    return f"{_POWER[sight.power]}, which is not believed"


def _otherwise(facts: Facts, rulings: Sequence[Ruling]) -> Iterator[str]:
    """Yield what would have changed the decision: gates first, then the nearest rows."""
    response = facts.response
    if response.recovery is not Recovery.NONE:
        for ruling in rulings:
            if ruling.rule:
                yield f"if the gate {ruling.gate.name} were open: {deed_of(response)}"
    here = key_of(response.row)
    for change, key in _neighbours(here):
        there = rows()[key]
        if _essence(there) != _essence(response):
            yield f"if {change}: {there.diagnosis}; {deed_of(there)}"


def _essence(response: Response) -> tuple[object, ...]:
    return response.recovery, response.fence, response.grace


def _neighbours(key: Key) -> Iterator[tuple[str, Key]]:
    """Yield the rows that differ in one thing, and in which."""
    for n, network in enumerate(NETWORKS):
        lost = tuple(each != (n == place) for place, each in enumerate(key.lost))
        yield f"{network} were {'lost' if lost[n] else 'heard'}", key._replace(lost=lost)
    for power in Power:
        if power is not key.power:
            yield f'power were "{power}"', key._replace(power=power)
    for hardware in Hardware:
        if hardware is not key.hardware:
            yield f"hardware were: {_HARDWARE[hardware]}", key._replace(hardware=hardware)
    lease = "no watchdog reset it" if key.lease else "its watchdog reset it"
    yield lease, key._replace(lease=not key.lease)
