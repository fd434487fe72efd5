# SPDX-License-Identifier: Apache-2.0
"""The way back from an action, where there is one."""

from typing import Final, assert_never

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

_OTHER_WAY: Final[dict[type[Action], type[Start | Stop | Suspend | Resume]]] = {
    Suspend: Resume,
    Resume: Suspend,
    Start: Stop,
    Stop: Start,
}


def inverse(action: Action) -> Action | None:  # noqa: PLR0911 - one arm per verb
    """Return the action that takes this one back, without an id; None when there is no way back."""
    why = f"undoes {action.name}"
    match action:
        case Place():
            return Delete(instance=action.instance.id, host=action.host, reason=why)
        case Migrate():
            return Migrate(
                instance=action.instance,
                source=action.target,
                target=action.source,
                source_nodes=action.target_nodes,
                target_nodes=action.source_nodes,
                reason=why,
            )
        case Resize() | Throttle() | Allot():
            return _old_value_back(action, why)
        case Suspend() | Resume() | Start() | Stop():
            back = _OTHER_WAY[type(action)]
            return back(instance=action.instance, host=action.host, reason=why)
        case Cordon() | Uncordon() | PowerOn() | PowerOff() | Fence():
            return _host_back(action, why)
        case Delete() | Evacuate() | Repair() | Patch() | Upgrade():
            return None
        case Snapshot() | Restore() | Copy() | Cutover():
            return None
        case _:
            assert_never(action)


def _host_back(action: Cordon | Uncordon | PowerOn | PowerOff | Fence, why: str) -> Action:
    """Return the action that makes a host what it was."""
    match action:
        case Cordon():
            return Uncordon(host=action.host, was=action.why, reason=why)
        case Uncordon():
            return Cordon(host=action.host, why=action.was, reason=why)
        case PowerOn():
            return PowerOff(host=action.host, reason=why)
        case PowerOff() | Fence():
            return PowerOn(host=action.host, reason=why)


def _old_value_back(action: Resize | Throttle | Allot, why: str) -> Action:
    """Return the action that puts back what an action says was there before."""
    match action:
        case Resize():
            return Resize(
                instance=action.instance,
                host=action.host,
                old=action.new,
                new=action.old,
                nodes=action.old_nodes,
                old_nodes=action.nodes,
                reason=why,
            )
        case Throttle():
            return Throttle(
                instance=action.instance,
                host=action.host,
                cpu_limit_milli=action.was_milli,
                was_milli=action.cpu_limit_milli,
                reason=why,
            )
        case Allot():
            return Allot(
                host=action.host,
                cpu_ratio=action.was_cpu_ratio,
                memory_ratio=action.was_memory_ratio,
                was_cpu_ratio=action.cpu_ratio,
                was_memory_ratio=action.memory_ratio,
                reason=why,
            )
