# SPDX-License-Identifier: Apache-2.0
"""How many more instances of a shape fit, host by host and node by node, exactly and all at once.

Planners, reports and solvers count slots alike because they count them here. A count keeps the laws
of `Draft`: CPU, memory, huge pages and GPUs of the host in total and of every NUMA node that the
shape is bound to; a host that sold more than it has takes nothing. Group rules bind instances, not
shapes, and are not looked at. Only hosts that take new instances are counted.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from billow.model.column import frozen
from billow.model.hosts import Hosts
from billow.model.instances import NOWHERE
from billow.model.kinds import Kind, code_of
from billow.model.pool import Pool
from billow.model.resources import LARGEST, RESOURCES, BoolArray, IntArray
from billow.model.shape import Shape

_BARE_METAL: Final = code_of(Kind.BARE_METAL)


@dataclass(frozen=True, eq=False)
class Room:
    """What hosts have left: of a pool, of a draft, or of a world that is only thought of.

    Attributes:
        hosts: What the hosts are.
        free: What each host has left in total, `(hosts, RESOURCES) int64`.
        free_nodes: What each node has left, `(hosts, nodes, RESOURCES) int64`.
        open: Which hosts take something new, `(hosts,) bool`.
    """

    hosts: Hosts
    free: IntArray
    free_nodes: IntArray
    open: BoolArray

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Return the room of a pool: schedulable hosts that no bare metal has whole."""
        return cls(pool.hosts, pool.free, pool.free_nodes, open_hosts(pool))

    @classmethod
    def emptied(cls, pool: Pool) -> Self:
        """Return the room if all were gone that may ever move: no defragmentation leaves more."""
        ours = pool.instances
        host = frozen(np.where(ours.bound, ours.host, np.int32(NOWHERE)))
        left = replace(pool, instances=replace(ours, host=host))
        return cls(pool.hosts, left.free, left.free_nodes, open_hosts(pool))

    def only(self, hosts: BoolArray) -> Self:
        """Return the room on some of the hosts, `(hosts,) bool`."""
        return replace(self, open=self.open & hosts)

    def suits(self, shape: Shape) -> BoolArray:
        """Return which open hosts are of the right kind, whatever is free: `(hosts,) bool`.

        By arch, traits, the number of NUMA nodes, and, for dedicated CPUs, that they are sold once.
        """
        return self.open & suitable(self.hosts, shape)

    def per_host(self, shape: Shape) -> IntArray:
        """Return how many more instances of a shape fit on each host: `(hosts,) int64`, exact.

        Linear in hosts times nodes.
        """
        counts = _times(self.free, shape.demand)
        if shape.numa_nodes:
            counts = np.minimum(counts, _spread(self.per_node(shape), shape.numa_nodes))
        counts[~self.suits(shape)] = 0
        return counts

    def per_node(self, shape: Shape) -> IntArray:
        """Return how many shares of a bound shape each node could hold: `(hosts, nodes) int64`.

        For a shape of one NUMA node, these are instances. Zeros for a shape that floats.
        """
        if not shape.numa_nodes:
            return np.zeros(self.free_nodes.shape[:2], dtype=np.int64)
        shares = _times(self.free_nodes, shape.share)
        shares[~self.hosts.present | ~self.suits(shape)[:, None]] = 0
        return shares

    def fit(self, shape: Shape) -> int:
        """Return how many more instances of a shape fit on all hosts."""
        return int(self.per_host(shape).sum())

    def theoretical(self, shape: Shape) -> int:
        """Return how many would fit if all that suitable hosts have left were one host."""
        left = np.maximum(self.free[self.suits(shape)], 0).sum(axis=0)
        return int(_times(left, shape.demand)) if len(left) and left.any() else 0

    def taken(self, shape: Shape, counts: IntArray) -> Self:
        """Return the room after so many instances of a shape came to each host, `(hosts,) int64`.

        Bound ones fill the tightest nodes first, so that whole nodes stay for wider shapes. The
        counts must not exceed `per_host`.
        """
        demand = np.array(shape.demand, dtype=np.int64)
        free = self.free - counts[:, None] * demand
        if not shape.numa_nodes:
            return replace(self, free=free)
        share = np.array(shape.share, dtype=np.int64)
        on_nodes = _laid_out(self.per_node(shape), counts, shape.numa_nodes)
        return replace(self, free=free, free_nodes=self.free_nodes - on_nodes[..., None] * share)


def suitable(hosts: Hosts, shape: Shape) -> BoolArray:
    """Return which hosts are of the right kind for a shape, open or not: `(hosts,) bool`."""
    good: BoolArray = hosts.node_count >= shape.numa_nodes
    if shape.arch is not None:
        good &= hosts.arch == code_of(shape.arch)
    if shape.traits:
        able = [shape.traits <= traits for traits in hosts.traits.categories]
        good &= np.array(able, dtype=np.bool_)[hosts.traits.codes]
    if shape.dedicated:
        good &= hosts.cpu_ratio <= 1.0
    return good


def open_hosts(pool: Pool) -> BoolArray:
    """Return which hosts take something new: schedulable, and not whole in the hands of one."""
    ours = pool.instances
    bare = ours.host[(ours.host != NOWHERE) & (ours.kind == _BARE_METAL)]
    good: BoolArray = pool.hosts.schedulable.copy()
    good[bare] = False
    return good


def fragmentation(fit: int, theoretical: int) -> float:
    """Return the share of the theoretical slots that leftovers are too scattered to give."""
    return 1.0 - fit / theoretical if theoretical else 0.0


def best_possible(room: Room, emptied: Room, shape: Shape) -> int:
    """Return a number of slots that no defragmentation can exceed.

    All that is free as one host would hold no more, and no host holds more than when all that may
    move has left it (`Room.emptied`). Room on hosts that the shape itself cannot use counts too, as
    residents may leave for there; not on hosts of another architecture.
    """
    able = room.suits(shape)
    archs = np.unique(room.hosts.arch[able])
    near = room.open & np.isin(room.hosts.arch, archs)
    left = np.maximum(room.free[near], 0).sum(axis=0)
    together = int(_times(left, shape.demand)) if left.any() else 0
    return min(together, emptied.fit(shape))


def _times(free: IntArray, amounts: tuple[int, ...]) -> IntArray:
    """Return how often amounts go into what is free, `(...,) int64`; 0 where it is oversold."""
    times = np.full(free.shape[:-1], LARGEST, dtype=np.int64)
    for resource in range(len(RESOURCES)):
        if amounts[resource]:
            np.minimum(times, free[..., resource] // amounts[resource], out=times)
    return np.where((free < 0).any(axis=-1), 0, np.maximum(times, 0))


def _spread(shares: IntArray, width: int) -> IntArray:
    """Return how many instances of `width` different nodes each can be made of node shares.

    The largest c with `sum_j min(shares_j, c) >= width * c`, in closed form: for each t below
    the width, the nodes that are not among the t largest bear at least `width - t` of each.

    Args:
        shares: `(hosts, nodes) int64`.
        width: At least 1.

    Returns:
        `(hosts,) int64`; 0 where there are fewer nodes than the width.
    """
    if width > shares.shape[1]:
        return np.zeros(len(shares), dtype=np.int64)
    below = np.cumsum(np.sort(shares, axis=1), axis=1)  # [:, j]: the j + 1 smallest together
    most = below[:, -1] // width
    for larger in range(1, width):
        np.minimum(most, below[:, -1 - larger] // (width - larger), out=most)
    return most


def _laid_out(shares: IntArray, counts: IntArray, width: int) -> IntArray:
    """Return how many shares each node bears for so many instances, `(hosts, nodes) int64`.

    Any layout with at most `counts` on a node and `width * counts` in all can be carried out.
    """
    order = np.argsort(shares, axis=1, kind="stable")
    most = np.minimum(np.take_along_axis(shares, order, axis=1), counts[:, None])
    # The tightest first, but never so that the roomier ones could not bear the rest.
    upto = np.minimum(np.cumsum(most, axis=1), (width * counts)[:, None])
    each = np.diff(upto, axis=1, prepend=0)
    laid = np.zeros_like(shares)
    np.put_along_axis(laid, order, each, axis=1)
    return laid
