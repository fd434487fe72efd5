# SPDX-License-Identifier: Apache-2.0
"""Who of a group is where: the affinity rules, kept up to date move by move.

An instance that is moving counts at both ends until it has left, so a rule holds at every moment.
"""

from collections import Counter
from functools import cached_property
from typing import Any, Final

import numpy as np

from billow.model.group import Group
from billow.model.instances import NOWHERE
from billow.model.kinds import Rule, Scope
from billow.model.pool import Pool
from billow.model.resources import IntArray, RowArray

FEW: Final = 16
"""Up to so many circles are drawn one by one; then all members are sorted by group, once."""


class Circle:
    """One group and where its members are.

    Attributes:
        group: The rule and its scope.
        domains: The domain (host, rack or zone, as a code) of each host, `(hosts,) int32`.
    """

    def __init__(self, group: Group, domains: RowArray) -> None:
        self.group = group
        self.domains = domains
        self._members: Counter[int] = Counter()
        self._homes: dict[int, list[int]] = {}

    def allow(self, instance: int, host: int) -> bool:
        """Return whether a member (row) may be on a host (row); its own place is no hindrance."""
        members, homes = self._members, self._homes.get(instance, [])
        domain = int(self.domains[host])
        others_here = members[domain] - homes.count(domain)
        if self.group.rule is Rule.ANTI_AFFINITY:
            return others_here == 0
        return others_here == members.total() - len(homes)

    def others(self, instance: int) -> list[int]:
        """Return the domains in which members other than this one (row) are, ascending."""
        homes = self._homes.get(instance, [])
        return sorted(
            domain for domain, count in self._members.items() if count > homes.count(domain)
        )

    def enter(self, instance: int, host: int) -> None:
        """Note that a member (row) is on a host (row) from now on."""
        domain = int(self.domains[host])
        self._members[domain] += 1
        self._homes.setdefault(instance, []).append(domain)

    def leave(self, instance: int, host: int) -> None:
        """Note that a member (row) is no longer on a host (row)."""
        domain = int(self.domains[host])
        self._members[domain] -= 1
        self._homes[instance].remove(domain)


class Peers:
    """The circles of a pool, each drawn when it is first asked for.

    Building it costs nothing; the first question about a group is one pass over the instances, and
    once many have been asked for, one over all grouped ones. After that all is constant.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._group = pool.instances.group.codes
        self._code: Any = memoryview(self._group.data)  # reads one number quicker than NumPy
        self._circles: dict[int, Circle | None] = {}

    def circle(self, instance: int) -> Circle | None:
        """Return the circle of an instance (row), or None when no rule binds it."""
        code = self._code[instance]
        try:
            return self._circles[code]
        except KeyError:
            return self._circles.setdefault(code, self._drawn(code))

    def allow(self, instance: int, host: int) -> bool:
        """Return whether the group of an instance (row) lets it be on a host (row).

        Its own place counts for nothing; that of all others does.
        """
        circle = self.circle(instance)
        return circle is None or circle.allow(instance, host)

    def enter(self, instance: int, host: int) -> None:
        """Note that an instance (row) is on a host (row) from now on."""
        circle = self.circle(instance)
        if circle is not None:
            circle.enter(instance, host)

    def leave(self, instance: int, host: int) -> None:
        """Note that an instance (row) is no longer on a host (row)."""
        circle = self.circle(instance)
        if circle is not None:
            circle.leave(instance, host)

    def _drawn(self, code: int) -> Circle | None:
        group = self._pool.group(self._pool.instances.group.categories[code])
        if group is None:
            return None
        circle = Circle(group, self._domains(group.scope))
        for row in self._members(code).tolist():
            circle.enter(row, int(self._pool.instances.host[row]))
        return circle

    def _members(self, code: int) -> IntArray:
        """Return the rows of the placed members of a group."""
        if len(self._circles) < FEW:
            placed = (self._group == code) & (self._pool.instances.host != NOWHERE)
            return np.flatnonzero(placed).astype(np.int64)
        rows, starts = self._placed
        return rows[starts[code] : starts[code + 1]]

    def _domains(self, scope: Scope) -> RowArray:
        match scope:
            case Scope.HOST:
                return self._each_host
            case Scope.RACK:
                return self._pool.hosts.rack.codes
            case Scope.ZONE:
                return self._pool.hosts.zone.codes

    @cached_property
    def _each_host(self) -> RowArray:
        return np.arange(len(self._pool.hosts), dtype=np.int32)

    @cached_property
    def _placed(self) -> tuple[IntArray, IntArray]:
        """Rows of placed members of groups, group by group, and where each group begins."""
        names = self._pool.instances.group.categories
        named = np.array([bool(name) for name in names], dtype=np.bool_)
        members = named[self._group] & (self._pool.instances.host != NOWHERE)
        rows = np.flatnonzero(members).astype(np.int64)
        codes = self._group[rows]
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(names) + 1)).astype(np.int64)
        return rows[order], starts
