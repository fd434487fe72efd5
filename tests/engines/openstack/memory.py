# SPDX-License-Identifier: Apache-2.0
"""A small cloud in memory: what Nova does, and how long it takes. `double` answers for it.

Its traps are the real one's, as seen in the lab: a server is ACTIVE before its move has ended, its
record ends before Placement lets go, a failed move leaves no fault on its server, and a resize goes
where the scheduler likes.
"""

import time
import uuid
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

STEP_S = 0.03
COPY_S = 0.25
HOSTS = ("c1", "c2", "c3")
DRIVER = "ironic-compute"
"""The nova-compute that has Ironic deploy, where there is an Ironic."""
FLAVORS = {"small": (1, 1024), "larger": (2, 2048)}
HOST_CPUS, HOST_MIB = 8, 16_384
_BUSY = {
    "migrating": "MIGRATING",
    "resize_prep": "RESIZE",
    "resize_finish": "RESIZE",
    "rebuilding": "REBUILD",
}

Script = Generator[float, None, None]


class Fault(Exception):
    """An HTTP error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def id_of(name: str) -> str:
    """Return the id of what has a name: the same each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


@dataclass
class Server:
    id: str
    name: str
    flavor: str
    metadata: dict[str, str]
    image: str
    host: str = ""
    state: str = "BUILD"
    task: str = "scheduling"
    fault: str = ""
    updated: float = 0.0
    old: tuple[str, str] = ("", "")
    volumes: list[str] = field(default_factory=list)
    before: str = ""
    """Its state before a failed evacuation."""

    @property
    def status(self) -> str:
        return _BUSY.get(self.task, self.state)


@dataclass
class Record:
    id: int
    kind: str
    server: str
    source: str
    target: str
    status: str = "accepted"
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))
    began: float = 0.0
    aborted: bool = False


@dataclass
class Service:
    id: str
    host: str
    status: str = "enabled"
    reason: str | None = None
    up: bool = True
    on: bool = True
    forced_down: bool = False
    dark: bool = False
    """Whether the database of its cell is down."""
    beats: int = 0


@dataclass
class Machine:
    """A machine of Ironic's, and what befalls it.

    Attributes:
        on: Whether it has power, in truth; `power` is what Ironic recorded.
        silent: Its API answers nothing of it.
        unreached: Its controller does not answer Ironic.
        deaf: It takes orders and does nothing.
        stuck: What is ordered of it comes to no end.
        slow_s: How long its controller takes to answer.
    """

    name: str
    uuid: str
    extra: dict[str, str]
    on: bool = True
    power: str | None = "power on"
    target: str | None = None
    error: str | None = None
    locked_by: str | None = None
    state: str = "available"
    maintenance: str = ""
    fault: str | None = None
    instance: str | None = None
    inventory: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    unreached: bool = False
    deaf: bool = False
    stuck: bool = False
    slow_s: float = 0.0
    orders: list[str] = field(default_factory=list)


class Cloud:
    """What there is, and what is under way."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.gone: list[Server] = []
        self.records: list[Record] = []
        self.services = {host: Service(id_of(f"service {host}"), host) for host in HOSTS}
        self.allocations: dict[str, tuple[str, str]] = {}
        self.events: list[tuple[str, str, str]] = []
        self.kinds: dict[str, str] = {}
        """Consumers of room that are not Nova's servers."""
        self.stale: set[str] = set()
        """Consumers whose entries somebody else changes all the time."""
        self.volumes: dict[str, dict[str, Any]] | None = {}
        """What Cinder has, as it shows it; None where it lets nobody see."""
        self.machines: dict[str, Machine] = {}
        """Ironic's, by name; without any there is no Ironic."""
        self.domain = ""
        """What the names of hypervisors have after those of their hosts."""
        self.conducted = True
        self.failing: set[str] = set()
        """Hosts on which nothing can be rebuilt."""
        self._agenda: list[tuple[float, Script]] = []

    def advance(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        while due := [each for each in self._agenda if each[0] <= now]:
            first = min(due, key=lambda each: each[0])
            self._agenda.remove(first)
            self._go_on(first[1], first[0])

    def _go_on(self, script: Script, at: float) -> None:
        wait_s = next(script, None)
        if wait_s is not None:
            self._agenda.append((at + wait_s, script))

    def begin(self, script: Script) -> None:
        self._go_on(script, time.monotonic())

    # --- what a cloud decides

    def bar(self, host: str, flavor: str) -> str:
        """Why the scheduler lets a server not come to a host."""
        service = self.services[host]
        if service.status != "enabled" or not service.up or service.forced_down:
            return "down or disabled"
        taken = [FLAVORS[flavor] for at, flavor in self.allocations.values() if at == host]
        cpus, mib = FLAVORS[flavor]
        full = sum(each[0] for each in taken) + cpus > HOST_CPUS
        return "full" if full or sum(each[1] for each in taken) + mib > HOST_MIB else ""

    def choose(self, flavor: str, not_on: str = "") -> str:
        """Where the scheduler puts a server; empty for nowhere."""
        free = [host for host in HOSTS if host != not_on and not self.bar(host, flavor)]
        load = [host for host, _ in self.allocations.values()]
        return min(free, key=load.count, default="")

    def touch(self, server: Server) -> None:
        server.updated = time.time()

    def is_on(self, host: str) -> bool:
        return self.services[host].on

    def cut(self, host: str) -> None:
        self.services[host].on = self.services[host].up = False

    def give(self, host: str) -> None:
        self.services[host].on = True
        self.restart(host)

    # --- what Nova calls them

    def bears(self, host: str) -> bool:
        """Whether it is a machine of Ironic's, which servers name by its id."""
        return host in {each.uuid for each in self.machines.values()}

    def compute(self, host: str) -> str:
        """The nova-compute of a server that is there."""
        return DRIVER if self.bears(host) else host

    def hypervisor(self, host: str) -> str:
        """The name of its hypervisor and of its provider."""
        return host if self.bears(host) else host and host + self.domain

    def provider(self, host: str) -> str:
        """The id of its provider, and of its hypervisor."""
        return host if self.bears(host) else id_of(host)

    def homes(self) -> list[str]:
        """All that servers may be on."""
        return [*HOSTS, *(each.uuid for each in self.machines.values())]

    # --- what takes time

    def building(self, server: Server, wanted: str) -> Script:
        yield STEP_S
        server.host = wanted or self.choose(server.flavor)
        if not server.host or self.bar(server.host, server.flavor):
            server.host, server.state, server.task = "", "ERROR", ""
            server.fault = "No valid host was found. "
            self.touch(server)
            return
        server.task = "networking"
        self.allocations[server.id] = (server.host, server.flavor)
        yield STEP_S
        server.state, server.task = "ACTIVE", ""
        self.touch(server)

    def moving(self, server: Server, target: str) -> Script:
        server.task = "migrating"
        self.touch(server)
        yield STEP_S
        record = self.record("live-migration", server, target)
        if self.bar(target, server.flavor):
            record.status, server.task = "error", ""
            self.events.append(
                (server.id, "live-migration", "NoValidHost: No valid host was found.")
            )
            return
        self.allocations[record.uuid] = (server.host, server.flavor)
        self.allocations[server.id] = (target, server.flavor)
        for record.status, wait_s in (("preparing", STEP_S), ("running", 0.0)):
            yield wait_s
        record.began = time.monotonic()
        while time.monotonic() < record.began + COPY_S and not record.aborted:
            yield STEP_S
        if record.aborted:
            self.allocations[server.id] = self.allocations.pop(record.uuid)
            record.status, server.task = "cancelled", ""
            self.touch(server)
            return
        server.host, server.task = target, ""
        self.touch(server)
        yield STEP_S
        record.status = "completed"
        yield STEP_S
        self.allocations.pop(record.uuid)

    def resizing(self, server: Server, target: str, flavor: str) -> Script:
        kind = "migration" if flavor == server.flavor else "resize"
        server.task = "resize_prep"
        self.touch(server)
        yield STEP_S
        target = target or self.choose(flavor, not_on=server.host)
        record = self.record(kind, server, target)
        action = "migrate" if kind == "migration" else "resize"
        if not target or self.bar(target, flavor):
            record.status, server.task = "error", ""
            self.events.append((server.id, action, "NoValidHost: No valid host was found."))
            return
        self.allocations[record.uuid] = (server.host, server.flavor)
        self.allocations[server.id] = (target, flavor)
        record.status = "migrating"
        yield STEP_S
        record.status, server.task = "post-migrating", "resize_finish"
        yield STEP_S
        server.old = (server.state, server.flavor)
        server.host, server.flavor = target, flavor
        server.state, server.task, record.status = "VERIFY_RESIZE", "", "finished"
        self.touch(server)

    def confirming(self, server: Server, *, keep: bool) -> Script:
        record = self.latest(server)
        record.status = "confirming" if keep else "reverting"
        server.task = "resize_confirming" if keep else "resize_reverting"
        yield STEP_S
        state, flavor = server.old
        if not keep:
            server.host, server.flavor = record.source, flavor
            self.allocations[server.id] = self.allocations[record.uuid]
        server.state, server.task = state, ""
        self.touch(server)
        yield STEP_S
        record.status = "confirmed" if keep else "reverted"
        self.allocations.pop(record.uuid)

    def evacuating(self, server: Server, target: str, *, stays: bool) -> Script:
        server.task, found = "rebuilding", self.record("evacuation", server, target)
        self.touch(server)
        while not self.conducted:
            yield STEP_S
        yield STEP_S
        if found.status != "accepted":
            return
        why = self.bar(target, server.flavor) and "NoValidHost: No valid host was found."
        if why or target in self.failing:
            found.status, server.task = "error" if why else "failed", ""
            server.before, server.state = server.before or server.state, "ERROR"
            self.events.append((server.id, "evacuate", why or "BuildAbortException: no disk"))
            self.touch(server)
            return
        found.status = "pre-migrating"
        self.allocations[f"{server.id} {server.host}"] = self.allocations[server.id]
        self.allocations[server.id] = (target, server.flavor)
        yield STEP_S
        if found.status != "pre-migrating":
            return
        server.task = ""  # as seen in the lab: at rest, on the old host, and not at its end
        yield STEP_S
        runs = server.state != "SHUTOFF" and not (stays and server.state != "ERROR")
        server.host, server.state = target, "ACTIVE" if runs else "SHUTOFF"
        found.status = "done"
        self.touch(server)

    def restart(self, host: str) -> None:
        """Let a nova-compute begin anew: it clears up what went elsewhere."""
        self.services[host].up = True
        self.services[host].beats += 1
        for each in self.records:
            if each.kind == "evacuation" and each.source == host and each.status == "done":
                each.status = "completed"
                self.allocations.pop(f"{each.server} {host}", None)

    def turning(self, server: Server, task: str, state: str) -> Script:
        server.task = task
        self.touch(server)
        yield STEP_S
        server.task, server.state = "", state
        self.touch(server)

    def deleting(self, server: Server) -> Script:
        server.task = "deleting"
        self.touch(server)
        yield STEP_S
        self.servers.pop(server.id, None)
        server.state, server.task = "DELETED", ""
        self.touch(server)
        self.gone.append(server)
        yield STEP_S
        self.allocations.pop(server.id, None)

    def record(self, kind: str, server: Server, target: str) -> Record:
        made = Record(len(self.records) + 1, kind, server.id, server.host, target)
        self.records.append(made)
        return made

    def latest(self, server: Server) -> Record:
        return [each for each in self.records if each.server == server.id][-1]

    def server(self, server: str) -> Server:
        if server not in self.servers:
            raise Fault(404, f"Instance {server} could not be found.")
        return self.servers[server]
