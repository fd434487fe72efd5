# SPDX-License-Identifier: Apache-2.0
"""Where the instances of a test's pool go: simple, predictable, and not a planner."""

from collections.abc import Sequence
from dataclasses import replace

from billow.errors import Invalid
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.shape import Shape

Amounts = list[int]


class Rooms:
    """What the hosts of a pool under construction have left; hosts may be added meanwhile."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts
        self._turn = 0
        self._nodes: dict[str, list[Amounts]] = {}

    def settle(self, instance: Instance, where: str) -> Instance:
        """Return the instance on its host: `spread`, `pack`, a host's name, or none for "".

        Raises:
            Invalid: it does not fit there.
        """
        if not where:
            return instance
        for host in self._candidates(where):
            nodes = self._fitting(host, instance.shape)
            if nodes is not None:
                self._take(host, instance.shape, nodes)
                return replace(instance, host=host.id, nodes=nodes)
        raise Invalid(f"no room for {instance.id} ({instance.shape.name})", fix="give more hosts")

    def fits(self, shape: Shape, host: Host) -> bool:
        """Return whether a host has room for a shape now."""
        return self._fitting(host, shape) is not None

    def _candidates(self, where: str) -> Sequence[Host]:
        if where == "pack":
            return self._hosts
        if where == "spread":
            start = self._turn % max(len(self._hosts), 1)
            self._turn += 1
            return [*self._hosts[start:], *self._hosts[:start]]
        return [host for host in self._hosts if host.id == where]

    def _fitting(self, host: Host, shape: Shape) -> tuple[int, ...] | None:
        """Return the nodes that would take a shape (none for one that floats), or None."""
        free = self._free(host)
        total = [sum(each) for each in zip(*free, strict=True)]
        if not _holds(total, shape.demand):
            return None
        open_nodes = [number for number, left in enumerate(free) if _holds(left, shape.share)]
        roomiest = sorted(open_nodes, key=lambda number: [-left for left in free[number]])
        if len(roomiest) < shape.numa_nodes:
            return None
        return tuple(sorted(roomiest[: shape.numa_nodes]))

    def _take(self, host: Host, shape: Shape, nodes: tuple[int, ...]) -> None:
        if nodes:
            for number in nodes:
                _subtract(self._free(host)[number], shape.share)
        else:  # what floats is counted where most is left
            _subtract(max(self._free(host)), shape.demand)

    def _free(self, host: Host) -> list[Amounts]:
        if host.id not in self._nodes:
            self._nodes[host.id] = [list(node.amounts) for node in host.nodes]
        return self._nodes[host.id]


def _holds(left: Sequence[int], wanted: Sequence[int]) -> bool:
    return all(amount <= have for amount, have in zip(wanted, left, strict=True))


def _subtract(left: Amounts, taken: Sequence[int]) -> None:
    for resource, amount in enumerate(taken):
        left[resource] -= amount
