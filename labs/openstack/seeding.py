# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: S608 (all words of the statements are our own)
"""Many servers at once: one of each flavor is booted, the others are copied in the database.

What a copy is: the rows that Nova and Placement would have written for a server of that flavor on
that host, a guest on the host, and its computes told to count anew. Booting by the API costs
0.6 s of processor for each; copies cost milliseconds. Servers with NUMA cells or devices of their
own cannot be copied: each would claim the same.
"""

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from labs.openstack import rows, servers
from labs.openstack.client import Client
from labs.openstack.computes import Computes
from labs.openstack.contents import IMAGE
from labs.openstack.places import VOLUMES, LabError, Places
from labs.openstack.processes import until

_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class Seed:
    """One server that shall be.

    Attributes:
        flavor: Name of one of the lab's flavors.
        host: Where it runs.
    """

    name: str
    flavor: str
    host: str


class Seeding:
    """Servers of one lab, made and removed."""

    def __init__(self, places: Places, client: Client, computes: Computes) -> None:
        self._places = places
        self._client = client
        self._computes = computes

    def boot(self, name: str, flavor: str = "1c1g", host: str = "", **more: object) -> str:
        """Ask Nova for a server; return its UUID at once, while it is being built."""
        server = {
            "name": name,
            "flavorRef": self._flavors()[flavor],
            "imageRef": self._image(),
            "networks": "none",
            **({"host": host} if host else {}),
            **more,
        }
        made: str = self._client.ask("POST", "compute", "/servers", {"server": server})["server"][
            "id"
        ]
        return made

    def boot_many(self, prefix: str, count: int, flavor: str = "1c1g") -> list[str]:
        """Ask for `count` servers by one call, where the scheduler wants; wait until all are up."""
        self.boot(prefix, flavor, min_count=count, max_count=count)
        until(
            lambda: len(self.named(prefix, "ACTIVE")) >= count,
            lambda: f"not all {count} servers of {prefix} are up",
            patience_s=300.0 + 5.0 * count,
        )
        return list(self.named(prefix, "ACTIVE"))

    def booted(self, name: str, flavor: str = "1c1g", host: str = "", **more: object) -> str:
        """Ask Nova for a server and wait until it runs. Raises LabError with why not."""
        made = self.boot(name, flavor, host, **more)
        self.await_state(made, "ACTIVE")
        return made

    def await_state(self, server: str, status: str) -> dict[str, Any]:
        """Wait until a server is in a state, and nothing is under way. Raises LabError."""
        path, end = f"/servers/{server}", time.monotonic() + 300.0
        while True:
            found: dict[str, Any] = self._client.get("compute", path)["server"]
            if found["status"] == status and not found["OS-EXT-STS:task_state"]:
                return found
            if found["status"] == "ERROR" or time.monotonic() > end:
                said = found.get("fault", {}).get("message", "")
                raise LabError(f"{found['name']} is {found['status']}, not {status}: {said}")
            time.sleep(0.1)

    def named(self, prefix: str = "", status: str = "") -> dict[str, str]:
        """Return the servers of the administrator's project whose names begin so: UUID to name."""
        found: dict[str, str] = {}
        marker = ""
        while True:
            more = f"&marker={marker}" if marker else ""
            more += f"&status={status}" if status else ""
            path = f"/servers?limit=1000&all_tenants=1{more}"
            page = self._client.get("compute", path)["servers"]
            if not page:
                return found
            found |= {each["id"]: each["name"] for each in page if each["name"].startswith(prefix)}
            marker = page[-1]["id"]

    def plant(self, seeds: Sequence[Seed]) -> dict[str, str]:
        """Make servers without asking Nova for each; return name to UUID. Raises LabError."""
        templates = {}
        for flavor in sorted({each.flavor for each in seeds}):
            host = next(each.host for each in seeds if each.flavor == flavor)
            templates[flavor] = self.booted(f"template-{flavor}", flavor, host)
            self._refuse_pinned(templates[flavor], flavor)
        made = {each.name: str(uuid.uuid4()) for each in seeds}
        wanted = [
            rows.Copy(made[each.name], each.name, each.host, templates[each.flavor])
            for each in seeds
        ]
        for start in range(0, len(wanted), 1000):
            rows.copy(self._places, wanted[start : start + 1000])
        by_host: dict[str, list[tuple[str, str]]] = {}
        for each in seeds:
            by_host.setdefault(each.host, []).append((made[each.name], each.name))
        self._computes.plant(by_host)
        for template in templates.values():
            self.delete([template])
        self._computes.touch(list(by_host))
        return made

    def spread(self, prefix: str, count: int, flavors: Sequence[str] = ("1c1g",)) -> dict[str, str]:
        """Plant `count` servers in turn over all hosts that live; return name to UUID."""
        hosts = sorted(self._computes.alive())
        seeds = [
            Seed(f"{prefix}{n:04d}", flavors[n // len(hosts) % len(flavors)], hosts[n % len(hosts)])
            for n in range(count)
        ]
        return self.plant(seeds)

    def delete(self, uuids: Sequence[str]) -> None:
        """Delete servers through the API, and wait until they are gone."""

        def end(each: str) -> None:
            try:
                self._client.ask("DELETE", "compute", f"/servers/{each}")
            except LabError as error:
                if " 404 " not in str(error):
                    raise

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(end, uuids))
        for each in uuids:
            self._await_gone(each)

    def clean(self, prefix: str) -> None:
        """Delete every server whose name begins so, through the API."""
        self.delete(list(self.named(prefix)))

    def wipe(self) -> None:
        """Remove all servers, groups, aggregates, records and allocations, in the database.

        For between tests: seconds for thousands. Nothing may be under way. Services are enabled
        and no longer forced down, hosts are again what they are by default.
        """
        self.empty()
        self.settle()

    def empty(self) -> None:
        """Do what `wipe` does, without waiting until computes have noticed."""
        self._computes.clear()
        servers.sql(self._places, rows.WIPE)
        if VOLUMES in self._places.parts:
            servers.sql(self._places, rows.WIPE_VOLUMES)
        for host in self._computes.known():
            devices = self._computes.shape(host).get("gpus")
            self._computes.reset(host)
            if devices and host in self._computes.alive():  # looked for only as it starts
                self._computes.kill(host)
                self._computes.start([host])

    def settle(self) -> None:
        """Have living computes count anew, and wait until none counts what is gone."""
        alive = sorted(self._computes.alive())
        self._computes.touch(alive)
        until(lambda: not self._counted(alive), lambda: "computes still count what is gone")

    def _await_gone(self, server: str) -> None:
        end = time.monotonic() + 300.0
        while time.monotonic() < end:
            try:
                self._client.get("compute", f"/servers/{server}")
            except LabError as error:
                if " 404 " in str(error):
                    return
                raise
            time.sleep(0.1)
        raise LabError(f"{server} is not deleted")

    def _counted(self, hosts: Sequence[str]) -> int:
        """Return how many of the hosts still count servers."""
        listed = ", ".join(f"'{each}'" for each in ("", *hosts))
        used = f"deleted = 0 AND running_vms > 0 AND host IN ({listed})"
        text = f"SELECT COUNT(*) FROM compute_nodes WHERE {used}"
        return int(servers.sql(self._places, text, "nova")[0][0])

    def _flavors(self) -> dict[str, str]:
        return {
            each["name"]: each["id"] for each in self._client.get("compute", "/flavors")["flavors"]
        }

    def _image(self) -> str:
        found: str = self._client.get("image", f"/images?name={IMAGE}")["images"][0]["id"]
        return found

    def _refuse_pinned(self, template: str, flavor: str) -> None:
        if rows.has_cells(self._places, template):
            self.delete([template])
            raise LabError(f"servers of {flavor} cannot be copied; boot them")
