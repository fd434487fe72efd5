# SPDX-License-Identifier: Apache-2.0
"""Faults for each row of the decision table, so that every one of them can be driven end to end."""

from collections.abc import Iterator

from billow.engines.sim.fault import Blow, Fault, Whom
from billow.model.ha.evidence import NETWORKS, Hardware
from billow.model.kinds import Power
from billow.plan.ha.table import Key

LEASE_S = 4.0


def fault_for(key: Key, host: str, *, dead: bool = False) -> tuple[Fault, ...]:
    """Return the faults, in order, that bring a well host under a row.

    What its agent says is said before the networks fall silent; power is what its management
    controller reads.

    Args:
        key: The row's left-hand side.
        host: Which host.
        dead: Whether a host that is silent, with power or without an answer, is dead in truth;
            else it is cut off, and its guests run on.
    """
    return tuple(_faults(key, host, dead=dead))


def _faults(key: Key, host: str, *, dead: bool) -> Iterator[Fault]:
    def befalls(blow: Blow, number: float = 0.0) -> Fault:
        return Fault(Whom.HOST, host, blow, number=number)

    silent = all(key.lost)
    yield befalls(Blow.LEASE, LEASE_S if key.lease else 0.0)
    if key.hardware is not Hardware.SOUND:
        yield Fault(Whom.HOST, host, Blow.HARDWARE, grade=key.hardware)
    if key.power is Power.UNKNOWN:
        yield befalls(Blow.BMC_DIES)
    elif key.power is Power.OFF:
        yield befalls(Blow.DARK if silent else Blow.BMC_LIES)
    if silent and key.power is not Power.OFF and dead:
        yield befalls(Blow.CRASHES)
    lost = tuple(each for each, gone in zip(NETWORKS, key.lost, strict=True) if gone)
    if lost and not (silent and key.power is Power.OFF):
        yield Fault(Whom.HOST, host, Blow.LOSES, lost)
