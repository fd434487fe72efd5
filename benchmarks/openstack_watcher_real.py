# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN401, SLF001 - Watcher has no types, and its strategies fetch what is given here
"""OpenStack Watcher's own strategies on a pool in a file, in an interpreter that has Watcher.

`PYTHON openstack_watcher_real.py < pool.json > answers.json`: the strategies' code is Watcher's,
unchanged; the compute model and the metrics, which it would fetch from Nova, Placement and
Prometheus, come from the file. It must not import Billow, which is not there.
"""

import json
import random
import sys
import warnings
from typing import Any

STABILIZATION: dict[str, Any] = {
    "metrics": ["instance_cpu_usage"],
    "thresholds": {"instance_cpu_usage": 0.05},
    "weights": {"instance_cpu_usage_weight": 1.0},
    "instance_metrics": {"instance_cpu_usage": "host_cpu_usage"},
    "retry_count": 1,
    "periods": {"instance": 720, "compute_node": 600, "node": 0},
    "aggregation_method": {"instance": "mean", "compute_node": "mean", "node": ""},
    "granularity": 300,
}


class Metrics:
    """A data source that knows what the file says; the names are those that strategies call."""

    def __init__(self, pool: dict[str, Any]) -> None:
        self._host = {each["name"]: each for each in pool["hosts"]}
        self._instance = {each["uuid"]: each for each in pool["instances"]}

    def get_instance_cpu_usage(self, resource: Any, **_: object) -> float:
        """Return percent of the instance's CPUs."""
        return float(self._instance[resource.uuid]["cpu_percent"])

    def get_instance_ram_usage(self, resource: Any, **_: object) -> float:
        """Return MB."""
        return float(self._instance[resource.uuid]["memory"])

    def get_instance_root_disk_size(self, resource: Any, **_: object) -> float:
        """Return GB."""
        return float(resource.disk)

    def get_host_cpu_usage(self, resource: Any, *_: object) -> float:
        """Return percent of the host's CPUs."""
        return float(self._host[resource.hostname]["cpu_percent"])

    def get_host_ram_usage(self, resource: Any, *_: object) -> float:
        """Return KB."""
        return 1024.0 * float(self._host[resource.hostname]["memory_used"])

    def statistic_aggregation(self, resource: Any, kind: str, *_: object) -> float:
        """Return percent of CPUs, of an instance or a compute node."""
        if kind == "instance":
            return self.get_instance_cpu_usage(resource)
        return self.get_host_cpu_usage(resource)


def model_of(pool: dict[str, Any]) -> Any:
    """Return Watcher's compute model of a pool."""
    from watcher.decision_engine.model import (  # type: ignore[import-not-found]
        element,
        model_root,
    )

    root, nodes = model_root.ModelRoot(), {}
    for each in pool["hosts"]:
        own = {name: each[name] for name in ("vcpus", "memory", "vcpu_ratio", "memory_ratio")}
        rest = {"memory_mb_reserved": 0, "vcpu_reserved": 0, "disk_gb_reserved": 0}
        node = element.ComputeNode(
            uuid=each["uuid"], hostname=each["name"], disk=1_000_000, disk_ratio=1.0, **own, **rest
        )
        nodes[each["name"]] = node
        root.add_node(node)
    for each in pool["instances"]:
        own = {name: each[name] for name in ("uuid", "name", "vcpus", "memory", "project_id")}
        instance = element.Instance(disk=1, metadata={}, locked=False, state="active", **own)
        root.add_instance(instance)
        root.map_instance(instance, nodes[each["host"]])
    return root


def answer(name: str, pool: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """Run one strategy; where it fails, note how, and run it again with that flaw mended.

    The flaw: `workload_stabilization` lists a server once for each host that would be better, and
    its audit fails when it comes to one that it has moved already.
    """
    try:
        return _answer(name, pool, parameters, mended=False)
    except Exception as error:  # noqa: BLE001 - whatever ends an audit
        found = _answer(name, pool, parameters, mended=True)
        return {**found, "failed": f"{type(error).__name__}: {error}"}


def _answer(
    name: str, pool: dict[str, Any], parameters: dict[str, Any], *, mended: bool
) -> dict[str, Any]:
    from watcher.common import utils  # type: ignore[import-not-found]
    from watcher.decision_engine.strategy import strategies  # type: ignore[import-not-found]

    kinds = {
        "vm_workload_consolidation": strategies.VMWorkloadConsolidation,
        "workload_stabilization": strategies.WorkloadStabilization,
    }
    strategy = kinds[name](config=utils.Struct({"datasources": None}))
    strategy._compute_model = model_of(pool)
    if mended:
        _mend(strategy)
    strategy._datasource_backend = Metrics(pool)
    strategy._input_parameters = utils.Struct(parameters)
    solution = strategy.execute()
    moves = [
        each["input_parameters"] for each in solution.actions if each["action_type"] == "migrate"
    ]
    return {
        "moves": [[move["resource_id"], move["destination_node"]] for move in moves],
        "efficacy": {each["name"]: each["value"] for each in _listed(solution)},
    }


def _mend(strategy: Any) -> None:
    """Let a strategy pass over servers that are no longer where it thinks."""
    migrate = strategy.migrate

    def checked(uuid: str, source: str, target: str) -> None:
        if strategy.compute_model.get_node_by_instance_uuid(uuid).uuid == source:
            migrate(uuid, source, target)

    strategy.migrate = checked


def _listed(solution: Any) -> list[dict[str, Any]]:
    found = solution.efficacy_indicators
    return [dict(each) if isinstance(each, dict) else vars(each) for each in found]


def main() -> None:
    """Answer for all strategies."""
    from oslo_config import cfg  # type: ignore[import-not-found]
    from watcher import objects  # type: ignore[import-not-found]

    cfg.CONF([], project="watcher", default_config_files=[])
    objects.register_all()
    random.seed(7)
    pool = json.load(sys.stdin)
    window = {"period": 3600, "granularity": 300}
    found = {"vm_workload_consolidation": answer("vm_workload_consolidation", pool, window)}
    for choice in ("retry", "fullsearch"):
        knobs = {**STABILIZATION, "host_choice": choice}
        found[f"workload_stabilization {choice}"] = answer("workload_stabilization", pool, knobs)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
