# SPDX-License-Identifier: Apache-2.0
"""The machines of a lab's Ironic: its driver, its power and its images are fakes, all else is real.

They belong to the administrator's project: by Ironic's own rules, whoever has no role on the whole
system sees and turns only what is his.
"""

import uuid
from collections.abc import Sequence
from typing import Any, Final

from labs.openstack.client import Client
from labs.openstack.places import LabError, Places
from labs.openstack.processes import until

ON: Final = "power on"
OFF: Final = "power off"
DRIVER: Final = "fake-hardware"
CPUS: Final = 32
MEMORY_MIB: Final = 131_072
_WAY: Final = {
    "enroll": "manage",
    "inspect wait": "abort",
    "inspect failed": "manage",
    "manageable": "provide",
    "active": "deleted",
    "deploy failed": "deleted",
    "error": "deleted",
}
"""What brings a machine nearer to `available`, by its provision state."""


class Machines:
    """All that a lab's Ironic drives; none where it has no Ironic."""

    def __init__(self, places: Places, client: Client) -> None:
        self._places = places
        self._client = client

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [f"metal{n:03d}" for n in range(1, self._places.metal + 1)]

    def enroll(self) -> None:
        """Enroll those that are not there; bring who bears no server to `available`, on.

        Raises LabError.
        """
        self._client.patient("baremetal", "/nodes")
        known = self.states()
        for name in self.names:
            if name not in known:
                self._enroll(name)
        self._renew([name for name in self.names if not self.node(name)["instance_uuid"]])

    def restore(self) -> None:
        """Make all of them again what they were at first: without a server, available, on.

        And wait until Nova would give them to servers.
        """
        self._renew(self.names)

    def await_free(self, name: str) -> None:
        """Wait until Nova may give one to a server: it looks every few seconds what Ironic has."""
        until(lambda: self._is_free(name), lambda: f"Nova gives {name} to nobody")

    def node(self, name: str) -> dict[str, Any]:
        """Return all that Ironic says of one."""
        return self._client.get("baremetal", f"/nodes/{name}")

    def states(self) -> dict[str, tuple[str, str]]:
        """Return the power and the provision state of each that is enrolled."""
        if not self.names:
            return {}
        rows = self._client.get("baremetal", "/nodes")["nodes"]
        return {row["name"]: (row["power_state"] or "", row["provision_state"]) for row in rows}

    def turn(self, name: str, target: str) -> None:
        """Turn one on or off, and wait for it."""
        until(lambda: not self._is_busy(name), lambda: f"Ironic is at work on {name}")
        path = f"/nodes/{name}/states/power"
        self._client.ask("PUT", "baremetal", path, {"target": target})
        until(
            lambda: self.node(name)["power_state"] == target and not self._is_busy(name),
            lambda: f"{name} does not {target}: {self.node(name)['last_error']}",
        )

    def hold(self, name: str) -> None:
        """Have Ironic begin to inspect one: it waits in `inspect wait`, for `restore` at last.

        The ramdisk that would tell what it found does not exist.
        """
        self._order(name, "manage")
        self.await_state(name, "manageable")
        self._order(name, "inspect")
        self.await_state(name, "inspect wait")

    def bear(self, name: str, server: str) -> None:
        """Let one bear a server, as it does when Nova has deployed there; "" takes it away."""
        change = {"op": "add", "path": "/instance_uuid", "value": server}
        if not server:
            change = {"op": "remove", "path": "/instance_uuid"}
        self._client.ask("PATCH", "baremetal", f"/nodes/{name}", [change])

    def maintain(self, name: str, why: str) -> None:
        """Put one into maintenance."""
        path = f"/nodes/{name}/maintenance"
        self._client.ask("PUT", "baremetal", path, {"reason": why})

    def await_state(self, name: str, state: str, *, leading: bool = False) -> None:
        """Wait until one is in a provision state; `leading` orders what leads to `available`."""

        def there() -> bool:
            node = self.node(name)
            now = node["provision_state"]
            if leading and now != state and now in _WAY and not self._is_busy(name):
                self._order(name, _WAY[now])
            return bool(now == state and not self._is_busy(name))

        until(there, lambda: f"{name} is {self.node(name)['provision_state']}, not {state}")

    def _renew(self, names: Sequence[str]) -> None:
        for name in names:
            if self.node(name)["maintenance"]:
                self._client.ask("DELETE", "baremetal", f"/nodes/{name}/maintenance")
            self.await_state(name, "available", leading=True)
            node = self.node(name)
            if node["instance_uuid"]:
                self.bear(name, "")
            if node["power_state"] != ON:
                self.turn(name, ON)
        for name in names:
            self.await_free(name)

    def _order(self, name: str, verb: str, **more: object) -> None:
        path = f"/nodes/{name}/states/provision"
        self._client.ask("PUT", "baremetal", path, {"target": verb, **more})

    def _is_free(self, name: str) -> bool:
        uuid = self.node(name)["uuid"]
        nodes = self._client.get("compute", "/os-hypervisors")["hypervisors"]
        if not any(each["hypervisor_hostname"] == uuid and each["state"] == "up" for each in nodes):
            return False
        path = f"/resource_providers/{uuid}/inventories"
        try:
            counted = self._client.get("placement", path)["inventories"]
        except LabError:  # Nova forgets a machine that bears what it does not know
            return False
        return any(each["reserved"] < each["total"] for each in counted.values())

    def _is_busy(self, name: str) -> bool:
        return bool(self.node(name)["reservation"])

    def _enroll(self, name: str) -> None:
        """Enroll one; Ironic takes none before one of its conductors has said what it drives."""
        properties = {"cpus": CPUS, "memory_mb": MEMORY_MIB, "local_gb": 800, "cpu_arch": "x86_64"}
        node = {
            "name": name,
            "driver": DRIVER,
            "resource_class": "metal",
            "properties": properties,
            "extra": {"system_uuid": str(uuid.uuid4())},
        }
        said: list[str] = []

        def taken() -> bool:
            try:
                self._client.ask("POST", "baremetal", "/nodes", node)
            except LabError as error:
                said.append(str(error))
                return False
            return True

        until(taken, lambda: f"Ironic does not take {name}: {said[-1]}", patience_s=60.0)
