# SPDX-License-Identifier: Apache-2.0
"""Who of a group is where: the affinity rules, kept up to date move by move.

An instance that is moving counts at both ends until it has left, so a rule holds at every moment.
"""

from collections import Counter

import numpy as np

from billow.model.instances import NOWHERE
from billow.model.kinds import Rule, Scope
from billow.model.pool import Pool


class Peers:
    """Members per group and domain (host, rack or zone).

    Building it is linear in the grouped instances; each question and change is constant.
    """

    def __init__(self, pool: Pool) -> None:
        self._group = pool.instances.group.codes
        names = pool.instances.group.categories
        known = {group.name: group for group in pool.groups}
        scopes = {
            Scope.HOST: np.arange(len(pool.hosts), dtype=np.int32),
            Scope.RACK: pool.hosts.rack.codes,
            Scope.ZONE: pool.hosts.zone.codes,
        }
        self._rule = [known[name].rule if name in known else None for name in names]
        self._domain = [scopes[known[name].scope] if name in known else None for name in names]
        self._members = [Counter[int]() for _ in names]
        self._homes: dict[int, list[int]] = {}
        self._fill(pool)

    def allow(self, instance: int, host: int) -> bool:
        """Return whether the group of an instance (row) lets it be on a host (row).

        Its own place counts for nothing; that of all others does.
        """
        group = int(self._group[instance])
        domains = self._domain[group]
        if domains is None:
            return True
        members, homes = self._members[group], self._homes.get(instance, [])
        domain = int(domains[host])
        others_here = members[domain] - homes.count(domain)
        if self._rule[group] is Rule.ANTI_AFFINITY:
            return others_here == 0
        return others_here == members.total() - len(homes)

    def enter(self, instance: int, host: int) -> None:
        """Note that an instance (row) is on a host (row) from now on."""
        group = int(self._group[instance])
        domains = self._domain[group]
        if domains is not None:
            domain = int(domains[host])
            self._members[group][domain] += 1
            self._homes.setdefault(instance, []).append(domain)

    def leave(self, instance: int, host: int) -> None:
        """Note that an instance (row) is no longer on a host (row)."""
        group = int(self._group[instance])
        domains = self._domain[group]
        if domains is not None:
            domain = int(domains[host])
            self._members[group][domain] -= 1
            self._homes[instance].remove(domain)

    def _fill(self, pool: Pool) -> None:
        ruled = np.array([domain is not None for domain in self._domain], dtype=np.bool_)
        if ruled.any():
            hosts = pool.instances.host
            for row in np.flatnonzero(ruled[self._group] & (hosts != NOWHERE)).tolist():
                self.enter(row, int(hosts[row]))
