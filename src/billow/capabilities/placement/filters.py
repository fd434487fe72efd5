# SPDX-License-Identifier: Apache-2.0
"""What a host must be, whatever is free on it: one vectorised step per demand, each with its words.

A step returns which hosts pass, `(hosts,) bool`. Room is judged by `judge.py`, groups by
`fellows.py`; their words stand here too, so that every reason in a plan comes from one table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from billow.capabilities.placement.judge import NO_ROOM
from billow.capabilities.placement.need import Need
from billow.capabilities.placement.policy import PlacementPolicy
from billow.capabilities.placement.scene import Scene
from billow.model.cpu.models import model_of
from billow.model.kinds import Health, Power, code_of
from billow.model.resources import GPU, BoolArray, FloatArray, IntArray
from billow.plan.reach import able, lacking, without


@dataclass(frozen=True, slots=True)
class Filter:
    """One demand on hosts.

    Attributes:
        name: Stable, for programs and tests.
        reason: What is said of hosts that do not pass.
        passes: Which hosts pass; it may return all.
        fix: What would help when this alone rules hosts out; `{hosts}` stands for those hosts.
        implied: Whether a host that fails it can never have room, so that only words need it.
    """

    name: str
    reason: Callable[[Need], str]
    passes: Callable[[Scene, Need], BoolArray]
    fix: Callable[[Need], str]
    implied: bool = False


def steps(scene: Scene, need: Need) -> Iterator[tuple[Filter, BoolArray]]:
    """Yield each filter that this need makes matter, with the hosts that pass."""
    for step in FILTERS:
        yield step, step.passes(scene, need)
        if step.name == "arch" and need.cpu_model:
            yield from _cpu_steps(scene, need)


def _cpu_steps(scene: Scene, need: Need) -> Iterator[tuple[Filter, BoolArray]]:
    """Yield a filter for each set of features that some CPUs lack, so that words can name them."""
    hosts, model = scene.pool.hosts, model_of(need.cpu_model)
    lacks = [lacking(need.cpu_model, each) for each in hosts.cpu_model.categories]
    yield _cpu_filter(f"not {model.arch}", model.name), hosts.arch == code_of(model.arch)
    for missing in sorted({each for each in lacks if each}):
        fine = np.array([each != missing for each in lacks], dtype=np.bool_)
        yield _cpu_filter(without(missing), model.name), fine[hosts.cpu_model.codes]


def _cpu_filter(lacks: str, model: str) -> Filter:
    return Filter("cpu", lambda _: f"{lacks} (it needs {model})", _cpus, lambda _: _CPU_FIX)


def _cpus(scene: Scene, need: Need) -> BoolArray:
    return able(scene.pool.hosts, need.cpu_model)


_CPU_FIX = "start it with a CPU model that all have (`billow pool cpu-baseline`): {hosts} would fit"


def suitable(scene: Scene, need: Need) -> BoolArray:
    """Return which hosts pass all filters that room does not imply: `(hosts,) bool`."""
    good = np.ones(len(scene.pool.hosts), dtype=np.bool_)
    for step in FILTERS:
        if not step.implied:
            good &= step.passes(scene, need)
    return good & _cpus(scene, need) if need.cpu_model else good


def standing(scene: Scene, need: Need, policy: PlacementPolicy) -> FloatArray:
    """Return what hosts are worth for what they are, whatever is free: `(hosts,) float64`."""
    worth = np.zeros(len(scene.pool.hosts), dtype=np.float64)
    if not need.shape.gpus:
        worth[scene.sellable[:, GPU] > 0] = -policy.gpu_reserve_weight
    worth[~suitable(scene, need)] = NO_ROOM
    return worth


def _all(scene: Scene) -> BoolArray:
    return np.ones(len(scene.pool.hosts), dtype=np.bool_)


def _powered(scene: Scene, _: Need) -> BoolArray:
    passing: BoolArray = scene.pool.hosts.power == code_of(Power.ON)
    return passing


def _healthy(scene: Scene, _: Need) -> BoolArray:
    passing: BoolArray = scene.pool.hosts.health == code_of(Health.OK)
    return passing


def _open(scene: Scene, _: Need) -> BoolArray:
    return scene.pool.hosts.cordon.where("")


def _right_arch(scene: Scene, need: Need) -> BoolArray:
    arch = need.arch
    return _all(scene) if arch is None else scene.pool.hosts.arch == code_of(arch)


def _traits(scene: Scene, need: Need) -> BoolArray:
    wanted = need.shape.traits
    if not wanted:
        return _all(scene)
    able = [wanted <= traits for traits in scene.pool.hosts.traits.categories]
    passing: BoolArray = np.array(able, dtype=np.bool_)[scene.pool.hosts.traits.codes]
    return passing


def _in_zone(scene: Scene, need: Need) -> BoolArray:
    return scene.pool.hosts.zone.where(need.zone) if need.zone else _all(scene)


def _gpus(scene: Scene, need: Need) -> BoolArray:
    if not need.shape.gpus:
        return _all(scene)
    passing: BoolArray = scene.sellable[:, GPU] >= need.shape.gpus
    return passing


def _large_enough(scene: Scene, need: Need) -> BoolArray:
    passing: BoolArray = np.all(scene.sellable[:, :GPU] >= need.shape.demand[:GPU], axis=1)
    if need.shape.numa_nodes:
        return passing & (_large_nodes(scene, need) >= need.shape.numa_nodes)
    return passing


def _large_nodes(scene: Scene, need: Need) -> IntArray:
    """Return how many NUMA nodes of each host could hold a share when empty."""
    hosts = scene.pool.hosts
    large: BoolArray = np.all(hosts.sellable >= need.shape.share, axis=2)
    large = large & (np.arange(large.shape[1]) < hosts.node_count[:, None])
    count: IntArray = large.sum(axis=1)
    return count


def _sells_once(scene: Scene, need: Need) -> BoolArray:
    if not need.shape.dedicated:
        return _all(scene)
    return scene.pool.hosts.cpu_ratio <= 1.0


def _too_few_gpus(need: Need) -> str:
    return "without a GPU" if need.shape.gpus == 1 else f"with fewer than {need.shape.gpus} GPUs"


def _size(need: Need) -> str:
    nodes = need.shape.numa_nodes
    return f"too small for shape {need.shape.name} even when empty" + (
        f" ({nodes} NUMA node{'s' if nodes > 1 else ''})" if nodes else ""
    )


def _named_traits(need: Need) -> str:
    return ", ".join(sorted(need.shape.traits))


FILTERS: tuple[Filter, ...] = (
    Filter("power", lambda _: "without power", _powered, lambda _: "power on {hosts}"),
    Filter("health", lambda _: "not healthy", _healthy, lambda _: "repair {hosts}"),
    Filter("cordon", lambda _: "cordoned", _open, lambda _: "uncordon {hosts}"),
    Filter(
        "arch",
        lambda need: f"not {need.arch}",
        _right_arch,
        lambda need: f"take an image that does not need {need.arch}: {{hosts}} would fit",
    ),
    Filter(
        "traits",
        lambda need: f"without {_named_traits(need)}",
        _traits,
        lambda need: f"drop {_named_traits(need)}: {{hosts}} would fit",
    ),
    Filter(
        "zone",
        lambda need: f"not in zone {need.zone}",
        _in_zone,
        lambda need: f"drop zone {need.zone}: {{hosts}} elsewhere would fit",
    ),
    Filter(
        "gpu",
        _too_few_gpus,
        _gpus,
        lambda need: "ask for fewer GPUs" if need.shape.gpus > 1 else "add a host with GPUs",
        implied=True,
    ),
    Filter(
        "size",
        _size,
        _large_enough,
        lambda _: "choose a smaller shape",
        implied=True,
    ),
    Filter(
        "dedicated",
        lambda _: "sells its CPUs more than once",
        _sells_once,
        lambda _: "drop dedicated CPUs, or set cpu_ratio to 1 on one of {hosts}",
    ),
)
"""In the order in which a person wants to hear them: first what an operator did."""
