# SPDX-License-Identifier: Apache-2.0
"""The first contents of a lab, through its real APIs: users, endpoints, flavors, one image."""

from typing import Any, Final

from labs.openstack.client import Client
from labs.openstack.machines import CPUS, MEMORY_MIB
from labs.openstack.parts import parts_of
from labs.openstack.places import METAL, REGION, Places

SERVICES: Final = {
    "placement": ("placement", ""),
    "compute": ("nova", "/v2.1"),
    "image": ("glance", ""),
    "network": ("neutron", ""),
}
"""Of the core; type: name of the service, path of its endpoint."""
FLAVORS: Final[dict[str, tuple[int, int, dict[str, str]]]] = {
    "1c1g": (1, 1, {}),
    "2c4g": (2, 4, {}),
    "4c8g": (4, 8, {}),
    "8c32g": (8, 32, {}),
    "16c64g": (16, 64, {}),
    "pinned4": (4, 8, {"hw:cpu_policy": "dedicated", "hw:numa_nodes": "1"}),
    "huge4": (4, 8, {"hw:mem_page_size": "2048", "hw:numa_nodes": "1"}),
    "gpu4": (4, 16, {"pci_passthrough:alias": "gpu:1"}),
    "vgpu2": (2, 8, {"resources:VGPU": "1"}),
}
"""Name: processors, GiB of memory, extra specs; each has 20 GiB of disk."""
METAL_FLAVOR: Final = "metal"
"""A whole machine of Ironic's: nothing of it is shared, so Placement counts nothing else."""
_WHOLE: Final = {
    "resources:CUSTOM_METAL": "1",
    **dict.fromkeys(("resources:VCPU", "resources:MEMORY_MB", "resources:DISK_GB"), "0"),
}
IMAGE: Final = "tiny"


def make_identities(client: Client, places: Places) -> None:
    """Make projects, roles, the services' users, an ordinary user, and the endpoints."""
    projects = _named(client, "projects")
    for name in ("service", "demo"):
        if name not in projects:
            made = client.ask("POST", "identity", "/projects", {"project": {"name": name}})
            projects[name] = made["project"]["id"]
    roles = _named(client, "roles")
    if "service" not in roles:
        roles["service"] = client.ask("POST", "identity", "/roles", {"role": {"name": "service"}})[
            "role"
        ]["id"]
    users = _named(client, "users")
    more = [part.project for part in parts_of(places)]
    for name in ("nova", "placement", "glance", "neutron", "demo", *more):
        if name not in users:
            user = {"name": name, "password": places.password}
            users[name] = client.ask("POST", "identity", "/users", {"user": user})["user"]["id"]
        project = projects["demo" if name == "demo" else "service"]
        for role in ("member", "reader") if name == "demo" else ("admin", "service"):
            path = f"/projects/{project}/users/{users[name]}/roles/{roles[role]}"
            client.ask("PUT", "identity", path)
    _make_endpoints(client, places)


def make_flavors(client: Client, places: Places) -> None:
    """Make the flavors and the image that are not there."""
    metal = {METAL_FLAVOR: (CPUS, MEMORY_MIB // 1024, _WHOLE)} if METAL in places.parts else {}
    known = {each["name"] for each in client.patient("compute", "/flavors")["flavors"]}
    for name, (vcpus, memory_gib, extra) in (FLAVORS | metal).items():
        if name in known:
            continue
        flavor = {"name": name, "vcpus": vcpus, "ram": memory_gib * 1024, "disk": 20}
        made = client.ask("POST", "compute", "/flavors", {"flavor": flavor})["flavor"]["id"]
        if extra:
            path = f"/flavors/{made}/os-extra_specs"
            client.ask("POST", "compute", path, {"extra_specs": extra})
    if not client.patient("image", f"/images?name={IMAGE}")["images"]:
        image = {"name": IMAGE, "disk_format": "raw", "container_format": "bare"}
        made = client.ask("POST", "image", "/images", image | {"visibility": "public"})["id"]
        client.send("image", f"/images/{made}/file", bytes(1024))


def _make_endpoints(client: Client, places: Places) -> None:
    known = {each["type"] for each in client.get("identity", "/services")["services"]}
    more = {part.service: (part.project, part.path) for part in parts_of(places)}
    for kind, (name, path) in (SERVICES | more).items():
        if kind in known:
            continue
        service = {"name": name, "type": kind}
        made = client.ask("POST", "identity", "/services", {"service": service})["service"]["id"]
        for interface in ("public", "internal", "admin"):
            endpoint = {
                "service_id": made,
                "interface": interface,
                "region_id": REGION,
                "url": places.url(kind, path),
            }
            client.ask("POST", "identity", "/endpoints", {"endpoint": endpoint})


def _named(client: Client, what: str) -> dict[str, Any]:
    """Return the identifiers of projects, roles or users by name."""
    return {each["name"]: each["id"] for each in client.get("identity", f"/{what}")[what]}
