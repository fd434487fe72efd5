# SPDX-License-Identifier: Apache-2.0
"""Three rings of Consul in a lab, one per network, as OpenStack's host monitor wants them.

Consul 1.8.7 is in Debian bullseye only. It is fetched with the machine's own apt and keys, into a
folder of its own: no source of the machine changes, and nothing is installed.
"""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from labs.ha import space
from labs.ha.lab import Lab
from labs.ha.layout import Node
from labs.ha.space import LabError

from billow.model.ha.evidence import NETWORKS, Network

PORT: Final = 8500
QUICK: Final = {
    "probe_interval": "200ms",
    "probe_timeout": "100ms",
    "suspicion_mult": 3,
    "gossip_interval": "50ms",
}
"""Gossip that tells a death within 1.3 s; Consul's own settings take 5 to 9 s."""
_SOURCES: Final = Path("/etc/apt/sources.list.d")
_KEYS: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"


def program(cache: Path) -> Path:
    """Return Consul, fetched by apt into a folder when it is not there yet.

    Raises LabError when it cannot be had here.
    """
    installed = shutil.which("consul")
    found = Path(installed) if installed else cache / "usr/bin/consul"
    if found.exists():
        return found
    for each in ("lists/partial", "archives/partial"):
        (cache / each).mkdir(parents=True, exist_ok=True)
    (cache / "sources.list").write_text(f"deb [signed-by={_KEYS}] {_mirror()} bullseye main\n")
    options = (
        f"Dir::Etc::sourcelist={cache}/sources.list",
        "Dir::Etc::sourceparts=/dev/null",
        f"Dir::State::lists={cache}/lists",
        f"Dir::Cache={cache}",
        "APT::Sandbox::User=root",
    )
    apt = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    for words in ([*apt, "update"], [*apt, "download", "consul"]):
        done = subprocess.run(words, cwd=cache, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"Consul cannot be had by apt: {done.stderr.strip()[-300:]}")
    space.run("dpkg", "-x", str(next(cache.glob("consul_*.deb"))), str(cache))
    return found


def start(lab: Lab, consul: Path, nodes: Iterable[Node], *, quick: bool = True) -> None:
    """Start one agent per network in each node; the first controller's are the servers."""
    server = lab.controllers[0]
    for node in nodes:
        for network in NETWORKS:
            folder = lab.folder(node) / f"consul-{network}"
            folder.mkdir(exist_ok=True)
            config = _config(node, network, server, quick=quick)
            (folder / "config.json").write_text(json.dumps(config | {"data_dir": str(folder)}))
            words = (str(consul), "agent", "-config-file", str(folder / "config.json"))
            lab.start(node, f"consul-{network}", words)


def address(node: Node, network: Network) -> str:
    """Return the URL of a node's own agent on a network."""
    return f"http://{node.address(network)}:{PORT}"


def _config(node: Node, network: Network, server: Node, *, quick: bool) -> dict[str, object]:
    here = node.address(network)
    config: dict[str, object] = {
        "node_name": node.name,
        "datacenter": str(network),
        "bind_addr": here,
        "client_addr": here,
        "server": node == server,
        "retry_join": [server.address(network)],
        "retry_interval": "1s",
        "disable_update_check": True,
        "ports": {"dns": -1, "grpc": -1},
    }
    if node == server:
        config["bootstrap_expect"] = 1
    return config | ({"gossip_lan": QUICK} if quick else {})


def _mirror() -> str:
    """Return the Debian mirror that this machine uses. Raises LabError."""
    files = [Path("/etc/apt/sources.list"), *_SOURCES.glob("debian.*"), *_SOURCES.glob("*")]
    for file in files:
        words = file.read_text().split() if file.is_file() else []
        for word in words:
            if word.startswith(("http", "mirror")) and word.rstrip("/").endswith("/debian"):
                return word
    raise LabError("this machine's apt has no Debian mirror")
