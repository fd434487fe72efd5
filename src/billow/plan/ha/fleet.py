# SPDX-License-Identifier: Apache-2.0
"""What is known of the whole fleet at one instant: the evidence that a decision is made from."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from billow.model.ha.care import Maintenance, rack_name
from billow.model.ha.evidence import NETWORKS, Sight
from billow.model.ha.incident import Incident, Victim
from billow.model.ha.policy import HaPolicy
from billow.model.ha.response import Answer
from billow.model.resources import IntArray


class Scope(NamedTuple):
    """Hosts that can fail together.

    Attributes:
        kind: `zone`, `rack`, `switch` or `pool` (of storage).
        name: Of a switch, the network and the switch: `tenant/s1`.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host stands, and what it hangs on.

    Attributes:
        switches: On each network, in the order of NETWORKS; empty where that is not known.
        pools: Of storage.
    """

    zone: str = ""
    rack: str = ""
    switches: tuple[str, ...] = ("",) * len(NETWORKS)
    pools: tuple[str, ...] = ()

    def scopes(self) -> tuple[Scope, ...]:
        """Return all that it shares with others; its zone comes first, and is always there."""
        switches = zip(NETWORKS, self.switches, strict=True)
        return (
            Scope("zone", self.zone),
            *((Scope("rack", rack_name(self.zone, self.rack)),) if self.rack else ()),
            *(Scope("switch", f"{network}/{name}") for network, name in switches if name),
            *(Scope("pool", name) for name in self.pools),
        )


NOWHERE: Final = Place()


@dataclass(frozen=True)
class Layout:
    """Where every host of the fleet stands. Its arrays have a row for each host, in order."""

    places: Mapping[str, Place]

    def place(self, host: str) -> Place:
        """Return where a host stands; one that is not known stands in the nameless zone."""
        return self.places.get(host, NOWHERE)

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """All hosts."""
        return tuple(self.places)

    @cached_property
    def row(self) -> Mapping[str, int]:
        """The row of each host."""
        return {host: row for row, host in enumerate(self.places)}

    @cached_property
    def sizes(self) -> Mapping[Scope, int]:
        """How many hosts share each scope."""
        sizes: dict[Scope, int] = defaultdict(int)
        for place in self.places.values():
            for scope in place.scopes():
                sizes[scope] += 1
        return sizes

    @cached_property
    def groups(self) -> IntArray:
        """What tells hosts apart that could fail together on a network, `(hosts, 3) int64`.

        Switches; racks, where all hang on one switch; hosts, where all stand in one rack. The
        numbers of one network are not those of another.
        """
        racks = self.racks if self.racks.any() else np.arange(len(self.places))
        columns = [column if column.any() else racks for column in self.switches.T]
        size = 1 + max(int(column.max()) for column in columns)
        return np.stack([column + n * size for n, column in enumerate(columns)], axis=1)

    @cached_property
    def switches(self) -> IntArray:
        """The switch of each host on each network as a number, `(hosts, 3) int64`."""
        columns = [
            _numbered([place.switches[n] for place in self.places.values()])
            for n in range(len(NETWORKS))
        ]
        return np.stack(columns, axis=1)

    @cached_property
    def racks(self) -> IntArray:
        """The rack of each host as a number, `(hosts,) int64`; one without stands alone."""
        return _numbered(
            [
                Scope("rack", rack_name(place.zone, place.rack))
                if place.rack
                else Scope("host", host)
                for host, place in self.places.items()
            ]
        )


def _numbered(names: Sequence[Hashable]) -> IntArray:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one controller knows of the fleet.

    Attributes:
        fence: The controller's; it rises with each change of the writer.
        sights: Of each host that is not well, and of each that has an open incident. An incident
            without one is left as it is, unless its host is proved dead.
        faint: Hosts that nobody heard just now on some network, though it is too early to miss
            them, or too few can: they count for a storm, so that the first of many is not taken for
            the only one.
        uneven: Whether a controller was held up just now, so that of hosts that fell silent
            together some are lost later than others.
        incidents: The open one of each host.
        history: Incidents closed within the last `HaPolicy.quarantine_s + flap_s`.
        answers: How this controller's own deeds ended, by incident.
        victims: What runs on a host, in the order of recovery; of one that is proved dead, what was
            there at the first look at the pool since.
        unseen: The hosts that are proved dead, and the pool was not looked at since.
        rooms: Where an instance can be started now.
        nowhere: Why an instance has no room, as far as that was looked for.
        maintenance: Hosts, racks, zones or the whole pool that are to be left alone.
        controllers: How many there are.
        present: How many of them speak now, this one included.
    """

    fence: int
    layout: Layout
    policy: HaPolicy = field(default_factory=HaPolicy)
    sights: Mapping[str, Sight] = field(default_factory=dict)
    faint: Collection[str] = ()
    uneven: bool = False
    incidents: Mapping[str, Incident] = field(default_factory=dict)
    history: Sequence[Incident] = ()
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict)
    victims: Mapping[str, tuple[Victim, ...]] = field(default_factory=dict)
    unseen: Collection[str] = ()
    rooms: Mapping[str, str] = field(default_factory=dict)
    nowhere: Mapping[str, str] = field(default_factory=dict)
    maintenance: Sequence[Maintenance] = ()
    controllers: int = 1
    present: int = 1

    @property
    def quorum(self) -> int:
        """How many controllers must agree: 1 of 1, 2 of 3, 3 of 5."""
        return self.controllers // 2 + 1
