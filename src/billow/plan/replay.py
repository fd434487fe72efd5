# SPDX-License-Identifier: Apache-2.0
"""What the pool looks like when actions have succeeded. It predicts; `check` judges."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np

from billow.model.action import (
    Action,
    Allot,
    Copy,
    Cordon,
    Cutover,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Patch,
    Place,
    PowerOff,
    PowerOn,
    Repair,
    Resize,
    Restore,
    Resume,
    Snapshot,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
    Upgrade,
)
from billow.model.column import Categorical, frozen
from billow.model.instance import Instance, mask_of
from billow.model.kinds import Power, State, code_of, value_of
from billow.model.pool import Pool
from billow.model.shape import Shape


def replay(pool: Pool, actions: Sequence[Action]) -> Pool:
    """Return the pool after all these actions, in this order. Linear in columns plus actions.

    Raises:
        NotFound: an action on a host or instance that is not in the pool by then.
    """
    scratch = Scratch(prepared(pool, actions))
    for action in actions:
        scratch.apply(action)
    return scratch.pool()


def prepared(pool: Pool, actions: Iterable[Action]) -> Pool:
    """Return the pool with a row for every instance that is to be placed, and every new shape."""
    listed = list(actions)
    grown = pool.with_shapes([action.new for action in listed if isinstance(action, Resize)])
    placed = [action for action in listed if isinstance(action, Place)]
    grown = grown.with_groups(action.group for action in placed if action.group)
    return grown.with_requests(new_instances(pool, placed))


def new_instances(pool: Pool, placed: Iterable[Place]) -> list[Instance]:
    """Return the instances to be placed that have no row in the pool yet."""
    instances = (action.instance for action in placed)
    return [instance for instance in instances if instance.id not in pool.instances.row]


_STATE_AFTER: dict[type[Action], State] = {
    Start: State.RUNNING,
    Resume: State.RUNNING,
    Suspend: State.PAUSED,
    Stop: State.STOPPED,
}


class Scratch:
    """Writable copies of the columns that actions change."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        ours = pool.instances
        self._host = ours.host.copy()
        self._nodes = ours.nodes.copy()
        self._state = ours.state.copy()
        self._shape = ours.shape.copy()
        self._power = pool.hosts.power.copy()
        self._cordon: dict[int, str] = {}
        self._cpu_limit = ours.cpu_limit.copy()
        self._cpu_ratio = pool.hosts.cpu_ratio.copy()
        self._memory_ratio = pool.hosts.memory_ratio.copy()
        self._gone: list[int] = []
        self._shape_row = {shape.name: row for row, shape in enumerate(pool.shapes)}

    def apply(self, action: Action) -> None:
        """Do one action. Raises NotFound."""
        match action:
            case Place():
                self._put(action.instance.id, action.host, action.nodes)
                self._set_state(action.instance.id, State.RUNNING)
            case Migrate():
                self._put(action.instance, action.target, action.target_nodes)
            case Evacuate():
                self._put(action.instance, action.target, action.target_nodes)
                self._set_state(action.instance, self._after_evacuation(action.instance))
            case Start() | Resume() | Suspend() | Stop():
                self._turn(action)
            case Throttle():
                row = self._pool.instance_row(action.instance)
                self._cpu_limit[row] = action.cpu_limit_milli
            case Delete():
                self._gone.append(self._pool.instance_row(action.instance))
            case Resize():
                self._resize(action.instance, action.new, action.nodes)
            case Cordon() | Uncordon() | PowerOn() | PowerOff() | Fence() | Allot():
                self._apply_to_host(action)
            case Repair() | Patch() | Upgrade() | Snapshot() | Restore() | Copy() | Cutover():
                pass  # they change what a host or an instance holds, not where anything is
            case _:
                assert_never(action)

    def pool(self) -> Pool:
        """Return the pool as it is now."""
        instances = replace(
            self._pool.instances,
            host=frozen(self._host),
            nodes=frozen(self._nodes),
            state=frozen(self._state),
            shape=frozen(self._shape),
            cpu_limit=frozen(self._cpu_limit),
        )
        if self._gone:
            keep = np.ones(len(instances), dtype=np.bool_)
            keep[self._gone] = False
            instances = instances.take(np.flatnonzero(keep))
        hosts = replace(
            self._pool.hosts,
            power=frozen(self._power),
            cordon=self._cordons(),
            cpu_ratio=frozen(self._cpu_ratio),
            memory_ratio=frozen(self._memory_ratio),
        )
        return replace(self._pool, hosts=hosts, instances=instances)

    def _turn(self, action: Start | Resume | Suspend | Stop) -> None:
        self._set_state(action.instance, _STATE_AFTER[type(action)])
        if isinstance(action, Start) and self._pool.instance(action.instance).is_host:
            self._power[self._pool.host_row(action.host)] = code_of(Power.ON)

    def _apply_to_host(
        self, action: Cordon | Uncordon | PowerOn | PowerOff | Fence | Allot
    ) -> None:
        row = self._pool.host_row(action.host)
        match action:
            case Cordon():
                self._cordon[row] = action.why
            case Uncordon():
                self._cordon[row] = ""
            case PowerOn():
                self._power[row] = code_of(Power.ON)
            case PowerOff() | Fence():
                self._power[row] = code_of(Power.OFF)
            case Allot():
                self._cpu_ratio[row] = action.cpu_ratio
                self._memory_ratio[row] = action.memory_ratio

    def _cordons(self) -> Categorical[str]:
        column = self._pool.hosts.cordon
        if not self._cordon:
            return column
        values = [column[row] for row in range(len(column))]
        for row, why in self._cordon.items():
            values[row] = why
        return Categorical.of(values)

    def _put(self, instance: str, host: str, nodes: tuple[int, ...]) -> None:
        row = self._pool.instance_row(instance)
        self._host[row] = self._pool.host_row(host)
        self._nodes[row] = mask_of(nodes)

    def _after_evacuation(self, instance: str) -> State:
        """Return how an instance is at its new home: at work again, if it ever was."""
        state = value_of(State, self._state[self._pool.instance_row(instance)])
        return State.STOPPED if state in (State.STOPPED, State.PAUSED) else State.RUNNING

    def _set_state(self, instance: str, state: State) -> None:
        self._state[self._pool.instance_row(instance)] = code_of(state)

    def _resize(self, instance: str, shape: Shape, nodes: tuple[int, ...]) -> None:
        row = self._pool.instance_row(instance)
        self._shape[row] = self._shape_row[shape.name]
        self._nodes[row] = mask_of(nodes)
