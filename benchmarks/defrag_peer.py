# SPDX-License-Identifier: Apache-2.0
"""The public two-stage heuristic (HA) of the data set's repository, rebuilt from its description.

Stage 1 chooses the VM whose removal takes most fragments away, stage 2 the place where it costs
least; it ends when a move gains nothing. Unlike the public one it looks at memory too. Nothing of
Billow's solver is used.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

WANTED_CPUS = 16
Amounts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PeerAnswer:
    """What the heuristic reaches, and with how many moves."""

    slots: int
    moves: int


def two_stage(document: dict[str, Any], most_moves: int) -> PeerAnswer:
    """Run the heuristic on a vmr document. Each move is one pass over VMs and places."""
    state = _State(document)
    moves = 0
    while moves < most_moves and state.step():
        moves += 1
    return PeerAnswer(state.slots(), moves)


class _State:
    """Free CPU and memory, `(hosts, 2)`, and where VMs are."""

    def __init__(self, document: dict[str, Any]) -> None:
        hosts = [host for each in document["cluster_list"] for host in each["host_info"]]
        vms = [vm for each in document["cluster_list"] for vm in each["vm_instance"]]
        row = {host["node_id"]: number for number, host in enumerate(hosts)}
        self._cpu = np.array([[n["total_cpu"] for n in h["numa"]] for h in hosts], dtype=np.int64)
        self._memory = np.array(
            [[n["memory_huge_total_mb"] for n in h["numa"]] for h in hosts], dtype=np.int64
        )
        self._host = np.array([row[vm["host_id"]] for vm in vms])
        self._node = np.array([vm["numa"][0]["node"] for vm in vms])
        self._wide: npt.NDArray[np.bool_] = np.array([len(vm["numa"]) > 1 for vm in vms])
        self._takes = np.array([vm["numa"][0]["cpu"] for vm in vms], dtype=np.int64)
        self._holds = np.array([vm["numa"][0]["mem_mb"] for vm in vms], dtype=np.int64)
        for vm in range(len(vms)):
            self._put(vm, -1)

    def slots(self) -> int:
        """Return how many slots fit."""
        return int((self._cpu // WANTED_CPUS).sum())

    def step(self) -> bool:
        """Make one move; return whether it gained."""
        gains = self._removal_gain()
        vm = int(gains.argmax())
        gain = int(gains[vm])
        here = int(self._host[vm]), int(self._node[vm])
        self._put(vm, 1)
        cost = self._arrival_cost(vm)
        cost[here[0], :] = np.iinfo(np.int64).max if self._wide[vm] else cost[here[0], :]
        if not self._wide[vm]:
            cost[here] = np.iinfo(np.int64).max
        best = np.unravel_index(int(cost.argmin()), cost.shape)
        gained = gain > int(cost[best])
        if gained:
            self._host[vm], self._node[vm] = int(best[0]), int(best[1])
        self._put(vm, -1)
        return gained

    def _removal_gain(self) -> Amounts:
        """Return by how much the fragments of a VM's nodes fall when it leaves, `(vms,)`."""
        free = self._cpu[self._host]
        change = free % WANTED_CPUS - (free + self._takes[:, None]) % WANTED_CPUS
        own = change[np.arange(len(change)), self._node]
        gain: Amounts = np.where(self._wide, change.sum(axis=1), own)
        return gain

    def _arrival_cost(self, vm: int) -> Amounts:
        """Return by how much fragments rise where a VM comes, `(hosts, nodes)`."""
        takes, holds = int(self._takes[vm]), int(self._holds[vm])
        change = (self._cpu - takes) % WANTED_CPUS - self._cpu % WANTED_CPUS
        fits: npt.NDArray[np.bool_] = (self._cpu >= takes) & (self._memory >= holds)
        if self._wide[vm]:
            change = np.repeat(change.sum(axis=1)[:, None], 2, axis=1)
            both: npt.NDArray[np.bool_] = fits[:, 0] & fits[:, 1]
            fits = np.stack([both, both], axis=1)
        return np.where(fits, change, np.iinfo(np.int64).max)

    def _put(self, vm: int, sign: int) -> None:
        nodes = (0, 1) if self._wide[vm] else (int(self._node[vm]),)
        for node in nodes:
            self._cpu[self._host[vm], node] += sign * self._takes[vm]
            self._memory[self._host[vm], node] += sign * self._holds[vm]
