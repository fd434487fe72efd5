# SPDX-License-Identifier: Apache-2.0
"""What a group leaves open to a member: hosts and cells closed by the others' places."""

from dataclasses import dataclass, field

import numpy as np

from billow.capabilities.placement.cells import Cells
from billow.model.kinds import Rule, Scope
from billow.model.resources import BoolArray
from billow.plan.peers import Circle


@dataclass(frozen=True, slots=True)
class Closed:
    """Where an instance must not go.

    Attributes:
        hosts: Rows of single hosts.
        cells: `(cells,) bool`; None when no whole cell is closed.
        only: The one host (row) that is open, or None.
    """

    hosts: frozenset[int] = field(default_factory=frozenset)
    cells: BoolArray | None = None
    only: int | None = None

    def also(self, other: "Closed") -> "Closed":
        """Return what either of two closes; at most one of them names a single host."""
        cells = other.cells if self.cells is None else self.cells
        if self.cells is not None and other.cells is not None:
            cells = self.cells | other.cells
        only = other.only if self.only is None else self.only
        return Closed(self.hosts | other.hosts, cells, only)


NOTHING_CLOSED = Closed()


def closed_by(circle: Circle | None, instance: int, cells: Cells) -> Closed:
    """Return what a group's other members close to an instance (row)."""
    others = circle.others(instance) if circle is not None else []
    if circle is None or not others:
        return NOTHING_CLOSED
    group = circle.group
    if group.rule is Rule.AFFINITY:
        return _closed_by_affinity(group.scope, others, cells)
    if group.scope is Scope.HOST:
        return Closed(hosts=frozenset(others))
    return Closed(cells=_in_any(group.scope, others, cells))


def open_to(circle: Circle | None, instance: int, hosts: int) -> BoolArray:
    """Return which of so many hosts a group leaves open: `(hosts,) bool`. Linear in hosts."""
    others = circle.others(instance) if circle is not None else []
    if circle is None or not others:
        return np.ones(hosts, dtype=np.bool_)
    there: BoolArray = np.isin(circle.domains, others)
    if circle.group.rule is Rule.ANTI_AFFINITY:
        return ~there
    return there if len(others) == 1 else np.zeros(hosts, dtype=np.bool_)


def _closed_by_affinity(scope: Scope, others: list[int], cells: Cells) -> Closed:
    if len(others) > 1:  # the members are apart already: no host is with all of them
        return Closed(cells=np.ones(len(cells), dtype=np.bool_))
    if scope is Scope.HOST:
        return Closed(only=others[0])
    return Closed(cells=~_in_any(scope, others, cells))


def _in_any(scope: Scope, domains: list[int], cells: Cells) -> BoolArray:
    codes = cells.rack if scope is Scope.RACK else cells.zone
    inside: BoolArray = codes == domains[0]
    for domain in domains[1:]:
        inside |= codes == domain
    return inside
