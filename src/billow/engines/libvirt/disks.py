# SPDX-License-Identifier: Apache-2.0
"""Disks in a move: where every host sees the same storage they stay, else libvirt copies them.

What is left on the host that a machine is not on any more is removed, and only there: a disk that
is found on both hosts before a move is taken for one that they share, and nothing is touched.
"""

from collections.abc import AsyncGenerator, Iterator

from billow.engines.libvirt.fleet import Fleet
from billow.engines.libvirt.sight import Sighting
from billow.engines.libvirt.storage import Shelf
from billow.engines.libvirt.translate import FIRMWARE
from billow.model.instance import Instance
from billow.model.kinds import Storage
from billow.ports import Blocker


def travels(there: Sighting, shelf: Shelf) -> bool:
    """Return whether a machine's disks must be copied when it moves."""
    return bool(there.machine.disks) and not shelf.shared


def misplaced(wanted: Instance, shelf: Shelf) -> Iterator[Blocker]:
    """Yield why an instance cannot have a disk on its host, as it wants to."""
    if wanted.disk is not Storage.OWN:
        return
    if wanted.image in {"", FIRMWARE}:
        yield Blocker("the firmware guest has no disk here", "place it from an image")
    elif shelf.shared:
        yield Blocker(
            "every host sees the same storage here: a host's own disk cannot be made",
            "place it without disk=own, or unset libvirt_storage_shared if that is not so",
        )


async def hindrances(
    there: Sighting, target: str, fleet: Fleet, shelf: Shelf
) -> AsyncGenerator[Blocker, None]:
    """Yield why a machine's disks cannot come along. Raises Unavailable, Fault, Lost."""
    if not travels(there, shelf):
        return
    name, described = there.machine.name, there.machine.description
    told = "set libvirt_storage_shared, if every host sees the same storage"
    if described is None:
        yield Blocker(f"the disks of {name} were not made by Billow", told)
        return
    if there.domain.number < 0:
        yield Blocker(
            f"the disks of {name} are on {there.host} only, and it does not run",
            f"start it first, or {told}",
        )
    api = await fleet.api(target)
    storage = await shelf.open(api)
    await api.refresh(storage)
    for volume in described.volumes:
        if await api.volume(storage, volume) is not None:
            yield Blocker(f"{volume} is on {target} too", f"{told}; else remove it there")


async def leave(there: Sighting, host: str, fleet: Fleet, shelf: Shelf) -> None:
    """Remove what a machine that is elsewhere by now has left on a host. Repeatable."""
    described = there.machine.description
    if described is not None and travels(there, shelf):
        api = await fleet.api(host)
        for volume in described.volumes:
            await shelf.remove(api, volume)
