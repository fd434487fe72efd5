# SPDX-License-Identifier: Apache-2.0
"""The small facts around hosts and instances: groups, links, facts, gaps."""

from dataclasses import dataclass

from billow.model.kinds import Rule, Scope
from billow.model.names import check_id, check_measure


@dataclass(frozen=True, slots=True)
class Group:
    """Instances that must share a host, rack or zone, or must not."""

    name: str
    rule: Rule
    scope: Scope = Scope.HOST

    def __post_init__(self) -> None:
        check_id("group", self.name)


@dataclass(frozen=True, slots=True)
class Link:
    """What the network carries between two hosts, where it differs from the slower host's own link."""

    first: str
    second: str
    bandwidth_mib_s: float

    def __post_init__(self) -> None:
        check_measure(f"bandwidth between {self.first} and {self.second}", self.bandwidth_mib_s)


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing known of a subject that has no column of its own (`host/h1`, `accelerator`, `kvm`)."""

    subject: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Something of the pool that could not be seen, and why. A partial view is normal, and says so."""

    subject: str
    why: str
