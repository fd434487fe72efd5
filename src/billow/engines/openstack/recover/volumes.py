# SPDX-License-Identifier: Apache-2.0
"""What Nova and Cinder say of each other's volumes, and is not so. Pure; `survey` reads it.

One thing is put right: an attachment for a server that Nova no longer has, on a host whose
nova-compute is heard (Nova ends there what it has deleted, and Cinder itself asks Nova before it
lets go: `cinder.volume.api.API.attachment_deletion_allowed`). All else is told, with the command:
to delete another attachment leaves a device on its host, and to reset a status changes Cinder's
database only, whatever the storage does (`cinder.api.contrib.admin_actions`, `_reset_status`).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from billow.engines.openstack.answers import Attachment, Volume
from billow.engines.openstack.recover.amiss import (
    IDLE_S,
    Ailment,
    Booked,
    Books,
    Kind,
    rests,
)

_ON_ITS_WAY: Final = {
    **dict.fromkeys(("creating", "deleting", "managing"), "error"),
    **dict.fromkeys(("downloading", "restoring-backup"), "error"),
    **dict.fromkeys(("attaching", "detaching", "extending", "retyping"), ""),
    **dict.fromkeys(("backing-up", "uploading", "maintenance"), ""),
}
"""By status that Cinder ends by itself: what it is reset to; empty for in-use or available."""
_CINDER: Final = "openstack --os-volume-api-version 3.27 volume"


def volume_ailments(books: Books) -> tuple[Ailment, ...]:
    """Return what is amiss with volumes. Linear in volumes, attachments and servers."""
    if books.volumes is None:
        return ()
    moving = {each.server for each in books.records if each.under_way}
    known = {each.uuid: each for each in books.volumes}
    wanted = {volume for each in books.servers.values() for volume in each.volumes}
    found = [
        *(each for volume in books.volumes for each in _of_attachments(books, volume, moving)),
        *(each for server in books.servers.values() for each in _of_server(server, known, moving)),
        *(each for volume in books.volumes for each in _of_status(books, volume, wanted)),
    ]
    return tuple(sorted(found, key=lambda each: (each.host, each.kind, each.id, each.provider)))


def _of_attachments(books: Books, volume: Volume, moving: set[str]) -> Iterator[Ailment]:
    for each in volume.attachments:
        server = books.servers.get(each.server)
        if server is None and each.server:
            yield _left(books, volume, each)
        elif server is not None and server.uuid not in moving and rests(server):
            yield from _wrong(volume, each, server)


def _left(books: Books, volume: Volume, attachment: Attachment) -> Ailment:
    text = f"volume {_name(volume)} is attached to {attachment.server}, which Nova does not have"
    ours = attachment.host in books.alive
    command = f"{_CINDER} attachment delete {attachment.uuid}"
    where = f", on {attachment.host or 'no host'}, where Nova hears no nova-compute"
    return Ailment(
        kind=Kind.ATTACHED_TO_NOBODY,
        id=attachment.uuid,
        host=attachment.host,
        text=text if ours else text + where,
        provider=attachment.server,
        command="" if ours else f"unless another cloud shares this Cinder: {command}",
    )


def _wrong(volume: Volume, attachment: Attachment, server: Booked) -> Iterator[Ailment]:
    """Yield an attachment that its server does not know, or that is not where its server is."""
    if volume.uuid not in server.volumes:
        text = f"Cinder has volume {_name(volume)} attached to {server.name}, and Nova has not"
    elif attachment.host and server.compute and attachment.host != server.compute:
        text = f"volume {_name(volume)} of {server.name} is attached on {attachment.host}"
        text += f", and the server is on {server.compute}"
    else:
        return
    yield Ailment(
        kind=Kind.ATTACHED_ELSEWHERE,
        id=attachment.uuid,
        host=attachment.host,
        text=text,
        provider=server.uuid,
        command=f"once no device of it is left there: {_CINDER} attachment delete "
        f"{attachment.uuid}",
    )


def _of_server(server: Booked, known: Mapping[str, Volume], moving: set[str]) -> Iterator[Ailment]:
    """Yield volumes that a server has by Nova's word only."""
    if not server.compute or server.uuid in moving or not rests(server):
        return
    for uuid in sorted(server.volumes):
        volume = known.get(uuid)
        if volume is None:
            text = f"{server.name} has volume {uuid}, which Cinder does not have"
        elif volume.status in {"available", "in-use"} and not _has(volume, server):
            text = f"{server.name} has volume {_name(volume)}, and Cinder has it not attached"
        else:
            continue
        yield Ailment(
            kind=Kind.NOT_ATTACHED,
            id=uuid,
            host=server.compute,
            text=text,
            provider=server.uuid,
            command=f"openstack server remove volume {server.uuid} {uuid}, and add it again",
        )


def _has(volume: Volume, server: Booked) -> bool:
    return any(each.server == server.uuid for each in volume.attachments)


def _of_status(books: Books, volume: Volume, wanted: set[str]) -> Iterator[Ailment]:
    """Yield a volume that is in a status that should pass, and stays in it."""
    idle_s = books.now - _when(volume)
    if idle_s < IDLE_S:
        return
    if volume.status in _ON_ITS_WAY:
        plain = "in-use" if volume.attachments else "available"
        state = _ON_ITS_WAY[volume.status] or plain
        command = f"if nobody works on it: openstack volume set --state {state} {volume.uuid}"
    elif volume.status == "reserved" and volume.uuid not in wanted:
        command = f"{_CINDER} attachment list --volume-id {volume.uuid}, and delete what is left"
    else:
        return
    yield Ailment(
        kind=Kind.VOLUME_STUCK,
        id=volume.uuid,
        host=next((each.host for each in volume.attachments), ""),
        text=f"volume {_name(volume)} is {volume.status} since {idle_s / 3600:.0f} h",
        command=command,
    )


def _when(volume: Volume) -> float:
    """Return when a volume's entry changed last, seconds since the epoch; infinite when untold."""
    try:
        return datetime.fromisoformat(volume.updated).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return float("inf")


def _name(volume: Volume) -> str:
    return volume.name or volume.uuid
