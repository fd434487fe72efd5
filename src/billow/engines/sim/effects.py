# SPDX-License-Identifier: Apache-2.0
"""What an action does to the world at the moment when it succeeds, and what a dying host does."""

from dataclasses import replace
from typing import TypeVar

from billow.engines.sim.ground import Ground
from billow.errors import Bug
from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
)
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Health, Power, State

Found = TypeVar("Found")
_AFTER: dict[type[Action], State] = {
    Suspend: State.PAUSED,
    Start: State.RUNNING,
    Resume: State.RUNNING,
    Stop: State.STOPPED,
}
_ENDED = {State.RUNNING: State.FAILED, State.PAUSED: State.STOPPED}


def achieve(ground: Ground, action: Action) -> None:
    """Make true what an action achieves. Raises Bug for a verb that the rules do not know."""
    match action:
        case Place():
            wanted = replace(
                action.instance, host=action.host, nodes=action.nodes, state=State.RUNNING
            )
            if action.group is not None:
                ground.put_group(action.group)
            ground.put(wanted)
        case Migrate():
            there = _instance(ground, action.instance)
            ground.put(replace(there, host=action.target, nodes=action.target_nodes))
        case Evacuate():
            there = _instance(ground, action.instance)
            if there.state in _ENDED:  # nobody ended it: it lost its disk, and is there still
                ground.strays.setdefault(action.instance, set()).add(action.source)
            ran = there.state in (State.FAILED, State.RUNNING)
            state = State.RUNNING if ran else State.STOPPED
            ground.put(replace(there, host=action.target, nodes=action.target_nodes, state=state))
        case Throttle():
            there = _instance(ground, action.instance)
            ground.put(replace(there, cpu_limit_milli=action.cpu_limit_milli))
        case Suspend() | Start() | Resume() | Stop():
            _turn(ground, action)
        case Delete():
            ground.remove(action.instance)
        case Resize():
            there = _instance(ground, action.instance)
            ground.put(replace(there, shape=action.new, nodes=action.nodes))
        case _:
            _achieve_on_host(ground, action)


def _turn(ground: Ground, action: Suspend | Start | Resume | Stop) -> None:
    there = _instance(ground, action.instance)
    ground.put(replace(there, state=_AFTER[type(action)]))
    if isinstance(action, Start) and there.is_host:
        ground.put_host(replace(_host(ground, action.host), power=Power.ON))


def _achieve_on_host(ground: Ground, action: Action) -> None:
    match action:
        case Cordon():
            ground.put_host(replace(_host(ground, action.host), cordon=action.why))
        case Uncordon():
            ground.put_host(replace(_host(ground, action.host), cordon=""))
        case PowerOn():
            host = _host(ground, action.host)
            ground.put_host(replace(host, power=Power.ON, health=Health.OK))
        case PowerOff():
            ground.put_host(replace(_host(ground, action.host), power=Power.OFF))
        case Allot():
            cpu, memory = action.cpu_ratio, action.memory_ratio
            host = _host(ground, action.host)
            ground.put_host(replace(host, cpu_ratio=cpu, memory_ratio=memory))
        case Fence():
            ground.put_host(replace(_host(ground, action.host), power=Power.OFF))
            end_all(ground, action.host)
        case _:
            raise Bug(f"the simulator accepted {action.name}, which it cannot do")


def end_all(ground: Ground, name: str) -> None:
    """End all that is on a host: what ran has failed; what stood still has lost its memory."""
    for resident in ground.residents(name):
        there = _instance(ground, resident)
        if there.state in _ENDED:
            ground.put(replace(there, state=_ENDED[there.state]))


def _instance(ground: Ground, name: str) -> Instance:
    return _found(ground.instance(name), name)


def _host(ground: Ground, name: str) -> Host:
    return _found(ground.host(name), name)


def _found(value: Found | None, name: str) -> Found:
    if value is None:
        raise Bug(f"the simulator lost {name!a} while it worked on it")
    return value
