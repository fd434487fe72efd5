# SPDX-License-Identifier: Apache-2.0
"""The CPU that all hosts can give their guests, and what stands in the way of each better one.

Guests that run move between hosts of one instruction set and one vendor only, so that each pair of
these has a baseline of its own. Costs by kinds of CPU, of which thousands of hosts have a few.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.model.cpu.models import (
    Features,
    Model,
    features_of,
    model_of,
    models,
    vendor_of,
    with_changes,
)
from billow.model.kinds import Arch, code_of
from billow.model.pool import Pool
from billow.model.resources import BoolArray
from billow.plan.reach import reach_of

EXAMPLES: Final = 3
"""Hosts that are named of each kind; the rest is counted."""


@dataclass(frozen=True, slots=True)
class CpuKind:
    """Hosts with one and the same CPU.

    Attributes:
        cpu_model: What it has.
        hosts: How many there are.
        examples: The first of them, by id.
        lacks: Features that the model in question has and this CPU has not, sorted.
    """

    cpu_model: str
    hosts: int
    examples: tuple[str, ...]
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Better:
    """A model with all features of the baseline and more, which some hosts cannot give.

    Attributes:
        gains: How many features more than the baseline it has.
        in_the_way: The kinds of CPU that lack something, most hosts first.
    """

    model: str
    family: str
    gains: int
    in_the_way: tuple[CpuKind, ...]

    @property
    def hosts(self) -> int:
        """Hosts that stand in its way."""
        return sum(kind.hosts for kind in self.in_the_way)

    @property
    def lacks(self) -> tuple[str, ...]:
        """Features that any host lacks, sorted."""
        return tuple(sorted({each for kind in self.in_the_way for each in kind.lacks}))


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the hosts of one instruction set and vendor have in common.

    Attributes:
        vendor: Empty on Arm, and where it is not known.
        hosts: Hosts whose CPU is known.
        unknown: Hosts of the instruction set whose CPU is not known, whatever their vendor.
        model: The best model that all of the known can give; empty when there is none.
        common: All that they have in common: that model and what is more.
        kinds: The kinds of CPU that there are, most hosts first.
        better: Models that some lack something for, the nearest first.
        bound: Instances that could not run on every one of these hosts.
    """

    arch: Arch
    vendor: str
    hosts: int
    unknown: int
    model: str
    common: str
    kinds: tuple[CpuKind, ...]
    better: tuple[Better, ...]
    bound: int

    def nearest(self) -> tuple[Better, ...]:
        """Return of each family of better models the one that is nearest."""
        first: dict[str, Better] = {}
        for each in self.better:
            first.setdefault(each.family, each)
        return tuple(first.values())


def baselines(pool: Pool, arch: Arch | None = None) -> tuple[Baseline, ...]:
    """Return the baseline of each instruction set (or of one) and vendor that the pool has."""
    wanted = [each for each in Arch if arch in (None, each)]
    return tuple(each for one in wanted for each in _of_arch(pool, one))


def _of_arch(pool: Pool, arch: Arch) -> Iterator[Baseline]:
    ours: BoolArray = pool.hosts.arch == code_of(arch)
    if not ours.any():
        return
    vendors: dict[str, list[CpuKind]] = {}
    unknown = 0
    for kind in _kinds(pool, ours):
        has = features_of(kind.cpu_model)
        if has is None:
            unknown = kind.hosts
        else:
            vendors.setdefault(vendor_of(has), []).append(kind)
    if not vendors:
        yield Baseline(arch, "", 0, unknown, "", "", (), (), 0)
    for vendor in sorted(vendors):
        yield _baseline(pool, arch, vendors[vendor], unknown)


def _kinds(pool: Pool, ours: BoolArray) -> list[CpuKind]:
    """Return the kinds of CPU of some hosts, `(hosts,) bool`, most hosts first."""
    cpus = pool.hosts.cpu_model
    rows = np.flatnonzero(ours)
    counts = np.bincount(cpus.codes[rows], minlength=len(cpus.categories))
    found = []
    for code in np.flatnonzero(counts).tolist():
        first = rows[cpus.codes[rows] == code][:EXAMPLES].tolist()
        names = tuple(pool.hosts.id[row] for row in first)
        found.append(CpuKind(cpus.categories[code], int(counts[code]), names))
    return sorted(found, key=lambda kind: (-kind.hosts, kind.cpu_model))


def _baseline(pool: Pool, arch: Arch, kinds: Sequence[CpuKind], unknown: int) -> Baseline:
    has = {kind.cpu_model: features_of(kind.cpu_model) or frozenset() for kind in kinds}
    common: Features = frozenset.intersection(*has.values())
    vendor = vendor_of(common)
    known = [each for each in models(arch) if each.vendor in ("", vendor)]
    named = {model_of(kind.cpu_model).name for kind in kinds}  # of equal models, that of a host
    best = max(
        (each for each in known if each.features <= common),
        key=lambda each: (len(each.features), each.name in named),
        default=None,
    )
    least = best.features if best else frozenset()
    better = [_better(each, kinds, len(least)) for each in known if least < each.features]
    return Baseline(
        arch=arch,
        vendor=vendor,
        hosts=sum(kind.hosts for kind in kinds),
        unknown=unknown,
        model=best.name if best else "",
        common=with_changes(best, common) if best else "",
        kinds=tuple(kinds),
        better=tuple(sorted(better, key=_distance)),
        bound=_bound(pool, arch, has),
    )


def _distance(better: Better) -> tuple[int, int, int, str]:
    """Return how far a model is away: hosts to replace, features that lack, what it would give."""
    return better.hosts, len(better.lacks), -better.gains, better.model


def _better(model: Model, kinds: Sequence[CpuKind], least: int) -> Better:
    standing = []
    for kind in kinds:
        lacks = model.features - (features_of(kind.cpu_model) or frozenset())
        if lacks:
            said = CpuKind(kind.cpu_model, kind.hosts, kind.examples, tuple(sorted(lacks)))
            standing.append(said)
    return Better(model.name, model.family, len(model.features) - least, tuple(standing))


def _bound(pool: Pool, arch: Arch, cpus: dict[str, Features]) -> int:
    """Return how many instances on hosts with these CPUs could not run on all such hosts."""
    hosts, ours, reach = pool.hosts, pool.instances, reach_of(pool)
    texts = hosts.cpu_model
    chosen = np.array([each in cpus for each in texts.categories], dtype=np.bool_)
    group: BoolArray = chosen[texts.codes] & (hosts.arch == code_of(arch))
    here = np.flatnonzero(np.append(group, False)[ours.host])  # NOWHERE counts from the end
    counts = np.bincount(reach.codes(here))
    told = np.flatnonzero(counts).tolist()
    return sum(int(counts[code]) for code in told if not reach.hosts(code)[group].all())


def model_name(cpu_model: str) -> str:
    """Return the model that a CPU is nearest to, for where there is no room for all of it."""
    return model_of(cpu_model).name if cpu_model else ""
