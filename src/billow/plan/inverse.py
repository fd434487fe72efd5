# SPDX-License-Identifier: Apache-2.0
"""The way back from an action, where there is one."""

from typing import assert_never

from billow.model.action import (
    Action,
    Copy,
    Cordon,
    Cutover,
    Delete,
    Fence,
    Migrate,
    Patch,
    Place,
    PowerOff,
    PowerOn,
    Resize,
    Restore,
    Snapshot,
    Start,
    Stop,
    Uncordon,
    Upgrade,
)


def inverse(action: Action) -> Action | None:  # noqa: C901, PLR0911, PLR0912 - one arm per verb
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
        case Start():
            return Stop(instance=action.instance, host=action.host, reason=why)
        case Stop():
            return Start(instance=action.instance, host=action.host, reason=why)
        case Cordon():
            return Uncordon(host=action.host, was=action.why, reason=why)
        case Uncordon():
            return Cordon(host=action.host, why=action.was, reason=why)
        case PowerOn():
            return PowerOff(host=action.host, reason=why)
        case PowerOff() | Fence():
            return PowerOn(host=action.host, reason=why)
        case Delete() | Patch() | Upgrade() | Snapshot() | Restore() | Copy() | Cutover():
            return None
        case _:
            assert_never(action)
