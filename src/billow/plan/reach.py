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

from billow.model.action import Action, Migrate, Place
from billow.model.column import frozen
from billow.model.cpu.models import features_of, model_of, vendor_of
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.instances import NOWHERE
from billow.model.kinds import Arch, code_of, value_of
from billow.model.pool import Pool
from billow.model.resources import BoolArray, RowArray
from billow.model.shape import Shape

ANYWHERE: Final = 0
FIX: Final = "choose another host; `billow pool cpu-baseline` tells what all hosts have"
_SHOWN: Final = 4


@dataclass(frozen=True, eq=False)
class Reach:
    """Which hosts the instances of a pool could run on, beside what their shapes ask for.

    Attributes:
        code: Of each instance, `(instances,) int32`; equal ones reach the same hosts. `ANYWHERE`
            for those that nothing but their shape binds.
        hosts: By code, which hosts they reach, `(hosts,) bool` each.
    """

    code: RowArray
    hosts: tuple[BoolArray, ...]

    def narrow(self, good: BoolArray, code: int) -> None:
        """Strike hosts out of `good`, `(hosts,) bool`, that instances of a code do not reach."""
        if code != ANYWHERE:
            good &= self.hosts[code]


_KEPT: "WeakKeyDictionary[Pool, Reach]" = WeakKeyDictionary()


def reach_of(pool: Pool) -> Reach:
    """Return where the instances of a pool could run; it lives as long as the pool.

    Linear in instances, and in hosts times the few kinds of CPU; nothing where the pool has one
    instruction set and no instance says what CPU it needs.
    """
    found = _KEPT.get(pool)
    if found is None:
        found = _KEPT[pool] = _reach(pool)
    return found


def able(pool: Pool, cpu_model: str) -> BoolArray:
    """Return which hosts have all of a CPU, or of its architecture at least: `(hosts,) bool`."""
    if not cpu_model:
        return np.ones(len(pool.hosts), dtype=np.bool_)
    cpus = pool.hosts.cpu_model
    fine = np.array([not lacking(cpu_model, each) for each in cpus.categories], dtype=np.bool_)
    good: BoolArray = pool.hosts.arch == code_of(model_of(cpu_model).arch)
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
        action: Anything but a move and a placement bars nothing.
        placed: Instances that an earlier step of the same plan has placed, by id.
    """
    hosts = pool.hosts
    match action:
        case Place(instance=wanted, host=target):
            bound, source = _Bound(wanted.id, wanted.shape, wanted.cpu_model), ""
        case Migrate(instance=name, source=source, target=target):
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


def _reach(pool: Pool) -> Reach:
    hosts, ours = pool.hosts, pool.instances
    everywhere = frozen(np.ones(len(hosts), dtype=np.bool_))
    cpus = ours.cpu_model
    if not any(cpus.categories) and (hosts.arch == hosts.arch[:1]).all():
        return Reach(np.zeros(len(ours), dtype=np.int32), (everywhere,))
    home, told = _archs(pool)
    kind = (home * 2 + told) * max(len(cpus.categories), 1) + cpus.codes
    there = np.flatnonzero(np.bincount(kind))
    code = np.zeros(int(there.max(initial=0)) + 1, dtype=np.int32)
    reached = [everywhere]
    for each in there.tolist():
        arch, cpu = divmod(each, max(len(cpus.categories), 1))
        good = able(pool, cpus.categories[cpu])
        own = hosts.arch == arch // 2 if arch // 2 != _NO_ARCH else everywhere
        good &= own
        if not np.array_equal(good, own if arch % 2 else everywhere):
            code[each] = len(reached)
            reached.append(frozen(good))
    return Reach(frozen(code[kind]), tuple(reached))


_NO_ARCH: Final = len(Arch)


def _archs(pool: Pool) -> tuple[RowArray, RowArray]:
    """Return the instruction set of each instance's home, and whether its shape says the same."""
    hosts, ours = pool.hosts, pool.instances
    said = [_NO_ARCH if shape.arch is None else code_of(shape.arch) for shape in pool.shapes]
    of_shape = np.array([*said, _NO_ARCH], dtype=np.uint8)[ours.shape]
    of_host = np.append(hosts.arch, np.uint8(_NO_ARCH))[ours.host]  # NOWHERE counts from the end
    home = np.where(ours.host == NOWHERE, of_shape, of_host)
    told = (of_shape != _NO_ARCH) & (of_shape == home)
    return home.astype(np.int32), told.astype(np.int32)
