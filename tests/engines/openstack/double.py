# SPDX-License-Identifier: Apache-2.0
"""A double of a cloud's APIs on a cloud in memory, held to the engine contract as the real one is.

It answers as Keystone's neighbours answered in the lab, and knows only what the engine asks.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.engines.openstack import cinder
from tests.engines.openstack.ironic import IRONIC
from tests.engines.openstack.memory import (
    COPY_S,
    FLAVORS,
    HOST_CPUS,
    HOST_MIB,
    HOSTS,
    Cloud,
    Fault,
    Script,
    Server,
    id_of,
)
from tests.engines.openstack.room import (
    TRAITS,
    Body,
    Call,
    Handler,
    allocated,
    allot,
    on_provider,
    providers,
    summaries,
    usages,
)

from billow.engines.openstack.transport import Answer, Request, Versions


class Double:
    """Fulfils `transport.Transport`; several clouds may share one, as controllers do."""

    name = "double"

    def __init__(self) -> None:
        self.cloud = Cloud()
        self.sent: list[Request] = []
        self._lock = threading.Lock()

    def versions(self, service: str) -> Versions | None:
        known = {"compute": ((2, 1), (2, 93)), "placement": ((1, 0), (1, 39))}
        known["block-storage"] = ((3, 0), (3, 70))
        if service == "baremetal" and self.cloud.machines:
            return Versions((1, 1), (1, 81))
        if service in known:
            return Versions(*known[service])
        return Versions() if service in {"image", "network", "identity"} else None

    def close(self) -> None:
        """Stay: it is the world, not a connection."""

    def send(self, request: Request) -> Answer:
        with self._lock:
            self.cloud.advance()
            self.sent.append(request)
            try:
                found = self._answer(request)
            except Fault as fault:
                body = {"error": {"message": str(fault), "code": fault.status}}
                return Answer(fault.status, json.dumps(body).encode())
            return Answer(200, json.dumps(found).encode())

    def _answer(self, request: Request) -> Body:
        parts = urlsplit(request.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        for method, service, pattern, handler in (*_ROUTES, *IRONIC):
            match = re.fullmatch(pattern, parts.path)
            if match and (method, service) == (request.method, request.service):
                body, version = dict(request.body or {}), request.microversion
                return handler(self.cloud, Call(match.groups(), query, body, version))
        raise Fault(404, f"the double does not know {request.method} {request.path}")


def _create(cloud: Cloud, call: Call) -> Body:
    wanted = call.body["server"]
    if wanted.get("host", HOSTS[0]) not in HOSTS:
        raise Fault(400, f"Compute host {wanted['host']} could not be found.")
    flavor = next(name for name in FLAVORS if id_of(name) == wanted["flavorRef"])
    made = Server(str(uuid.uuid4()), wanted["name"], flavor, wanted["metadata"], wanted["imageRef"])
    cloud.servers[made.id] = made
    cloud.touch(made)
    cloud.begin(cloud.building(made, wanted.get("host", "")))
    return {"server": {"id": made.id}}


def _act(cloud: Cloud, call: Call) -> Body:
    (server_id,) = call.words
    server = cloud.server(server_id)
    ((what, how),) = call.body.items()
    if what == "os-resetState":
        server.state, server.task = how["state"].upper(), ""
        if server.before == "SHUTOFF":
            server.before = "shut down, and said to be active"
        return {}
    begins, script = _ACTIONS[what]
    if server.task or server.state not in begins:
        where = f"task_state {server.task}" if server.task else f"vm_state {server.state}"
        raise Fault(409, f"Cannot '{what}' instance {server_id} while it is in {where}")
    how = how or {}
    if what == "evacuate":
        if cloud.services[server.host].up and not cloud.services[server.host].forced_down:
            raise Fault(400, f"Compute service of {server.host} is still in use.")
        how = {**how, "stays": call.version == "2.95"}
    if how.get("host", HOSTS[0]) not in HOSTS:
        raise Fault(400, f"Compute host {how['host']} could not be found.")
    cloud.begin(script(cloud, server, how))
    return {}


_ACTIONS: dict[str, tuple[set[str], Callable[[Cloud, Server, dict[str, Any]], Script]]] = {
    "os-migrateLive": ({"ACTIVE", "PAUSED"}, lambda c, s, h: c.moving(s, h["host"])),
    "migrate": ({"ACTIVE", "SHUTOFF"}, lambda c, s, h: c.resizing(s, h["host"], s.flavor)),
    "resize": (
        {"ACTIVE", "SHUTOFF"},
        lambda c, s, h: c.resizing(s, "", next(n for n in FLAVORS if id_of(n) == h["flavorRef"])),
    ),
    "confirmResize": ({"VERIFY_RESIZE"}, lambda c, s, _: c.confirming(s, keep=True)),
    "revertResize": ({"VERIFY_RESIZE"}, lambda c, s, _: c.confirming(s, keep=False)),
    "os-stop": ({"ACTIVE", "ERROR"}, lambda c, s, _: c.turning(s, "powering-off", "SHUTOFF")),
    "evacuate": (
        {"ACTIVE", "SHUTOFF", "ERROR"},
        lambda c, s, h: c.evacuating(s, h["host"], stays=h["stays"]),
    ),
    "os-start": ({"SHUTOFF"}, lambda c, s, _: c.turning(s, "powering-on", "ACTIVE")),
}


def _delete(cloud: Cloud, call: Call) -> Body:
    (server_id,) = call.words
    cloud.begin(cloud.deleting(cloud.server(server_id)))
    return {}


def _abort(cloud: Cloud, call: Call) -> Body:
    server_id, number = call.words
    record = cloud.latest(cloud.server(server_id))
    if record.id != int(number) or record.status not in {"preparing", "running"}:
        raise Fault(400, f"Migration {number} is in status {record.status}")
    record.aborted = True
    return {}


def _progress(cloud: Cloud, call: Call) -> Body:
    server_id, number = call.words
    record = cloud.latest(cloud.server(server_id))
    if record.id != int(number) or record.status != "running":
        raise Fault(404, f"Migration {number} not found")
    done = min(1.0, (time.monotonic() - record.began) / COPY_S)
    whole = FLAVORS[cloud.servers[server_id].flavor][1] * 2**20
    left = int(whole * (1 - done))
    return {"migration": {"memory_total_bytes": whole, "memory_remaining_bytes": left}}


def _moves(cloud: Cloud, call: Call) -> Body:
    wanted = call.query.get("instance_uuid")
    kind, source = call.query.get("migration_type"), call.query.get("source_compute")
    rows = [
        {
            "id": each.id,
            "uuid": each.uuid,
            "migration_type": each.kind,
            "status": each.status,
            "instance_uuid": each.server,
            "source_compute": each.source,
            "source_node": each.source,
            "dest_compute": each.target,
            "dest_node": each.target,
            "created_at": _when(0),
            "updated_at": _when(0),
        }
        for each in reversed(cloud.records)
        if wanted in (None, each.server) and kind in (None, each.kind)
        if source in (None, each.source)
    ]
    return {"migrations": rows}


def _events(cloud: Cloud, call: Call) -> Body:
    (server_id,) = call.words
    rows = [
        {"action": action, "request_id": f"req-{number}", "start_time": f"{number:09}"}
        for number, (server, action, _) in enumerate(cloud.events)
        if server == server_id
    ]
    return {"instanceActions": rows}


def _event(cloud: Cloud, call: Call) -> Body:
    _, number = call.words
    said = cloud.events[int(number)][2]
    event = {"event": "conductor", "result": "Error", "traceback": f"Traceback:\n  {said}\n"}
    return {"instanceAction": {"events": [event]}}


def _one(cloud: Cloud, call: Call) -> Body:
    (server_id,) = call.words
    return {"server": _shown(cloud, cloud.server(server_id))}


def _all(cloud: Cloud, call: Call) -> Body:
    found = list(cloud.servers.values())
    if "changes-since" in call.query:
        since = datetime.fromisoformat(call.query["changes-since"]).timestamp()
        found = [each for each in [*found, *cloud.gone] if int(each.updated) >= since - 1]
    if "host" in call.query:
        found = [each for each in found if each.host == call.query["host"]]
    if "name" in call.query:
        found = [each for each in found if re.search(call.query["name"], each.name)]
    return {"servers": [_shown(cloud, each) for each in found]}


_VM_STATES = {"SHUTOFF": "stopped", "VERIFY_RESIZE": "resized", "BUILD": "building"}


def _shown(cloud: Cloud, server: Server) -> dict[str, Any]:
    cpus, mib = FLAVORS[server.flavor]
    power = {"ACTIVE": 1, "PAUSED": 3, "SHUTOFF": 4}.get(server.state, 1)
    if server.before and server.state != "SHUTOFF":
        power = 1 if server.before == "ACTIVE" else 4
    shown: dict[str, Any] = {
        "id": server.id,
        "name": server.name,
        "status": server.status,
        "tenant_id": "tenant",
        "user_id": "user",
        "metadata": server.metadata,
        "created": _when(0),
        "updated": _when(server.updated),
        "image": {"id": server.image},
        "locked": False,
        "flavor": {
            "original_name": server.flavor,
            "vcpus": cpus,
            "ram": mib,
            "disk": 0,
            "ephemeral": 0,
            "swap": 0,
            "extra_specs": {},
        },
        "server_groups": [],
        "os-extended-volumes:volumes_attached": [{"id": each} for each in server.volumes],
        "OS-EXT-STS:task_state": server.task or None,
        "OS-EXT-STS:vm_state": _VM_STATES.get(server.state, server.state.lower()),
        "OS-EXT-STS:power_state": power,
        "OS-EXT-SRV-ATTR:host": cloud.compute(server.host) or None,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": cloud.hypervisor(server.host) or None,
        "OS-EXT-AZ:availability_zone": "nova",
    }
    return shown | ({"fault": {"message": server.fault, "code": 500}} if server.fault else {})


def _services(cloud: Cloud, call: Call) -> Body:
    rows: list[dict[str, Any]] = [
        {
            "id": each.id,
            "binary": "nova-compute",
            "host": each.host,
            "zone": "nova",
            "status": each.status,
            "state": "up" if each.up and not each.forced_down else "down",
            "forced_down": each.forced_down,
            "disabled_reason": each.reason,
            "updated_at": _when(each.beats),
        }
        if not each.dark
        else {"binary": "nova-compute", "host": each.host, "status": "UNKNOWN"}
        for each in cloud.services.values()
    ]
    conductor = {"id": id_of("conductor"), "binary": "nova-conductor", "host": "controller"}
    state = "up" if cloud.conducted else "down"
    beat = {"status": "enabled", "state": state, "updated_at": _when(time.time())[:-1]}
    rows.append(conductor | beat)
    asked = {key: call.query[key] for key in ("host", "binary") if key in call.query}
    return {"services": [row for row in rows if asked.items() <= row.items()]}


def _serve(cloud: Cloud, call: Call) -> Body:
    (service_id,) = call.words
    service = next(each for each in cloud.services.values() if each.id == service_id)
    service.status = call.body.get("status", service.status)
    service.reason = call.body.get("disabled_reason") if service.status == "disabled" else None
    if call.body.get("forced_down") is False and any(
        (each.kind, each.source, each.status) == ("evacuation", service.host, "done")
        for each in cloud.records
    ):
        raise Fault(400, f"Unable to force up host {service.host} as `done` evacuation records")
    service.forced_down = call.body.get("forced_down", service.forced_down)
    return {"service": {"id": service.id}}


def _inventory(total: int) -> dict[str, Any]:
    return {
        "total": total,
        "reserved": 0,
        "allocation_ratio": 1.0,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
    }


def _same(found: Body) -> Handler:
    """Return a handler that always says the same."""
    return lambda _cloud, _call: found


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hypervisors(cloud: Cloud, _: Call) -> Body:
    rows: list[dict[str, Any]] = [
        {"id": cloud.provider(h), "hypervisor_hostname": cloud.hypervisor(h),
         "hypervisor_type": "ironic" if cloud.bears(h) else "fake", "state": "up",
         "status": "enabled", "host_ip": "127.0.0.1", "servers": [],
         "service": {"host": cloud.compute(h)}}
        for h in cloud.homes()
    ]  # fmt: skip
    return {"hypervisors": rows}


_FLAVORS = [
    {"id": id_of(n), "name": n, "vcpus": c, "ram": m, "disk": 0, "OS-FLV-EXT-DATA:ephemeral": 0,
     "swap": 0, "os-flavor-access:is_public": True, "extra_specs": {}}
    for n, (c, m) in FLAVORS.items()
]  # fmt: skip
_SERVER, _NOVA = "/servers/([0-9a-f-]+)", "compute"
_RP = "/resource_providers/([0-9a-f-]+)"
_INVENTORIES = {"VCPU": _inventory(HOST_CPUS), "MEMORY_MB": _inventory(HOST_MIB)}
_ROUTES: tuple[tuple[str, str, str, Handler], ...] = (
    ("POST", _NOVA, "/servers", _create),
    ("GET", _NOVA, "/servers/detail", _all),
    ("GET", _NOVA, _SERVER, _one),
    ("DELETE", _NOVA, _SERVER, _delete),
    ("POST", _NOVA, f"{_SERVER}/action", _act),
    ("GET", _NOVA, f"{_SERVER}/migrations/([0-9]+)", _progress),
    ("DELETE", _NOVA, f"{_SERVER}/migrations/([0-9]+)", _abort),
    ("GET", _NOVA, f"{_SERVER}/os-instance-actions", _events),
    ("GET", _NOVA, f"{_SERVER}/os-instance-actions/req-([0-9]+)", _event),
    ("GET", _NOVA, "/os-migrations", _moves),
    ("GET", _NOVA, "/os-services", _services),
    ("PUT", _NOVA, "/os-services/([0-9a-f-]+)", _serve),
    ("GET", _NOVA, "/os-hypervisors/detail", _hypervisors),
    ("GET", _NOVA, "/flavors/detail", _same({"flavors": _FLAVORS})),
    ("GET", _NOVA, "/os-server-groups", _same({"server_groups": []})),
    ("GET", _NOVA, "/os-aggregates", _same({"aggregates": []})),
    ("GET", _NOVA, "/os-availability-zone/detail", _same({"availabilityZoneInfo": []})),
    ("GET", "image", "/images", _same({"images": [{"id": id_of("tiny"), "name": "tiny"}]})),
    ("GET", "network", "/networks", _same({"networks": [{"id": id_of("net"), "name": "net"}]})),
    ("GET", "block-storage", "/volumes/detail", cinder.volumes),
    ("GET", "block-storage", "/scheduler-stats/get_pools", cinder.pools),
    ("GET", "block-storage", "/os-services", cinder.processes),
    ("DELETE", "block-storage", "/attachments/([0-9a-f-]+)", cinder.detach),
    ("GET", "placement", "/resource_providers", providers),
    ("GET", "placement", f"{_RP}/inventories",
     _same({"inventories": _INVENTORIES, "resource_provider_generation": 1})),
    ("GET", "placement", f"{_RP}/usages", usages),
    ("GET", "placement", f"{_RP}/traits", _same({"traits": TRAITS})),
    ("GET", "placement", f"{_RP}/aggregates", _same({"aggregates": []})),
    ("GET", "placement", f"{_RP}/allocations", on_provider),
    ("GET", "placement", "/allocation_candidates", summaries),
    ("GET", "placement", "/allocations/([0-9a-f-]+)", allocated),
    ("PUT", "placement", "/allocations/([0-9a-f-]+)", allot),
)  # fmt: skip
