# SPDX-License-Identifier: Apache-2.0
"""The small facts around hosts and instances: groups, links, uplinks, facts, gaps."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from billow.model.kinds import Rule, Scope
from billow.model.names import check_id, check_measure, check_text, check_word


@dataclass(frozen=True, slots=True)
class Group:
    """Instances that must share a host, rack or zone, or must not."""

    name: str
    rule: Rule
    scope: Scope = Scope.HOST

    def __post_init__(self) -> None:
        check_id("group", self.name)
        check_word(f"rule of group {self.name}", self.rule, Rule)
        check_word(f"scope of group {self.name}", self.scope, Scope)

    @property
    def canonical(self) -> str:
        """All that it says, as one text for digests."""
        return f"{self.name}\2{self.rule}\2{self.scope}"


def group_named(groups: Sequence[Group], name: str) -> Group | None:
    """Return the group of that name among groups sorted by name, or None. Logarithmic."""
    place = bisect_left(groups, name, key=_NAME)
    return groups[place] if place < len(groups) and groups[place].name == name else None


_NAME = attrgetter("name")


@dataclass(frozen=True, slots=True)
class Link:
    """What the network carries between two hosts, where it is not the slower host's own link."""

    first: str
    second: str
    bandwidth_mib_s: float

    def __post_init__(self) -> None:
        check_id("host", self.first)
        check_id("host", self.second)
        what = f"bandwidth between {self.first} and {self.second}"
        check_measure(what, self.bandwidth_mib_s, unseen=False)

    @property
    def canonical(self) -> str:
        """All that it says, as one text for digests."""
        return f"{self.first}\2{self.second}\2{float(self.bandwidth_mib_s)!r}"


@dataclass(frozen=True, slots=True)
class Uplink:
    """What a rack's link to all other racks carries, each way."""

    rack: str
    bandwidth_mib_s: float

    def __post_init__(self) -> None:
        check_id("rack", self.rack)
        check_measure(f"uplink of rack {self.rack}", self.bandwidth_mib_s, unseen=False)

    @property
    def canonical(self) -> str:
        """All that it says, as one text for digests."""
        return f"{self.rack}\2{float(self.bandwidth_mib_s)!r}"


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing known of a subject that has no column: `host/h1`, `accelerator`, `kvm`."""

    subject: str
    key: str
    value: str

    def __post_init__(self) -> None:
        check_text("subject of a fact", self.subject)
        check_text(f"key of a fact on {self.subject}", self.key)
        check_text(f"{self.key} of {self.subject}", self.value)


@dataclass(frozen=True, slots=True)
class Gap:
    """Something of the pool that could not be seen, and why; a partial view is normal."""

    subject: str
    why: str

    def __post_init__(self) -> None:
        check_text("subject of a gap", self.subject)
        check_text(f"why {self.subject} was not seen", self.why)
