# SPDX-License-Identifier: Apache-2.0
"""What an agent is told when it starts: which host it is, whom it speaks to, what it looks at."""

import argparse
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from billow.errors import Invalid
from billow.model.ha.evidence import NETWORKS, Network
from billow.state_folder import default_state_dir

DEFAULT_PORT: Final = 8521
CONTROLLERS: Final = "controllers"
"""File with the controllers that the enrolment named, one a line, as `--controller` takes them."""

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A storage pool or another folder that a canary writes to.

    Attributes:
        shared: Whether it is reached over the storage network.
    """

    name: str
    path: Path
    shared: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All of it.

    Attributes:
        state: Folder with the certificate, the key and the highest obeyed fence.
        boot: The id of this boot.
        machine: The machine's own identity (SMBIOS UUID), as its management controller shows it.
        local: Address of this host on each network; networks that share a wire share it.
        controllers: By name, its address on each network, likewise.
        beat_s: Seconds between two beats.
        lease_s: What it can promise when a controller arms it; 0 for no lease.
        watchdog: The device; `stand-in` for a process that ends the guests instead; empty for none.
        listen: Port on which other agents may ask whether this one is served; 0 for none.
        window_s: What stands still for so long ails.
        gateways: Addresses on the tenant network that must answer.
        qmp: Pattern of the sockets on which guests are asked for their state; empty for none.
        kmsg: The kernel's log; a pipe in its place in a lab.
        own_namespace: Whether only guests in the agent's own network namespace are this host's: in
            a lab one machine is many hosts. On a true host every hypervisor counts, in whichever.
    """

    host: str
    state: Path
    boot: str
    local: dict[Network, str] = field(default_factory=dict)
    controllers: dict[str, dict[Network, Address]] = field(default_factory=dict)
    machine: str = ""
    beat_s: float = 0.2
    lease_s: float = 0.0
    watchdog: str = ""
    listen: int = 0
    window_s: float = 3.0
    places: tuple[Place, ...] = ()
    gateways: tuple[str, ...] = ()
    qmp: str = ""
    kmsg: Path = Path("/dev/kmsg")
    own_namespace: bool = False

    @property
    def asked_at(self) -> dict[str, str]:
        """Where other agents may ask this one, `ADDRESS:PORT` by network."""
        local = self.local.items() if self.listen else ()
        return {
            each.value: f"[{text}]:{self.listen}" if ":" in text else f"{text}:{self.listen}"
            for each, text in local
        }


def read(arguments: Sequence[str]) -> tuple[Options, argparse.Namespace]:
    """Return the options in a command line and the rest of what it says.

    Raises Invalid; but what is merely to be checked may lack addresses.
    """
    given = _parser().parse_args(arguments)
    state = Path(given.state or default_state_dir() / "agent")
    local = {each: text for each in NETWORKS if (text := getattr(given, each.value))}
    local = {each: _numeric(text) for each, text in local.items()}
    if not given.check and given.role != "stand-in":
        _check_whole(local)
    if not 0.02 <= given.beat <= 60:
        raise Invalid(f"{given.beat:g} s are no time between beats", fix="0.02 to 60, 0.2 is usual")
    if given.lease and not given.watchdog:
        raise Invalid("a lease needs what keeps it", fix="name --watchdog, or leave --lease out")
    options = Options(
        host=given.host or socket.gethostname(),
        state=state,
        boot=given.boot or boot_id(),
        machine=given.machine or machine_id(),
        local=local,
        controllers=controllers_of(given.controller or enrolled_with(state)),
        beat_s=given.beat,
        lease_s=given.lease,
        watchdog=given.watchdog,
        listen=given.listen,
        window_s=given.window,
        places=tuple(_places(given)),
        gateways=tuple(given.gateway),
        qmp=given.qmp,
        kmsg=Path(given.kmsg),
        own_namespace=given.own_namespace,
    )
    return options, given


def _check_whole(local: Mapping[Network, str]) -> None:
    """Raise Invalid unless the host has an address on each network.

    Controllers miss a host on a network on which it does not speak, and take that path for lost.
    """
    if lacking := [f"--{each}" for each in NETWORKS if each not in local]:
        names = " and ".join(lacking)
        raise Invalid(
            f"an agent must speak on all three networks, and there is no {names}",
            fix=f"add {names}; networks that share a wire may have the same address",
        )


def boot_id() -> str:
    """Return the kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def machine_id(file: Path = Path("/sys/class/dmi/id/product_uuid")) -> str:
    """Return the machine's SMBIOS UUID, which root may read; empty where there is none."""
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="ascii").strip()
    return ""


def enrolled_with(state: Path) -> list[str]:
    """Return the controllers that the enrolment named; none when it named none."""
    with suppress(OSError):
        return (state / CONTROLLERS).read_text(encoding="utf-8").split()
    return []


def controllers_of(texts: Sequence[str]) -> dict[str, dict[Network, Address]]:
    """Return the addresses in `NAME=ADDR[:PORT][,ADDR:PORT,ADDR:PORT]`, one for all or by network.

    Raises Invalid for anything else. Without `NAME=` the first address is the name.
    """
    found: dict[str, dict[Network, Address]] = {}
    for text in texts:
        name, equals, rest = text.rpartition("=")
        parts = rest.split(",")
        if len(parts) not in {1, len(NETWORKS)} or not all(parts):
            raise Invalid(
                f"controller {text!r} has {sum(map(bool, parts))} addresses",
                fix=f"give one, or one for each of {', '.join(NETWORKS)}; two may be the same",
            )
        each = parts * (len(NETWORKS) // len(parts))
        found[name if equals else parts[0]] = {
            network: address_of(part) for network, part in zip(NETWORKS, each, strict=True)
        }
    return found


def address_of(text: str) -> Address:
    """Return host and port of `ADDR`, `ADDR:PORT` or `[ADDR6]:PORT`. Raises Invalid for a name.

    To look a name up may take seconds, just when networks fail, and no beat would go out meanwhile.
    """
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    if port and not port.isdecimal():
        raise Invalid(f"{text!r} is no address", fix="write ADDRESS:PORT")
    return _numeric(host), int(port or DEFAULT_PORT)


def _numeric(text: str) -> str:
    """Return an IP address as it is. Raises Invalid for anything else."""
    try:
        ip_address(text)
    except ValueError:
        fix = "write its IP address, like 10.0.1.1 or fd00::1: names are not looked up"
        raise Invalid(f"{text!r} is no IP address", fix=fix) from None
    return text


def _places(given: argparse.Namespace) -> Iterator[Place]:
    for texts, shared in ((given.pool, True), (given.disk, False)):
        for text in texts:
            name, equals, path = text.partition("=")
            if not (name and equals and Path(path).is_absolute()):
                raise Invalid(f"{text!r} names no place", fix="write NAME=/FOLDER")
            yield Place(name, Path(path), shared=shared)


_TEXTS: Final = {
    "--host": ("", "name of this host; the kernel's by default"),
    "--state": ("DIR", "folder with agent.crt, agent.key and ca.crt"),
    "--machine": ("UUID", "the machine's identity; its SMBIOS UUID by default"),
    "--watchdog": ("DEVICE|stand-in", "what keeps the promise: /dev/watchdog, or a process"),
    "--qmp": ("PATTERN", "QMP sockets of guests, like /run/*/qmp"),
}
_NUMBERS: Final = {
    "--beat": (0.2, "S", "seconds between beats (0.2)"),
    "--lease": (0.0, "S", "nothing runs here so long after the last answered beat; 0: no promise"),
    "--listen": (0, "PORT", "where other agents may ask whether this one is served"),
    "--window": (3.0, "S", "what stands still for so long ails (3)"),
}
_REPEATED: Final = {
    "--controller": ("[NAME=]ADDR[:PORT]", "a controller; three with commas: one on each network"),
    "--pool": ("NAME=/FOLDER", "a storage pool reached over the storage network"),
    "--disk": ("NAME=/FOLDER", "a folder on a disk of the host"),
    "--gateway": ("ADDR", "must answer on the tenant network"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="billow agent",
        description="Say that this host lives, what ails it, and obey when told to end it.",
        epilog="`billow agent enrol URL TOKEN` gets the host its certificate first.",
    )
    add = parser.add_argument
    for network in NETWORKS:
        add(f"--{network}", default="", metavar="ADDR", help=f"own address, {network} network")
    for name, (shown, text) in _TEXTS.items():
        add(name, default="", metavar=shown or None, help=text)
    for name, (default, shown, text) in _NUMBERS.items():
        add(name, type=type(default), default=default, metavar=shown, help=text)
    for name, (shown, text) in _REPEATED.items():
        add(name, action="append", default=[], metavar=shown, help=f"{text}; repeat it")
    add("--boot", default="", help=argparse.SUPPRESS)
    add("--kmsg", default="/dev/kmsg", help=argparse.SUPPRESS)
    add("--own-namespace", action="store_true", help=argparse.SUPPRESS)
    add("--check", action="store_true", help="say what it can look at here, and end")
    add("--json", action="store_true", help="with --check: as JSON")
    roles = ("parent", "speaker", "prober", "stand-in")
    add("--handle", type=int, default=-1, help=argparse.SUPPRESS)
    add("--role", default="parent", choices=roles, help=argparse.SUPPRESS)
    return parser
