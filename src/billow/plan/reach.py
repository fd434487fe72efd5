# SPDX-License-Identifier: Apache-2.0
"""Where an instance could ever run: its instruction set, and the CPU that its guest has seen.

A guest that runs keeps the CPU with which it was started: no other instruction set, and no feature
less. What was set up for one instruction set does not start on another either. What is not known of
a CPU stands in nobody's way here; the engine looks at the real ones before it moves anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np

from billow.model.action import Action, Evacuate, Migrate, Place
from billow.model.column import frozen
from billow.model.cpu.models import features_of, model_of, vendor_of
from billow.model.host import Host
from billow.model.hosts import Hosts
from billow.model.instance import Instance
from billow.model.instances import NOWHERE
from billow.model.kinds import Arch, code_of, value_of
from billow.model.pool import Pool
from billow.model.resources import BoolArray, IntArray, RowArray
from billow.model.shape import Shape

ANYWHERE: Final = 0
FIX: Final = "choose another host; `billow pool cpu-baseline` tells what all hosts have"
_SHOWN: Final = 4


class Reach:
    """Which hosts the instances of a pool could run on, beside what their shapes ask for.

    Instances with equal codes reach the same hosts; `ANYWHERE` is the code of those that nothing
    but their shape binds. What nobody asks for is never worked out.
    """

    def __init__(self, pool: Pool) -> None:
        self._table, self._hosts = pool.instances, pool.hosts  # not the pool, which keeps this
        said = [_NO_ARCH if shape.arch is None else code_of(shape.arch) for shape in pool.shapes]
        self._of_shape: RowArray = np.array([*said, _NO_ARCH], dtype=np.int32)
        cpus, archs = pool.instances.cpu_model.categories, pool.hosts.arch
        self._cpus = len(cpus)
        self._free = not any(cpus) and bool((archs == archs[:1]).all())
        self._code: dict[int, int] = {}
        self._masks: list[BoolArray] = [frozen(np.ones(len(pool.hosts), dtype=np.bool_))]

    def code(self, instance: int) -> int:
        """Return the code of an instance (row)."""
        if self._free:
            return ANYWHERE
        ours, hosts = self._table, self._hosts
        said, host = int(self._of_shape[ours.shape[instance]]), int(ours.host[instance])
        home = said if host == NOWHERE else int(hosts.arch[host])
        told = said == home != _NO_ARCH
        return self._known((home * 2 + told) * self._cpus + int(ours.cpu_model.codes[instance]))

    def codes(self, instances: IntArray) -> RowArray:
        """Return the codes of instances (rows). Linear in them."""
        if self._free:
            return np.zeros(len(instances), dtype=np.int32)
        ours = self._table
        said = self._of_shape[ours.shape[instances]]
        of_host = np.append(self._hosts.arch, np.uint8(_NO_ARCH))  # NOWHERE counts from the end
        host = ours.host[instances]
        home = np.where(host == NOWHERE, said, of_host[host])
        told = (said == home) & (home != _NO_ARCH)
        kinds = (home * 2 + told) * self._cpus + ours.cpu_model.codes[instances]
        code = np.zeros(int(kinds.max(initial=0)) + 1, dtype=np.int32)
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            code[kind] = self._known(kind)
        codes: RowArray = code[kinds]
        return codes

    def hosts(self, code: int) -> BoolArray:
        """Return which hosts instances of a code reach, `(hosts,) bool`; not to be written to."""
        return self._masks[code]

    def narrow(self, good: BoolArray, code: int) -> None:
        """Strike hosts out of `good`, `(hosts,) bool`, that instances of a code do not reach."""
        if code != ANYWHERE:
            good &= self._masks[code]

    def _known(self, kind: int) -> int:
        if kind not in self._code:
            self._code[kind] = self._learnt(*divmod(kind, self._cpus))
        return self._code[kind]

    def _learnt(self, home: int, cpu: int) -> int:
        """Return the code of those with one home (instruction set, and if told) and CPU."""
        arch, told = divmod(home, 2)
        own = self._masks[ANYWHERE] if arch == _NO_ARCH else self._hosts.arch == arch
        good = able(self._hosts, self._table.cpu_model.categories[cpu]) & own
        if np.array_equal(good, own if told else self._masks[ANYWHERE]):
            return ANYWHERE
        self._masks.append(frozen(good))
        return len(self._masks) - 1


_NO_ARCH: Final = len(Arch)
_KEPT: "WeakKeyDictionary[Pool, Reach]" = WeakKeyDictionary()


def reach_of(pool: Pool) -> Reach:
    """Return where the instances of a pool could run; it lives as long as the pool."""
    found = _KEPT.get(pool)
    if found is None:
        found = _KEPT[pool] = Reach(pool)
    return found


def able(hosts: Hosts, cpu_model: str) -> BoolArray:
    """Return which hosts have all of a CPU, or of its architecture at least: `(hosts,) bool`."""
    if not cpu_model:
        return np.ones(len(hosts), dtype=np.bool_)
    cpus = hosts.cpu_model
    fine = np.array([not lacking(cpu_model, each) for each in cpus.categories], dtype=np.bool_)
    good: BoolArray = hosts.arch == code_of(model_of(cpu_model).arch)
    return good & fine[cpus.codes] if len(fine) else good


@lru_cache(maxsize=4096)
def lacking(needed: str, there: str) -> tuple[str, ...]:
    """Return the features that a CPU (a text) lacks of another one, sorted; none if not known."""
    wants, has = features_of(needed), features_of(there)
    return () if wants is None or has is None else tuple(sorted(wants - has))


def without(missing: Sequence[str]) -> str:
    """Return what lacking features means, in words: "lacks avx512f, pku and 3 more"."""
    vendor = vendor_of(missing)
    if vendor:
        return f"is no {vendor} CPU"
    more = len(missing) - _SHOWN
    named = missing if more <= 0 else missing[:_SHOWN]
    head, last = (named[:-1], named[-1]) if more <= 0 else (named, f"{more} more")
    return f"lacks {', '.join(head)} and {last}" if head else f"lacks {last}"


def barriers(instance: Instance, source: Host | None, target: Host) -> tuple[str, ...]:
    """Return why an instance cannot run on a host, coming from another or from nowhere."""
    bound = _Bound(instance.id, instance.shape, instance.cpu_model)
    return bound.barriers(source.arch if source else None, target.id, target.arch, target.cpu_model)


def barred(
    pool: Pool, action: Action, placed: Mapping[str, Instance] | None = None
) -> tuple[str, ...]:
    """Return why an action would bring an instance to a host that it cannot run on.

    Args:
        pool: As it is; what it does not know, is somebody else's business.
        action: Anything but a move, an evacuation and a placement bars nothing.
        placed: Instances that an earlier step of the same plan has placed, by id.
    """
    hosts = pool.hosts
    match action:
        case Place(instance=wanted, host=target):
            bound, source = _Bound(wanted.id, wanted.shape, wanted.cpu_model), ""
        case (
            Migrate(instance=name, source=source, target=target)
            | Evacuate(instance=name, source=source, target=target)
        ):
            found = _bound(pool, name, placed or {})
            if found is None:
                return ()
            bound = found
        case _:
            return ()
    if target not in hosts.row:
        return ()
    row, came = hosts.row[target], hosts.row.get(source)
    arch = None if came is None else value_of(Arch, hosts.arch[came])
    return bound.barriers(arch, target, value_of(Arch, hosts.arch[row]), hosts.cpu_model[row])


@dataclass(frozen=True, slots=True)
class _Bound:
    """What binds one instance to hosts of a kind."""

    name: str
    shape: Shape
    cpu_model: str

    def barriers(self, source: Arch | None, host: str, arch: Arch, cpu: str) -> tuple[str, ...]:
        if self.shape.arch not in (None, arch):
            return (f"{host} is {arch}, and {self.name} needs {self.shape.arch}",)
        if source not in (None, arch):
            return (
                f"{host} is {arch}, and {self.name} is on {source}: nothing moves between them",
            )
        if self.cpu_model and model_of(self.cpu_model).arch is not arch:
            return (f"{host} is {arch}, and {self.name} needs the CPU {self.cpu_model}",)
        missing = lacking(self.cpu_model, cpu)
        if not missing:
            return ()
        return (f"{host} {without(missing)}, which {self.name} needs",)


def _bound(pool: Pool, name: str, placed: Mapping[str, Instance]) -> _Bound | None:
    if name in placed:
        return _Bound(name, placed[name].shape, placed[name].cpu_model)
    if name not in pool.instances.row:
        return None
    row = pool.instances.row[name]
    return _Bound(name, pool.shapes[pool.instances.shape[row]], pool.instances.cpu_model[row])
