# SPDX-License-Identifier: Apache-2.0
"""The volumes of a cloud in memory, as Cinder shows them to an administrator."""

from datetime import UTC, datetime
from typing import Any

from tests.engines.openstack.memory import Cloud, Fault, id_of
from tests.engines.openstack.room import Body, Call

FAR_AWAY = "cinder-1@ceph#ssd"


def volume(name: str, *servers: tuple[str, str], **more: Any) -> Body:  # noqa: ANN401
    """Return a volume as Cinder shows it.

    Args:
        name: Its id is made of it.
        servers: Ids of those that it is attached to, with their hosts.
        more: What it says otherwise than one that rests.
    """
    attachments = [
        {
            "attachment_id": id_of(f"{name} {server} {host}"),
            "server_id": server,
            "host_name": host,
            "volume_id": id_of(name),
        }
        for server, host in servers
    ]
    return {
        "id": id_of(name),
        "name": name,
        "status": "in-use" if servers else "available",
        "size": 10,
        "attachments": attachments,
        "updated_at": datetime.now(UTC).replace(tzinfo=None).isoformat(),
        "os-vol-host-attr:host": FAR_AWAY,
        **more,
    }


def volumes(cloud: Cloud, call: Call) -> Body:
    if cloud.volumes is None:
        raise Fault(403, "Policy doesn't allow volume:get_all to be performed.")
    return {"volumes": list(cloud.volumes.values())}


def pools(cloud: Cloud, call: Call) -> Body:
    room = {"total_capacity_gb": 100, "free_capacity_gb": 25, "provisioned_capacity_gb": 150}
    return {"pools": [{"name": FAR_AWAY, "capabilities": room}]}


def processes(cloud: Cloud, call: Call) -> Body:
    host = FAR_AWAY.partition("#")[0]
    return {"services": [{"binary": "cinder-volume", "host": host, "state": "up"}]}


def detach(cloud: Cloud, call: Call) -> Body:
    """Let an attachment go; one that Nova has is refused, as Cinder refuses it."""
    (wanted,) = call.words
    for each in (cloud.volumes or {}).values():
        for attachment in each["attachments"]:
            if attachment["attachment_id"] == wanted:
                if attachment["server_id"] in cloud.servers:
                    raise Fault(409, "Detach volume from instance using the Compute API")
                each["attachments"].remove(attachment)
                each["status"] = "in-use" if each["attachments"] else "available"
                return {"attachments": each["attachments"]}
    raise Fault(404, f"Volume attachment could not be found with filter: {wanted}.")
