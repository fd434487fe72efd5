# SPDX-License-Identifier: Apache-2.0
"""What each goal and strategy of Watcher comes to (python-watcher 17.0.0).

The table is the knowledge: which capability has the same purpose, which of its knobs a parameter
sets, and what is done otherwise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Parameters = Mapping[str, Any]
Knob = tuple[tuple[str, ...], object]
"""A setting's path and its value."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a strategy comes to.

    Attributes:
        capability: With the same purpose; empty when there is none.
        otherwise: What it does otherwise, or why there is none.
        knobs: By parameter, what its value sets.
        lost: By parameter, why it has no equivalent.
        errands: By parameter, the command that takes its value.
    """

    capability: str
    otherwise: str
    knobs: Mapping[str, Callable[[Any], list[Knob]]] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)
    errands: Mapping[str, Callable[[Any], list[str]]] = field(default_factory=dict)


def _step(value: Any) -> list[Knob]:  # noqa: ANN401 - what a parameter holds
    return [(("history_step_s",), float(min(max(value, 1), 86_400)))]


def _spare(value: Any) -> list[Knob]:  # noqa: ANN401
    return [(("policy", "power", "spare_hosts"), min(max(int(value), 0), 100))]


def _per_host(value: Any) -> list[Knob]:  # noqa: ANN401
    return [(("migrations_at_once_per_host",), min(max(int(value), 0), 1000))]


def _at_once(value: Any) -> list[Knob]:  # noqa: ANN401
    return [(("steps_at_once",), min(max(int(value), 1), 10_000))]


def _one_node(value: Any) -> list[str]:  # noqa: ANN401
    return [str(value)] if value else []


def _source_nodes(value: Any) -> list[str]:  # noqa: ANN401
    return [str(each["src_node"]) for each in value or () if each.get("src_node")]


_WINDOW: Final = "use is kept for 288 steps of `history_step_s`, newer samples weigh more"
_NO_TRIES: Final = "the plan is solved with a bound, not tried by dice"
_SENSORS: Final = "Billow reads no such sensors"
_CONSOLIDATION: Final = (
    "hosts are emptied by measured use with a risk bound, rules of NUMA, server groups and pins "
    "are kept, and what is emptied is switched off where the cloud can"
)
_LOST_WINDOW: Final = {"period": _WINDOW, "aggregation_method": _WINDOW}
_BY_STD: Final = (
    "hosts are relieved where CPUs do not suffice, by forecast and risk; loads are not made even "
    "for evenness' sake, so that it moves far less"
)

STRATEGIES: Final[Mapping[str, Match]] = {
    "basic": Match("power", _CONSOLIDATION, {"granularity": _step},
                   {**_LOST_WINDOW, "migration_attempts": _NO_TRIES}),
    "vm_workload_consolidation": Match("power", _CONSOLIDATION, {"granularity": _step},
                                       _LOST_WINDOW),
    "node_resource_consolidation": Match(
        "defrag",
        "by what is sold, too, and proven: the fewest moves that make most room for a wanted "
        "shape; other hosts stay open meanwhile",
        {}, {"host_choice": "the target host is part of the plan"}),
    "server_consolidation": Match("power", _CONSOLIDATION),
    "workload_balance": Match("hotspot", _BY_STD, {"granularity": _step}, _LOST_WINDOW),
    "workload_stabilization": Match(
        "hotspot", _BY_STD, {"granularity": _step},
        {**_LOST_WINDOW, "thresholds": "a standard deviation is no harm; see `risk_act`",
         "weights": "CPU and memory are looked at side by side",
         "metrics": "CPU and memory always", "instance_metrics": "see `--metrics-url`",
         "periods": _WINDOW, "host_choice": _NO_TRIES, "retry_count": _NO_TRIES}),
    "workload_balancing": Match("hotspot", _BY_STD),
    "noisy_neighbor": Match(
        "hotspot", "by CPU beyond its part and who waits beside it, not by the L3 cache", {},
        {"cache_threshold": "the L3 cache is not measured; see `noisy_share`", "period": _WINDOW}),
    "saving_energy": Match(
        "power", "hosts are switched off by forecast and risk, not by a count; spares are hosts' "
        "worth of room", {"min_free_hosts_num": _spare},
        {"free_used_percent": "room is kept for `spare_hosts`, not for a percentage"}),
    "host_maintenance": Match(
        "", "a drain is a command, not a goal: it can be read first and undone", {},
        {"backup_node": "the targets are chosen by all rules",
         "disable_live_migration": "an instance's own migration policy says so",
         "disable_cold_migration": "an instance's own migration policy says so"},
        {"maintenance_node": _one_node}),
    "zone_migration": Match(
        "", "a drain is a command, not a goal: it can be read first and undone",
        {"parallel_per_node": _per_host, "parallel_total": _at_once},
        {"storage_pools": "volumes are not moved", "priority": "instances have a `priority`",
         "with_attached_volume": "volumes are not moved"},
        {"compute_nodes": _source_nodes}),
    "storage_capacity_balance": Match("", "volumes are not moved"),
    "outlet_temperature": Match("", _SENSORS),
    "uniform_airflow": Match("", _SENSORS),
    "actuator": Match("", "single actions are commands: `billow instance migrate` and the like"),
    "dummy": Match("", "it does nothing"),
    "dummy_with_scorer": Match("", "it does nothing"),
    "dummy_with_resize": Match("", "it does nothing"),
}  # fmt: skip
"""By the strategy's name."""

GOALS: Final[Mapping[str, str]] = {
    "server_consolidation": "server_consolidation",
    "workload_balancing": "workload_balancing",
    "noisy_neighbor": "noisy_neighbor",
    "saving_energy": "saving_energy",
    "hardware_maintenance": "zone_migration",
    "cluster_maintaining": "host_maintenance",
    "thermal_optimization": "outlet_temperature",
    "airflow_optimization": "uniform_airflow",
    "dummy": "dummy",
    "unclassified": "actuator",
}
"""What stands for a goal without a strategy."""


def thresholds(name: str, parameters: Parameters) -> list[Knob]:
    """Return what the threshold of `workload_balance` sets: use in percent that is too much."""
    if name != "workload_balance" or "threshold" not in parameters:
        return []
    hot = min(max(float(parameters["threshold"]) / 100, 0.01), 1.0)
    metric = str(parameters.get("metrics", "instance_cpu_usage"))
    resource = "memory" if "ram" in metric else "cpu"
    path = ("policy", "hotspot")
    return [
        ((*path, f"{resource}_hot_share"), round(hot, 4)),
        ((*path, f"{resource}_target_share"), round(hot * 0.9, 4)),
    ]
