# SPDX-License-Identifier: Apache-2.0
"""A peer for placement: the plain filter-and-weigh loop, one request at a time over host objects.

It works as OpenStack's FilterScheduler does: for each request a list of the hosts that pass every
filter, the weights of all of them scaled to 0..1, the best one taken and its state updated.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Rule, Scope
from billow.model.pool import Pool
from billow.model.shape import Shape


@dataclass(slots=True)
class HostState:
    """A host and what is left of it."""

    host: Host
    cpu_milli: int
    memory_mib: int
    huge_mib: int
    gpus: int
    nodes: list[list[int]]


Filter = Callable[[HostState, Instance], bool]


class FilterLoop:
    """Places requests one by one."""

    def __init__(self, pool: Pool) -> None:
        free, free_nodes = pool.free.tolist(), pool.free_nodes.tolist()
        self._states = []
        for row, host in enumerate(pool.host_views()):
            cpu, memory, huge, gpus = free[row]
            nodes = free_nodes[row][: len(host.nodes)]
            self._states.append(HostState(host, cpu, memory, huge, gpus, nodes))
        self._groups = {group.name: group for group in pool.groups}
        self._members: dict[str, Counter[str]] = {}
        self._filters: tuple[Filter, ...] = (_serving, _arch, _traits, _zone, _room, _numa)

    def place(self, request: Instance) -> HostState | None:
        """Return the host that a request gets; None when none passes."""
        passing = self._states
        for passes in (*self._filters, self._group):
            passing = [state for state in passing if passes(state, request)]
        if not passing:
            return None
        chosen = max(zip(_weights(passing, request), range(len(passing)), strict=True))[1]
        self._take(passing[chosen], request)
        return passing[chosen]

    def _group(self, state: HostState, request: Instance) -> bool:
        members = self._members.get(request.group)
        if not members:
            return True
        here = members[self._domain(state, request.group)]
        if self._groups[request.group].rule is Rule.AFFINITY:
            return here == members.total()
        return not here

    def _domain(self, state: HostState, group: str) -> str:
        host, scope = state.host, self._groups[group].scope
        return {Scope.HOST: host.id, Scope.RACK: host.rack, Scope.ZONE: host.zone}[scope]

    def _take(self, state: HostState, request: Instance) -> None:
        shape = request.shape
        cpu, memory, huge, gpus = shape.demand
        state.cpu_milli -= cpu
        state.memory_mib -= memory
        state.huge_mib -= huge
        state.gpus -= gpus
        for node in _nodes(state, shape)[: shape.numa_nodes]:
            node[:] = [free - share for free, share in zip(node, shape.share, strict=True)]
        if request.group:
            members = self._members.setdefault(request.group, Counter())
            members[self._domain(state, request.group)] += 1


def _serving(state: HostState, _: Instance) -> bool:
    return state.host.schedulable


def _arch(state: HostState, request: Instance) -> bool:
    return request.shape.arch is None or request.shape.arch is state.host.arch


def _traits(state: HostState, request: Instance) -> bool:
    return request.shape.traits <= state.host.traits


def _zone(state: HostState, request: Instance) -> bool:
    return not request.zone or request.zone == state.host.zone


def _room(state: HostState, request: Instance) -> bool:
    cpu, memory, huge, gpus = request.shape.demand
    return (
        state.cpu_milli >= cpu
        and state.memory_mib >= memory
        and state.huge_mib >= huge
        and state.gpus >= gpus
    )


def _numa(state: HostState, request: Instance) -> bool:
    width = request.shape.numa_nodes
    return not width or len(_nodes(state, request.shape)) >= width


def _nodes(state: HostState, shape: Shape) -> list[list[int]]:
    share = shape.share
    return [
        node
        for node in state.nodes
        if all(free >= amount for free, amount in zip(node, share, strict=True))
    ]


def _weights(states: Sequence[HostState], request: Instance) -> list[float]:
    """Return the sum of the CPU and memory weights of hosts, each scaled to 0..1, as Nova does."""
    cpu = _scaled([state.cpu_milli for state in states])
    memory = _scaled(
        [state.huge_mib if request.shape.huge_pages else state.memory_mib for state in states]
    )
    return [first + second for first, second in zip(cpu, memory, strict=True)]


def _scaled(values: Sequence[int]) -> list[float]:
    least, most = min(values), max(values)
    span = (most - least) or 1
    return [(value - least) / span for value in values]
