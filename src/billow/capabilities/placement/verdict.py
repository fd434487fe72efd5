# SPDX-License-Identifier: Apache-2.0
"""Every demand of one request against every host: who passes what. `why.py` puts it into words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from billow.capabilities.placement.arithmetic import ARRAYS
from billow.capabilities.placement.fellows import open_to
from billow.capabilities.placement.filters import steps
from billow.capabilities.placement.judge import Judge, Left, unfit
from billow.capabilities.placement.need import Need
from billow.capabilities.placement.policy import PlacementPolicy
from billow.capabilities.placement.scene import Scene
from billow.model.group import Group
from billow.model.kinds import Rule
from billow.model.resources import RESOURCES, BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """One thing that a request asks of hosts.

    Attributes:
        name: Stable: a filter's name, `group`, `excluded`, `whole`, a resource, or `numa`.
        reason: What is said of hosts that do not pass.
        fix: What would help where nothing else is missing; `{hosts}` stands for those hosts.
        passing: `(hosts,) bool`.
        is_room: Whether it is about what is free now.
    """

    name: str
    reason: str
    fix: str
    passing: BoolArray
    is_room: bool = False


@dataclass(frozen=True, eq=False)
class Verdict:
    """All demands of one request on all hosts.

    Attributes:
        remainder: What each host would have left, by resource; negative is what it lacks.
    """

    need: Need
    demands: tuple[Demand, ...]
    remainder: list[FloatArray]

    @cached_property
    def _failing(self) -> BoolArray:
        """`(demands, hosts) bool`."""
        return ~np.stack([demand.passing for demand in self.demands])

    @cached_property
    def fits(self) -> BoolArray:
        """Which hosts pass everything, `(hosts,) bool`."""
        fits: BoolArray = ~np.any(self._failing, axis=0)
        return fits

    @cached_property
    def first(self) -> "npt.NDArray[np.intp]":
        """The first demand that each host fails; -1 where it fits, `(hosts,)`."""
        return np.where(self.fits, -1, np.argmax(self._failing, axis=0))

    def only(self, number: int) -> BoolArray:
        """Return which hosts fail this demand and no other, `(hosts,) bool`."""
        alone: BoolArray = (self._failing.sum(axis=0) == 1) & self._failing[number]
        return alone

    @cached_property
    def lacks_room_only(self) -> BoolArray:
        """Which hosts fail nothing but room, `(hosts,) bool`."""
        other = [~demand.passing for demand in self.demands if not demand.is_room]
        lacks: BoolArray = ~np.any(np.stack(other), axis=0) & ~self.fits
        return lacks


def judged(
    scene: Scene, instance: int, need: Need, policy: PlacementPolicy, exclude: Iterable[int] = ()
) -> Verdict:
    """Return how every host stands to an instance (row) now. Linear in hosts."""
    judge = Judge(need, policy, range(len(RESOURCES)))
    left = scene.left_by_all(judge)
    circle = scene.draft.circle(instance)
    demands = [
        Demand(step.name, step.reason(need), step.fix(need), passing)
        for step, passing in steps(scene, need)
    ]
    excluded = np.zeros(len(scene.pool.hosts), dtype=np.bool_)
    excluded[list(exclude)] = True
    demands.append(Demand("excluded", "not to be used for it", "allow {hosts}", ~excluded))
    if circle is not None:
        passing = open_to(circle, instance, len(scene.pool.hosts))
        demands.append(_group_demand(circle.group, passing))
    by_resource = dict(zip(judge.resources, judge.remainder(left), strict=True))
    remainder = [by_resource[resource] for resource in range(len(RESOURCES))]
    demands.append(_whole_demand(need, scene))
    large = np.logical_and.reduce([each.passing for each in demands if each.name in _LARGE])
    demands.extend(_room(judge, left, remainder, large))
    return Verdict(need, tuple(demands), remainder)


_LARGE = ("gpu", "size")
"""The filters that say whether an empty host would have room."""
_ROOM_REASONS = (
    "too little free CPU",
    "too little free memory",
    "too few free huge pages",
    "too few free GPUs",
)


def _whole_demand(need: Need, scene: Scene) -> Demand:
    reason = "not empty" if need.whole else "taken whole by bare metal"
    fix = "empty one of {hosts}" if need.whole else "delete the bare metal on one of {hosts}"
    return Demand("whole", reason, fix, scene.in_the_way(whole=need.whole) == 0)


def _room(
    judge: Judge, left: Left[FloatArray], remainder: list[FloatArray], large: BoolArray
) -> Iterator[Demand]:
    """Yield what must be free. Of hosts that are too small anyway nothing more is said."""
    for name, words, amount in zip(RESOURCES, _ROOM_REASONS, remainder, strict=True):
        yield Demand(name, words, "", (amount >= 0) | ~large, is_room=True)
    if judge.width:
        words = "no NUMA node with room for it"
        if judge.width > 1:
            words = f"fewer than {judge.width} NUMA nodes with room for a share each"
        passing = unfit(judge.tightness(left, ARRAYS)) >= 0
        yield Demand("numa", words, "", passing | ~large, is_room=True)


def _group_demand(group: Group, passing: BoolArray) -> Demand:
    scope = group.scope
    if group.rule is Rule.ANTI_AFFINITY:
        reason = f"another of group {group.name} is on the same {scope}"
        fix = f"take it out of group {group.name}: {{hosts}} would fit"
    else:
        reason = f"not on the {scope} of group {group.name}"
        fix = f"make room on the {scope} of group {group.name}, or take it out: {{hosts}} would fit"
    return Demand("group", reason, fix, passing)


def host_classes(scene: Scene) -> IntArray:
    """Return a class number per host: equal in arch, zone, traits, GPU model and capacity.

    Classes are numbered by their first host. Linear in hosts.
    """
    hosts = scene.pool.hosts
    codes = np.stack(
        [hosts.zone.codes, hosts.traits.codes, hosts.gpu_model.codes, hosts.arch, hosts.node_count],
        axis=1,
    ).astype(np.int64)
    features = np.concatenate([codes, hosts.sellable.reshape(len(hosts), -1)], axis=1)
    content, width = features.tobytes(), features.itemsize * features.shape[1]
    rows = (content[start : start + width] for start in range(0, len(content), width))
    number: dict[bytes, int] = {}
    return np.array([number.setdefault(row, len(number)) for row in rows], dtype=np.int64)
