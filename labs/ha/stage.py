# SPDX-License-Identifier: Apache-2.0
"""All of high availability on one machine: a pool with guests, agents, controllers, a database.

The hosts are those of the engine `qemu`, with the lab's three networks added: what runs in a host's
namespace, guests and agent, dies when its power is cut. Nothing here is a double but the power.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar
from uuid import NAMESPACE_DNS, uuid4, uuid5

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from labs.ha import frozen, space
from labs.ha.audit import Finding, Watch, of_serial, spaces_of
from labs.ha.bmc import Emulator
from labs.ha.database import Database
from labs.ha.lab import Lab
from labs.ha.layout import GATEWAY, Node, address, layout_of
from labs.ha.space import LabError

from billow.act.clock import SystemClock
from billow.app import open_billow
from billow.engines.qemu.folder import StateFolder
from billow.engines.qemu.open import lay_out, open_engine, remove_pool, tag_of
from billow.ha.enrol import Enrolment
from billow.loop import Wish
from billow.model.action import Place
from billow.model.ha.evidence import NETWORKS
from billow.model.ha.incident import Incident
from billow.model.ha.step import IncidentStep
from billow.model.instance import Instance
from billow.model.plan import Proposal
from billow.model.run import Phase
from billow.model.shape import Shape
from billow.settings import Settings
from billow.store import Store

PORT: Final = 8521
API_PORT: Final = 8520
PEER_PORT: Final = 8522
BMC_PORT: Final = 6230
PAPERS: Final = "agents"
SHAPE: Final = Shape("tiny", 100, 64)
_READY_S: Final = 60.0
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a stage consists of.

    Attributes:
        instances: On the first host; the others are empty but for `beside` each.
        lease_s: What agents promise; 0 for no watchdog.
        bmc: Kind of the emulated management controllers, `ipmi` or `redfish`; empty for none.
        clocks: Whether agents read clocks that can jump.
        settings: More of a controller's environment, `BILLOW_*`.
    """

    hosts: int = 4
    controllers: int = 3
    racks: int = 2
    instances: int = 4
    beside: int = 0
    lease_s: float = 0.0
    bmc: str = ""
    clocks: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


class Stage:
    """A stage in a folder; the folder's name must be short, for sockets lie in it."""

    def __init__(self, root: Path, plan: Plan) -> None:
        self.root, self.plan = root, plan
        self.database = Database(root / "pg")
        self.state = root / "state"
        self.bmcs: dict[str, Emulator] = {}
        self._runner = asyncio.Runner()
        self._store: Store | None = None
        self.lab = Lab.planned(root / "lab", plan.hosts)  # laid out anew when the pool is there

    def __enter__(self) -> Self:
        try:
            self._up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def hosts(self) -> tuple[Node, ...]:
        """The pool's hosts."""
        return self.lab.hosts

    def down(self) -> None:
        """End all of it, and remove it."""
        if self._store is not None:
            self._runner.run(self._store.aclose())
        self._runner.close()
        for each in self.bmcs.values():
            each.stop()
        self.lab.down()
        asyncio.run(remove_pool(self.settings))
        self.database.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def settings(self) -> Settings:
        """What a program outside the lab needs to open the pool and its store."""
        return Settings(
            engine=self._engine, bmc_file=self.root / "bmc.toml" if self.plan.bmc else None,
            state_dir=self.state, database=self.database.url, pool="ha",
            hosts=self.plan.hosts, host_cpus=16, host_memory_mib=8192, standing={},
            steps_at_once=8,
        )  # fmt: skip

    @property
    def _engine(self) -> str:
        return f"qemu+{self.plan.bmc}" if self.plan.bmc else "qemu"

    def watch(self) -> Watch:
        """Return an auditor of the pool's processes."""
        return Watch(spaces_of((each.name, each.netns) for each in self.hosts))

    def serial(self) -> Finding:
        """Judge what the guests wrote."""
        return of_serial(self.state / "qemu" / "volumes")

    def read(self, what: Callable[[Store], Awaitable[Found]]) -> Found:
        """Return what the store says: for figures, never for an audit."""
        if self._store is None:
            self._store = self._runner.run(Store.open(self.database.url))
        return self._runner.run(_awaited(what(self._store)))

    def incidents(self) -> tuple[Incident, ...]:
        """Return what the store knows of incidents."""
        return tuple(self.read(lambda store: store.incidents()))

    def cut_power(self, node: Node) -> None:
        """Cut a host's power, as when its supply fails: its management controller knows of it."""
        if node.name in self.bmcs:
            self.bmcs[node.name].become("off")
        else:
            self._dark(node)

    def _dark(self, node: Node) -> None:
        self.lab.power_off(node)
        (self.lab.folder(node) / "boot").unlink(missing_ok=True)

    def start_controller(self, node: Node) -> None:
        """Start a controller in its namespace, and wait until it hears agents."""
        given = {
            "ENGINE": self._engine,
            "STATE_DIR": str(self.state),
            "DATABASE": self.database.url,
            "POOL": "ha",
            "HOSTS": str(self.plan.hosts),
            "STANDING": "{}",
            "HA_NAME": node.name,
            "HA_CONTROLLERS": str(self.plan.controllers),
            **{f"HA_{each.upper()}": f"{node.address(each)}:{PORT}" for each in NETWORKS},
        }
        variables = {f"BILLOW_{name}": value for name, value in given.items()}
        words = (sys.executable, "-m", "billow", "serve", "--listen", "127.0.0.1")
        if self.plan.bmc:
            variables["BILLOW_BMC_FILE"] = str(self.root / "bmc.toml")
        variables |= self.plan.settings
        process = self.lab.start(node, "billow", (*words, "--port", str(API_PORT)), **variables)
        log = self.lab.folder(node) / "billow.log"
        space.until(
            lambda: process.poll() is not None or "billow is up" in log.read_text(),
            f"controller {node.name} does not start, see {log}",
            _READY_S,
        )
        if process.poll() is not None:
            raise LabError(f"controller {node.name} ended: {log.read_text()[-2000:]}")

    def start_agent(self, node: Node) -> None:
        """Start a host's agent; it is another boot only after the host's power was cut."""
        folder = self.lab.folder(node)
        boot = folder / "boot"
        if not boot.exists():
            boot.write_text(str(uuid4()))
        controllers = (
            f"{each.name}=" + ",".join(f"{each.address(on)}:{PORT}" for on in NETWORKS)
            for each in self.lab.controllers
        )
        words = [
            *(sys.executable, "-m", "billow.agent", "--host", node.name),
            *("--state", str(folder / "agent"), "--boot", boot.read_text(), "--own-namespace"),
            *(word for each in NETWORKS for word in (f"--{each}", node.address(each))),
            *(word for each in controllers for word in ("--controller", each)),
            *("--pool", f"pool={folder / frozen.POOL}", "--disk", f"disk={folder / frozen.DISK}"),
            *("--gateway", address(NETWORKS[1], GATEWAY), "--kmsg", str(folder / "kmsg")),
            *("--qmp", f"{self.state}/qemu/hosts/{node.name}/*/qmp"),
        ]
        if self.plan.lease_s:
            words += [
                "--watchdog",
                "stand-in",
                "--lease",
                str(self.plan.lease_s),
                "--listen",
                "8522",
            ]
        if not (folder / "kmsg").exists():
            os.mkfifo(folder / "kmsg")
        self.lab.start(node, "agent", frozen.with_disks(folder, words), **self._clock(node))

    def _clock(self, node: Node) -> dict[str, str]:
        """Return what puts a clock that can jump before a host's agent. Raises LabError."""
        if not self.plan.clocks:
            return {}
        library = self.root / "clock.so"
        if not library.exists():
            source = str(Path(__file__).with_name("clock.c"))
            space.run("cc", "-shared", "-fPIC", "-O2", "-o", str(library), source)
        self.jump(node, 0)
        return {
            "LD_PRELOAD": str(library),
            "LAB_CLOCK": str(self.lab.folder(node) / "clock"),
        }

    def told(self, host: str) -> dict[str, str]:
        """Return what the newest step of each of a host's incidents says, evidence and all."""
        found = {}
        for each in self.incidents():
            if each.host == host:
                found[each.id] = _words(self.read(partial(_steps, each.id)))
        return found

    def symptoms(self, host: str) -> str:
        """Return what controllers know that the host's agent says, whether or not it matters."""
        views = self.read(lambda store: store.views())
        reports = (each.reports[host] for each in views if host in each.reports)
        return "; ".join(symptom.text for report in reports for symptom in report.symptoms)

    def jump(self, node: Node, seconds: int) -> None:
        """Let the wall clock that a host's agent reads jump by whole seconds."""
        (self.lab.folder(node) / "clock").write_text(f"{seconds}")

    def leader(self) -> Node:
        """Return the controller that writes: the one that holds the lease in the database."""
        lease = self.read(lambda store: store.lease())
        holder = lease.holder if lease else ""
        for node in self.lab.controllers:
            number = self.lab.started(node).get("billow")
            if number is not None and f"-{number}-" in holder:
                return node
        raise LabError(f"no controller writes: {holder!r}")

    def _up(self) -> None:
        self.root.mkdir(parents=True)
        self.state.mkdir()
        self.database.start()
        self._name_bmcs()
        asyncio.run(self._begin())
        for node in self.lab.controllers:
            self.start_controller(node)
        for node in self.lab.hosts:
            self.start_agent(node)

    async def _begin(self) -> None:
        """Make the pool's hosts, add the lab's networks to them, and fill them.

        The pool is kept open meanwhile: without guests, its network goes with its last user.
        """
        engine = await open_engine(self.settings, SystemClock())
        try:
            await asyncio.to_thread(self._join)
        finally:
            await engine.aclose()

    def _join(self) -> None:
        folder = StateFolder(self.state / "qemu")
        tag = tag_of(folder, "ha")
        names = [each.name for each in lay_out(folder, self.settings).hosts]
        self.lab = Lab.planned(
            self.root / "lab",
            controllers=self.plan.controllers,
            racks=self.plan.racks,
            adopted=[(name, f"bw-{tag}-{name}") for name in names],
        )
        self.lab.up()
        with ThreadPoolExecutor() as starting:
            list(starting.map(Emulator.start, self.bmcs.values()))
        self._fill_within()
        for node in self.lab.hosts:
            self._enrol(node)

    def _fill_within(self) -> None:
        """Fill the pool from within the lab: nothing of this machine's own network is asked."""
        with space.entered(self.lab.layout.fabric):
            asyncio.run(self._fill())

    async def _fill(self) -> None:
        """Make the pool's instances, before any controller is there."""
        billow = await open_billow(self.settings)
        try:
            plan = await billow.loop.plan(
                lambda pool: (pool, [Proposal("lab", tuple(self._places()))]), Wish("lab", "lab")
            )
            if plan.rejections:
                raise LabError(f"the pool cannot be filled: {plan.rejections[0].reason}")
            ended = await billow.wait((await billow.apply(plan.id, actor="lab")).id)
            failed = [each for each in ended.entries.values() if each.phase is not Phase.DONE]
            if failed:
                raise LabError(f"{len(failed)} instances did not start")
        finally:
            await billow.aclose()

    def _places(self) -> list[Place]:
        named = [(f"vm{n:02}", "h1") for n in range(1, self.plan.instances + 1)]
        for host in range(2, self.plan.hosts + 1):
            named += [(f"on{host}x{n}", f"h{host}") for n in range(1, self.plan.beside + 1)]
        return [
            Place(instance=Instance(name, SHAPE, image="firmware"), host=host)
            for name, host in named
        ]

    def _name_bmcs(self) -> None:
        """Say where each host's management controller will be: on the spine of management."""
        lines = []
        fabric = layout_of(self.root / "lab", 1, 0, 1).fabric
        for number in range(1, self.plan.hosts + 1) if self.plan.bmc else ():
            self.bmcs[f"h{number}"] = made = Emulator(
                self.plan.bmc,
                uuid=str(uuid5(NAMESPACE_DNS, f"{fabric}.h{number}")),
                turn=partial(self._turn, f"h{number}"),
                host=address(NETWORKS[0], GATEWAY),
                port=BMC_PORT + number,
                within=space.within(fabric),
            )
            entry = made.entry(f"h{number}")
            lines += ["[[bmc]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]
        (self.root / "bmc.toml").write_text("\n".join(lines) + "\n")

    def _turn(self, host: str, power: str) -> None:
        """Do to a host what its management controller does to its power."""
        node = self.lab.node(host)
        if power == "off":
            self._dark(node)
        else:
            self.lab.power_on(node)

    def _enrol(self, node: Node) -> None:
        folder = self.lab.folder(node) / "agent"
        folder.mkdir(mode=0o700, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, node.name)])
        request = (
            x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        office = Enrolment(self.state / PAPERS, "ha", "lab", SystemClock())
        signed = office.enrol(
            office.token(node.name), node.name, request.public_bytes(pem).decode()
        )
        plain = serialization.NoEncryption()
        (folder / "agent.key").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        )
        (folder / "agent.crt").write_text(signed.certificate)
        (folder / "ca.crt").write_text(signed.ca)


async def _steps(incident: str, store: Store) -> Sequence[IncidentStep]:
    return await store.steps(incident)


async def _awaited(found: Awaitable[Found]) -> Found:
    return await found


def _words(steps: Sequence[IncidentStep]) -> str:
    """Return all that the newest step says."""
    step = steps[-1]
    said = step.explanation
    return "; ".join([step.why, *((said.diagnosis, *said.evidence) if said else ())])
