# SPDX-License-Identifier: Apache-2.0
"""In which order the instances of dead hosts come back, and how many at one time.

Where each goes is placement's choice. Pure: no I/O, no clock, no dice.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import numpy as np

from billow.model.ha.incident import Fate, Incident, Phase, Victim
from billow.model.instance import Instance
from billow.model.kinds import State, Storage
from billow.model.pool import Pool

OWN_DISK: Final = "its disk is its host's own: it comes back with the host, or from a copy"
NO_ROOM: Final = "no host has room for them"
_AT_WORK: Final = frozenset({State.RUNNING, State.FAILED, State.UNKNOWN, State.PAUSED})


@dataclass(frozen=True, slots=True)
class Pace:
    """How many instances may be in the act of starting.

    Attributes:
        per_host: On one target, whose disks and CPUs a storm of boots would choke.
        in_all: In the whole pool, for the sake of storage.
    """

    per_host: int = 8
    in_all: int = 64


def victims_of(pool: Pool, host: str) -> tuple[Victim, ...]:
    """Return the instances of a host in the order in which they come back.

    Bands by priority, the highest of the whole pool first; what was stopped comes last, and is only
    given another home. Within a band tenants take turns: no large one keeps the others waiting.
    A host that the pool does not have has none.
    """
    if host not in pool.hosts.row:
        return ()
    row = pool.host_row(host)
    there = pool.views((pool.instances.host == row).nonzero()[0].tolist())
    ranks = sorted({-int(each) for each in np.unique(pool.instances.priority)})
    queues: dict[int, list[Instance]] = defaultdict(list)
    for each in there:
        at_work = each.state in _AT_WORK
        queues[ranks.index(-each.priority) if at_work else len(ranks)].append(each)
    return tuple(_victim(each, band) for band in sorted(queues) for each in _by_turns(queues[band]))


def _by_turns(mates: Iterable[Instance]) -> Iterator[Instance]:
    queues: dict[str, list[Instance]] = defaultdict(list)
    for each in mates:
        queues[each.tenant].append(each)
    for turn in zip_longest(*(queues[tenant] for tenant in sorted(queues))):
        yield from (each for each in turn if each is not None)


def _victim(instance: Instance, band: int) -> Victim:
    why = OWN_DISK if instance.disk is Storage.OWN else ""
    if instance.bound:
        why = f"it is bound to its host: {instance.immovable}"
    return Victim(instance.id, band, Fate.LEFT if why else Fate.WAITING, why=why)


def waiting(incidents: Iterable[Incident]) -> list[str]:
    """Return the instances that wait to be started elsewhere, in the order of all incidents.

    Those whose host is not proved dead yet are in it: their place is chosen meanwhile.
    """
    queue = [
        (victim.band, number, place, victim.instance)
        for number, incident in enumerate(sorted(incidents, key=lambda each: each.opened_at))
        if incident.phase in {Phase.WAITING, Phase.FENCING, Phase.RECOVERING}
        for place, victim in enumerate(incident.victims)
        if victim.fate is Fate.WAITING
    ]
    return [instance for *_, instance in sorted(queue)]


def rooms_now(
    incidents: Sequence[Incident], chosen: Mapping[str, str], pace: Pace
) -> dict[str, str]:
    """Return which waiting instances may begin to start now, and where.

    Args:
        incidents: Those that are open.
        chosen: Where each waiting instance would go.
        pace: How many may be starting.
    """
    starting = Counter(
        victim.target
        for incident in incidents
        for victim in incident.victims
        if victim.fate is Fate.STARTING
    )
    free = pace.in_all - starting.total()
    rooms: dict[str, str] = {}
    for instance in waiting(each for each in incidents if each.phase is Phase.RECOVERING):
        target = chosen.get(instance)
        if free > len(rooms) and target is not None and starting[target] < pace.per_host:
            rooms[instance] = target
            starting[target] += 1
    return rooms
