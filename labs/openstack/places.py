# SPDX-License-Identifier: Apache-2.0
"""Where a lab keeps what, on which ports it listens, and how large it is; nothing runs here."""

import json
import os
import secrets
import socket
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

FIRST_PORT: Final = 27100
SPAN: Final = 16
"""How many ports a lab may take, one after the other."""
_BASES: Final = 40
PORTS: Final = (
    "database", "queue", "distribution", "epmd", "cache",
    "identity", "placement", "compute", "image", "network", "block-storage", "baremetal",
    "metric",
)  # fmt: skip
VOLUMES: Final = "volumes"
"""The optional part that is Cinder."""
METAL: Final = "metal"
"""The optional part that is Ironic."""
METRICS: Final = "metrics"
"""The optional part that is Gnocchi."""
METAL_COMPUTE: Final = "ironic-compute"
"""The nova-compute that lets Ironic deploy: its process and its host are called so."""
REGION: Final = "lab"
CLOUD: Final = "billow-lab"
PROJECT: Final = "billow-lab-project"
"""The name of the cloud entry of an ordinary project, without the role of an administrator."""
_LONGEST_ROOT: Final = 80


class LabError(Exception):
    """The lab cannot do what it was asked."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a lab's hosts are unless they are told otherwise, and how often they report.

    Attributes:
        cpu_ratio: How many virtual processors one real one may carry; Nova's default is 4.
        report_s: How often each compute says that it lives; 0 chooses by their number.
        down_s: How long a silent compute counts as up; 0 chooses six reports.
        moves_at_once: Live migrations that one host sends at once; Nova's default is 1.
    """

    vcpus: int = 64
    memory_mib: int = 262144
    disk_gib: int = 4000
    cpu_ratio: float = 4.0
    report_s: int = 0
    down_s: int = 0
    moves_at_once: int = 1

    def rhythm(self, computes: int) -> tuple[int, int]:
        """Return how often `computes` hosts report and after how long one is down, in seconds."""
        report_s = self.report_s or (4 if computes <= 24 else 10 if computes <= 64 else 30)
        return report_s, self.down_s or 6 * report_s


@dataclass(frozen=True, slots=True)
class Places:
    """A lab's folder, what lies in it, and its ports.

    Attributes:
        parts: What it has beside the core: `volumes`, `metal`, `metrics`.
        metal: How many machines its Ironic drives.
    """

    root: Path
    venv: Path
    ports: dict[str, int]
    password: str = field(repr=False)
    sizes: Sizes = field(default_factory=Sizes)
    parts: frozenset[str] = frozenset()
    metal: int = 0

    @property
    def settings(self) -> Path:
        """Every configuration file."""
        return self.root / "settings"

    @property
    def run(self) -> Path:
        """Files of process numbers, sockets, and the rules of injected faults."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """What every process said, a file for each."""
        return self.root / "logs"

    @property
    def state(self) -> Path:
        """Databases, queues, keys, images."""
        return self.root / "state"

    @property
    def hosts(self) -> Path:
        """One folder for each compute: what it is, and the guests that it runs."""
        return self.root / "hosts"

    @property
    def clouds_yaml(self) -> Path:
        """What OS_CLIENT_CONFIG_FILE takes."""
        return self.settings / "clouds.yaml"

    @property
    def socket(self) -> Path:
        """The database's socket, for the administrator."""
        return self.run / "database.sock"

    def url(self, service: str, path: str = "") -> str:
        """Return the address of an API."""
        return f"http://127.0.0.1:{self.ports[service]}{path}"

    def program(self, name: str) -> str:
        """Return a program of the lab's own virtual environment."""
        return str(self.venv / "bin" / name)

    def make_folders(self) -> None:
        """Make every folder that is not there."""
        for each in (self.settings, self.run, self.logs, self.state, self.hosts):
            each.mkdir(parents=True, exist_ok=True)


def default_root() -> Path:
    """Return where a lab lives that was not told otherwise: in the user's state folder."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "billow-openstack-lab"


def found(root: Path) -> Places:
    """Return a lab that was laid out. Raises LabError where there is none."""
    try:
        plan = json.loads((root.absolute() / "lab.json").read_text())
    except FileNotFoundError:
        raise LabError(f"no lab in {root}; `python -m labs.openstack up` makes one") from None
    return _read(root.absolute(), plan)


def laid_out(
    root: Path,
    venv: Path | None = None,
    sizes: Sizes | None = None,
    parts: Collection[str] = (),
    metal: int = 0,
) -> Places:
    """Return the lab in a folder; lay it out where there is none. Raises LabError.

    Args:
        root: Its folder; short, because sockets lie in it.
        venv: Where OpenStack is installed; several labs may share it. In the folder, if not told.
        sizes: Told sizes win over those that the lab had.
        parts: What it shall have beside the core; it keeps those that it had.
        metal: Machines of Ironic's, which come with that part; a lab that had more keeps them.
    """
    root = root.absolute()
    if len(str(root)) > _LONGEST_ROOT:
        raise LabError(f"{root} is too long for sockets; choose a shorter folder")
    file = root / "lab.json"
    plan: dict[str, Any] = {"sizes": {}}
    if file.exists():
        plan = json.loads(file.read_text())
    else:
        root.mkdir(parents=True, exist_ok=True)
        plan |= {"ports": _free_ports(), "password": secrets.token_hex(12)}
    if venv is not None or "venv" not in plan:
        plan["venv"] = str((venv or root / "venv").absolute())
    if sizes is not None:
        plan["sizes"] = asdict(sizes)
    metal = max(metal, plan.get("metal", 0))
    with_metal = {METAL} if metal else set()
    plan |= {"metal": metal, "parts": sorted({*plan.get("parts", ()), *parts, *with_metal})}
    file.touch(mode=0o600)
    file.write_text(json.dumps(plan, indent=1))
    places = _read(root, plan)
    places.make_folders()
    return places


def _read(root: Path, plan: dict[str, Any]) -> Places:
    """Take the ports that it has by now: a lab of before may not have known all of them."""
    ports, parts = _ports(plan["ports"]["database"]), frozenset(plan.get("parts", ()))
    sizes, metal = Sizes(**plan["sizes"]), plan.get("metal", 0)
    return Places(root, Path(plan["venv"]), ports, plan["password"], sizes, parts, metal)


def _free_ports() -> dict[str, int]:
    """Return a span of ports of which nobody listens on any. Raises LabError."""
    for base in range(FIRST_PORT, FIRST_PORT + _BASES * SPAN, SPAN):
        if all(_is_free(base + n) for n in range(SPAN)):
            return _ports(base)
    raise LabError(f"no {SPAN} free ports in a row from {FIRST_PORT} on")


def _ports(base: int) -> dict[str, int]:
    return {name: base + n for n, name in enumerate(PORTS)}


def _is_free(port: int) -> bool:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            line.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
