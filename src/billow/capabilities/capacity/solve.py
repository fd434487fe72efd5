# SPDX-License-Identifier: Apache-2.0
"""N+k: whether the largest hosts of each class may die and everything on them still find room.

A class is the hosts of one arch, traits, GPU model and zone: what an operator buys as one kind.
Each class is tried on its own. Room is found by a packing (`refuge.py`), so "found" is certain;
"not found" is certain only where it is proven by counting, and each answer says which.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from billow.capabilities.capacity.refuge import Refuge, Rows, Want
from billow.model.instances import NOWHERE
from billow.model.kinds import Arch, Health, Power, code_of, value_of
from billow.model.pool import Pool
from billow.model.resources import CPU, GPU, MEMORY, FloatArray, IntArray
from billow.model.shape import Shape
from billow.plan.slots import Room


@dataclass(frozen=True, slots=True)
class Homeless:
    """An instance that would find no room.

    Attributes:
        host: Where it is now.
        reason: Why nothing takes it.
        fix: What would help.
    """

    instance: str
    shape: str
    host: str
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Loss:
    """What happens when the largest hosts of one class die.

    Attributes:
        kind: The class, in words.
        size: Living hosts of the class.
        hosts: Those that die.
        instances: How many need a new home.
        homeless: Who finds none.
        proven: Whether no packing beside what lives on could house everyone; True also when all are
            housed.
        more: Hosts like the lost ones that would have to be added, at least.
    """

    kind: str
    size: int
    hosts: tuple[str, ...]
    instances: int
    homeless: tuple[Homeless, ...]
    proven: bool
    more: int


def losses(pool: Pool, failures: int) -> tuple[Loss, ...]:
    """Return what the death of the `failures` largest hosts of each class leads to, worst first.

    Linear in hosts per class and shape on a lost host.
    """
    if not failures or not len(pool.hosts):
        return ()
    refuge = Refuge(pool)
    found = [
        _loss(refuge, kind, size, rows, instances)
        for kind, size, rows, instances in _cases(pool, failures)
    ]
    return tuple(sorted(found, key=lambda loss: (-len(loss.homeless), loss.kind)))


def _cases(pool: Pool, failures: int) -> Iterator[tuple[str, int, Rows, Rows]]:
    """Yield each class in words, its size, the hosts that die (rows), and who is on them (rows)."""
    hosts, ours = pool.hosts, pool.instances
    alive = (hosts.power != code_of(Power.OFF)) & (hosts.health != code_of(Health.FAILED))
    columns = (hosts.arch, hosts.traits.codes, hosts.gpu_model.codes, hosts.zone.codes)
    keys = np.stack([np.asarray(column, dtype=np.int64) for column in columns], axis=1)
    _, kinds = np.unique(keys, axis=0, return_inverse=True)
    order = np.lexsort((-_weight(pool, pool.reserved), -_weight(pool, _sellable(pool)), ~alive))
    order = order[: int(alive.sum())]
    by_kind = order[np.argsort(kinds[order], kind="stable")]
    placed = np.flatnonzero(ours.host != NOWHERE)
    by_host = placed[np.argsort(ours.host[placed], kind="stable")]
    starts = np.searchsorted(ours.host[by_host], np.arange(len(hosts) + 1))
    for members in np.split(by_kind, np.flatnonzero(np.diff(kinds[by_kind])) + 1):
        if len(members):
            lost = members[:failures]
            there = [by_host[starts[host] : starts[host + 1]] for host in lost]
            yield _kind_words(pool, int(members[0])), len(members), lost, np.concatenate(there)


def _sellable(pool: Pool) -> IntArray:
    total: IntArray = pool.hosts.sellable.sum(axis=1)
    return total


def _weight(pool: Pool, amounts: IntArray) -> FloatArray:
    """Return how large a part of the pool each host's amounts are, `(hosts,) float64`."""
    total = np.maximum(_sellable(pool).sum(axis=0), 1)
    memory = amounts[:, MEMORY:GPU].sum(axis=1) / total[MEMORY:GPU].sum()
    weight: FloatArray = amounts[:, CPU] / total[CPU] + memory
    return weight


def _kind_words(pool: Pool, host: int) -> str:
    """Return what a class is, as people say it."""
    hosts = pool.hosts
    arch = str(value_of(Arch, int(hosts.arch[host])))
    zone = f"zone {hosts.zone[host]}" if hosts.zone[host] else ""
    words = [arch, hosts.gpu_model[host], *sorted(hosts.traits[host]), zone]
    return ", ".join(word for word in words if word)


def _loss(refuge: Refuge, kind: str, size: int, hosts: Rows, instances: Rows) -> Loss:
    pool = refuge.pool
    ids = tuple(pool.hosts.id[host] for host in hosts)
    refuge.kill(hosts, instances)
    homeless = refuge.rehome(instances)
    told = tuple(_told(refuge, homeless))
    refuge.forget()
    proven = not homeless or _proven(refuge, hosts, instances)
    more = _more(pool, int(hosts[0]), homeless)
    return Loss(kind, size, ids, len(instances), told, proven, more)


def _told(refuge: Refuge, homeless: Sequence[int]) -> Iterator[Homeless]:
    """Yield why each found no room; equal ones share one answer."""
    pool, known = refuge.pool, dict[tuple[Want, int], tuple[str, str]]()
    ours = pool.instances
    for row in homeless:
        key = refuge.want(row), int(ours.group.codes[row])
        if key not in known:
            known[key] = _why(refuge, row)
        shape = pool.shapes[ours.shape[row]].name
        yield Homeless(ours.id[row], shape, pool.hosts.id[ours.host[row]], *known[key])


def _why(refuge: Refuge, row: int) -> tuple[str, str]:
    """Return why an instance (row) found no room, and what would help."""
    want = refuge.want(row)
    shape = refuge.pool.shapes[want.shape]
    zone = refuge.pool.instances.zone.categories[want.zone]
    where = f" in zone {zone}" if zone else ""
    suits, roomy = refuge.suits(want), refuge.roomy(want)
    if not suits.any():
        return f"no other open host{where} is of the kind that it needs", f"add such a host{where}"
    circle = refuge.draft.circle(row)
    if circle is not None and roomy.any():
        group = circle.group
        reason = f"{int(roomy.sum())} hosts have room, but group {group.name} ({group.rule} by "
        return f"{reason}{group.scope}) lets it be on none", f"add a {group.scope} with room{where}"
    count = int(suits.sum())
    nodes = f" on {shape.numa_nodes} of its NUMA nodes" if shape.numa_nodes else ""
    reason = f"none of {count} hosts{where} has {_size(shape)} left{nodes}"
    return reason, f"bring its room together on one host{where} (defrag), or add a host"


def _size(shape: Shape) -> str:
    gpus = f" and {shape.gpus} GPUs" if shape.gpus else ""
    memory = f"{shape.memory_mib / 1024:g} GiB" + (" of huge pages" if shape.huge_pages else "")
    return f"{shape.cpu_milli / 1000:g} CPUs, {memory}{gpus}"


def _proven(refuge: Refuge, hosts: Rows, instances: Rows) -> bool:
    """Return whether counting alone shows that not all could be housed.

    By what is free in total, by slots of each shape and zone, by the hosts that living members of
    its group leave to each instance, and by the room that a domain has for a whole group.
    """
    pool = refuge.pool
    living = np.ones(len(pool.hosts), dtype=np.bool_)
    living[hosts] = False
    room = Room.of(pool).only(living)
    need = pool.demand[pool.instances.shape[instances]].sum(axis=0)
    if (np.maximum(room.free[room.open], 0).sum(axis=0) < need).any():
        return True
    wants = Counter(map(refuge.want, instances.tolist()))
    refuge.kill(hosts, instances)
    short = (
        any(
            int(room.only(refuge.suits(want)).per_host(pool.shapes[want.shape]).sum()) < count
            for want, count in wants.items()
        )
        or any(_shut_out(refuge, row) for row in instances.tolist())
        or any(map(refuge.shuts_out, refuge.gangs(instances)))
    )
    refuge.forget()
    return short


def _shut_out(refuge: Refuge, row: int) -> bool:
    """Return whether the living members alone keep an instance (row) from every roomy host."""
    circle = refuge.draft.circle(row)
    if circle is None:
        return False
    return not (refuge.roomy(refuge.want(row)) & refuge.allowed(row, circle)).any()


def _more(pool: Pool, like: int, homeless: Sequence[int]) -> int:
    """Return how many hosts like one (row) the homeless (rows) need at least."""
    if not homeless:
        return 0
    need = pool.demand[pool.instances.shape[list(homeless)]].sum(axis=0)
    offer = _sellable(pool)[like]
    counts = [-(-int(amount) // int(of)) for amount, of in zip(need, offer, strict=True) if of]
    return max(counts, default=1)
