# SPDX-License-Identifier: Apache-2.0
"""A real OpenStack on the loopback of this machine, with computes whose guests cost nothing.

Everything lies in one folder; only processes that a file in it names, and that are still those, are
ever ended. Two labs in two folders do not know each other.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography.fernet import Fernet
from labs.openstack import contents, install, servers, services
from labs.openstack.client import Client
from labs.openstack.computes import Computes, known_or_refused, names
from labs.openstack.faults import Gates
from labs.openstack.machines import Machines
from labs.openstack.metrics import Metrics
from labs.openstack.parts import PARTS, parts_of
from labs.openstack.places import (
    CLOUD,
    METAL,
    METRICS,
    VOLUMES,
    LabError,
    Places,
    Sizes,
    default_root,
    found,
    laid_out,
)
from labs.openstack.processes import Process, listens, until
from labs.openstack.seeding import Seeding
from labs.openstack.settings import make_state_folders, write_settings

WIPED: Final = ("state", "settings", "run", "logs", "hosts", "lab.json")


class Lab:
    """One OpenStack; `Lab.started()` gives a running one.

    Attributes:
        places: Its folder, ports and sizes.
        client: A plain client of its APIs, apart from Billow's.
        computes: Its hosts, and the guests that really run.
        gates: Faults before its APIs, and the record of what they were asked.
        seeding: Many servers at once, and none again.
        machines: What its Ironic drives, where it has one.
        metrics: What its Gnocchi is told of servers, where it has one.
        took_s: How long each step of the last start took.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self.client = Client(places)
        self.computes = Computes(places)
        self.gates = Gates(places)
        self.seeding = Seeding(places, self.client, self.computes)
        self.machines = Machines(places, self.client)
        self.metrics = Metrics(places, self.client)
        self.took_s: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def started(
        cls,
        root: Path | None = None,
        computes: int = 4,
        venv: Path | None = None,
        sizes: Sizes | None = None,
    ) -> Self:
        """Return a lab that runs with at least so many computes: start it, or use the one there."""
        lab = cls.laid_out(root or default_root(), venv, sizes)
        lab.up(computes)
        return lab

    @classmethod
    def laid_out(
        cls,
        root: Path,
        venv: Path | None = None,
        sizes: Sizes | None = None,
        parts: Collection[str] = (),
        metal: int = 0,
    ) -> Self:
        """Return the lab in a folder, laid out where there is none; `up` starts it."""
        return cls(laid_out(root, venv, sizes, parts, metal))

    @classmethod
    def found(cls, root: Path | None = None) -> Self:
        """Return the lab in a folder, running or not. Raises LabError where there is none."""
        return cls(found(root or default_root()))

    @property
    def environment(self) -> dict[str, str]:
        """What to set so that openstacksdk, and Billow, find the cloud."""
        return {"OS_CLIENT_CONFIG_FILE": str(self.places.clouds_yaml), "OS_CLOUD": CLOUD}

    @property
    def hosts(self) -> list[str]:
        """The hosts, alive or not."""
        return self.computes.known()

    def up(self, computes: int = 4, *, may_install: bool = True) -> None:
        """Bring up what does not run. Raises LabError with what was said by what failed."""
        with self._alone():
            self.took_s = {}
            self._step("Debian's packages", install.install_servers, may_install=may_install)
            self._step("OpenStack", install.install_openstack, self.places)
            make_state_folders(self.places)
            write_settings(self.places, max(computes, len(self.hosts)))
            self._step("database", servers.start_database, self.places)
            self._step("queue", servers.start_queue, self.places)
            self._step("cache", servers.start_cache, self.places)
            self._step("schemas", services.make_schemas, self.places)
            for part in parts_of(self.places):
                self._step(f"schema of {part.project}", services.make_schema, self.places, part)
            for name in services.cores(self.places):  # an earlier compute waits 10 s for each try
                services.core(self.places, name).start()
            self._step("keys", services.make_first_user, self.places)
            for name in services.apis(self.places):
                services.api(self.places, name).start()
            self._step("APIs", services.await_apis, self.places)
            self._step("identities", self._make_identities)
            until(lambda: not self._silent(), lambda: f"Cinder does not see {self._silent()}")
            self._step("computes", self.start_hosts, names(computes))
            self._step("flavors", contents.make_flavors, self.client, self.places)
            for name in services.late(self.places):
                services.core(self.places, name).start()
            if METAL in self.places.parts:
                self._step("machines", self.machines.enroll)
            if METRICS in self.places.parts:
                self._step("metrics", self.metrics.make_types)

    def down(self, *, wipe: bool = False) -> None:
        """End all that this lab started; `wipe` removes what it made, the installation excepted."""
        with self._alone():
            self.computes.stop()
            kept = services.every_service(self.places)
            with contextlib.suppress(ProcessLookupError):
                for process in kept:
                    process.thaw()
                    process.signal(15)
            for process in kept:
                process.stop(2.0)
            for process in servers.all_servers(self.places):
                process.stop(30.0)
        self.close()
        if wipe:
            for name in WIPED:
                path = self.places.root / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of connections; the lab runs on."""
        self.client.close()

    def restore(self) -> None:
        """Put right what a test may have left: faults, frozen or ended parts, servers, settings."""
        self.gates.clear()
        for process in (*servers.all_servers(self.places), *services.every_service(self.places)):
            process.thaw()
        self.seeding.empty()
        if self.check():
            self.up(len(self.hosts))
        self.seeding.settle()
        self.machines.restore()
        self.metrics.restore()

    def check(self) -> dict[str, str]:
        """Return what is wrong, by process or host; nothing when all is well."""
        wrong = {}
        for process in (*servers.all_servers(self.places), *services.every_service(self.places)):
            if process.number() is None:
                wrong[process.name] = "does not run"
        for service, (name, _) in services.apis(self.places).items():
            if name not in wrong and not listens(self.places.ports[service]):
                wrong[name] = "does not listen"
        wrong |= {} if wrong else self._silent()
        if wrong:
            return wrong
        alive, seen = self.computes.alive(), self.states()
        for host in self.hosts:
            if host not in alive:
                wrong[host] = "its nova-compute does not run"
            elif seen.get(host, ("", ""))[0] != "up":
                wrong[host] = "Nova does not see it up"
        missing = set(self.machines.names) - self.machines.states().keys()
        return wrong | dict.fromkeys(sorted(missing), "Ironic has it not")

    def states(self) -> dict[str, tuple[str, str]]:
        """Return how Nova sees each compute: up or down, enabled or disabled."""
        answer = self.client.get("compute", "/os-services?binary=nova-compute")["services"]
        return {each["host"]: (each["state"], each["status"]) for each in answer}

    def service(self, name: str) -> Process:
        """Return one of the processes by name, to kill, freeze or start it. Raises LabError."""
        every = (*servers.all_servers(self.places), *services.every_service(self.places))
        for process in every:
            if process.name == name:
                return process
        raise LabError(f"no {name}; there are: {', '.join(each.name for each in every)}")

    def start_hosts(self, hosts: Sequence[str]) -> None:
        """Start the computes of hosts, and wait until Nova counts with them: up, and scheduled."""
        self.computes.start(hosts)
        until(
            lambda: not self._unseen(hosts),
            lambda: f"Nova does not see: {', '.join(self._unseen(hosts))}",
            patience_s=300.0 + len(hosts),
        )

    def start(self, host: str) -> None:
        """Start one host's compute."""
        self.start_hosts([known_or_refused(self.computes, host)])

    def kill(self, host: str) -> None:
        """End a host's compute at once; its guests run on."""
        self.computes.kill(known_or_refused(self.computes, host))

    def power_cut(self, host: str) -> None:
        """End a host at once with all its guests."""
        self.computes.power_cut(known_or_refused(self.computes, host))

    def shape(self, host: str, **told: object) -> None:
        """Tell a host what it is, how slow, and where it fails; README.md lists the words.

        Nova looks for devices only as it starts: with `gpus`, its compute is started anew.
        """
        self.computes.furnish(known_or_refused(self.computes, host), **told)
        if "gpus" in told and host in self.computes.alive():
            self.kill(host)
            self.start(host)

    def await_down(self, host: str, patience_s: float = 600.0) -> None:
        """Wait until Nova counts a host as down."""
        until(
            lambda: self.states()[host][0] == "down",
            lambda: f"Nova still counts {host} as up",
            patience_s,
        )

    def restart(self, name: str) -> None:
        """Kill one of the processes and start it again."""
        process = self.service(name)
        process.kill()
        process.start()
        if name == "rabbitmq":
            servers.start_queue(self.places)
        services.await_apis(self.places)

    def expire_tokens(self) -> None:
        """Make every token that was ever issued void, as if its time was over.

        Keystone gets other keys, and all who check tokens forget what they knew. All callers, Nova
        itself included, are refused at their next call and log in again.
        """
        keys = self.places.state / "fernet"
        for name in ("0", "1"):
            new = keys.parent / f"fernet-{name}"
            new.touch(mode=0o600)
            new.write_bytes(Fernet.generate_key())
            new.replace(keys / name)
        for each in keys.iterdir():
            if each.name not in ("0", "1"):
                each.unlink()
        servers.empty_cache(self.places)

    def memory_mib(self) -> dict[str, float]:
        """Return the memory of every part, shared pages split fairly (PSS); computes in one sum."""
        every = (*servers.all_servers(self.places), *services.every_service(self.places))
        found = {each.name: _pss_mib(each.number()) for each in (*every, self.computes.farm)}
        found["computes"] = sum(
            _pss_mib(each, alone=True) for each in self.computes.alive().values()
        )
        return found

    def processor_s(self) -> float:
        """Return how much processor time all parts have used so far, in seconds."""
        every = (*servers.all_servers(self.places), *services.every_service(self.places))
        groups = {each.number() for each in (*every, self.computes.farm)}
        groups |= set(self.computes.alive().values())
        ticks = sum(_ticks(int(path.name)) for path in _processes() if _session(path) in groups)
        return ticks / os.sysconf("SC_CLK_TCK")

    def _unseen(self, hosts: Sequence[str]) -> list[str]:
        """Return the hosts that Nova does not count with: down, or without a node to choose.

        What a host said before it ended keeps it up for a while, perhaps not until it speaks again.
        One that somebody has forced down stays so until told, and is not waited for.
        """
        nodes = self.client.get("compute", "/os-hypervisors")["hypervisors"]
        up = {each["hypervisor_hostname"] for each in nodes if each["state"] == "up"}
        answer = self.client.get("compute", "/os-services?binary=nova-compute")["services"]
        forced = {each["host"] for each in answer if each["forced_down"]}
        _, down_s = self.places.sizes.rhythm(len(self.hosts))
        spoke = {each["host"] for each in answer if _age_s(each["updated_at"]) < down_s / 2}
        return sorted(set(hosts) - (up & spoke) - forced)

    def _silent(self) -> dict[str, str]:
        """Return the processes of Cinder that it does not see up; a driver without pools is none.

        Nothing where the lab has no volumes.
        """
        if VOLUMES not in self.places.parts:
            return {}
        found = self.client.patient("block-storage", "/os-services")["services"]
        up = {each["binary"] for each in found if each["state"] == "up"}
        if not self.client.patient("block-storage", "/scheduler-stats/get_pools")["pools"]:
            up.discard("cinder-volume")
        silent = set(PARTS[VOLUMES].cores) - up
        return dict.fromkeys(sorted(silent), "Cinder does not see it up")

    def _make_identities(self) -> None:
        done, parts = self.places.state / "identities.made", " ".join(sorted(self.places.parts))
        if not done.exists() or done.read_text() != parts:
            until(self._logs_in, lambda: "Keystone lets nobody in")
            contents.make_identities(self.client, self.places)
            done.write_text(parts)
        self.client.patient("compute", "/flavors")
        self.client.patient("placement", "/resource_classes")

    def _logs_in(self) -> bool:
        try:
            self.client.log_in()
        except LabError:
            return False
        return True

    def _step(self, name: str, do: Callable[..., object], *words: object, **more: object) -> None:
        begun = time.monotonic()
        do(*words, **more)
        self.took_s[name] = round(time.monotonic() - begun, 1)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from starting or ending this lab at the same time."""
        with (self.places.root / "busy").open("w") as busy:
            fcntl.flock(busy, fcntl.LOCK_EX)
            yield


def _age_s(said: str | None) -> float:
    """Return how old a time of Nova's is; one that it has not written yet is new."""
    if said is None:
        return 0.0
    return (datetime.now(UTC) - datetime.fromisoformat(said).replace(tzinfo=UTC)).total_seconds()


def _processes() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*")


def _session(path: Path) -> int:
    try:
        return int((path / "stat").read_text().rpartition(")")[2].split()[3])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def _ticks(number: int) -> int:
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])


def _pss_mib(number: int | None, *, alone: bool = False) -> float:
    """Return the proportional memory of a process, with all of its session unless `alone`."""
    if number is None:
        return 0.0
    members = [Path(f"/proc/{number}")]
    if not alone:
        members = [path for path in _processes() if _session(path) == number]
    total = 0.0
    for path in members:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in (path / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) / 1024
    return round(total, 1)
