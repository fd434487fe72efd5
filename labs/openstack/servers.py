# SPDX-License-Identifier: Apache-2.0
"""The database, the queue and the cache of a lab, from Debian's packages, on the loopback."""

import getpass
import shutil
import socket
import subprocess
from collections.abc import Sequence
from typing import Final

from labs.openstack.install import RABBIT, which
from labs.openstack.places import LabError, Places
from labs.openstack.processes import Process, end_of, listens, until

DATABASES: Final = (
    "keystone",
    "placement",
    "nova_api",
    "nova",
    "nova_cell0",
    "glance",
    "neutron",
)


def database(places: Places) -> Process:
    """Return the database server."""
    words = [_found("mariadbd"), f"--defaults-file={places.settings / 'database.cnf'}"]
    return Process("mariadb", [*words, f"--user={getpass.getuser()}"], places.run, places.logs)


def start_database(places: Places) -> None:
    """Start the database; make it, with the databases of every service, where it is new."""
    server = database(places)
    if server.number() is not None and listens(places.ports["database"]):
        return
    defaults = f"--defaults-file={places.settings / 'database.cnf'}"
    if not (places.state / "database" / "mysql").is_dir():
        shutil.rmtree(places.state / "database", ignore_errors=True)  # half made
        (places.state / "database").mkdir()
        words = (_found("mariadb-install-db"), defaults, f"--user={getpass.getuser()}")
        made = subprocess.run(
            [*words, f"--auth-root-socket-user={getpass.getuser()}", "--skip-test-db"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise LabError(f"no database could be made: {(made.stderr + made.stdout)[-800:]}")
    server.start()
    _await(server, places.ports["database"])
    made_here = "".join(
        f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8;" for name in DATABASES
    )
    user = f"'billow'@'127.0.0.1' IDENTIFIED BY '{places.password}'"
    sql(
        places,
        f"{made_here} CREATE USER IF NOT EXISTS {user};"
        "GRANT ALL ON *.* TO 'billow'@'127.0.0.1'; FLUSH PRIVILEGES;",
    )


def sql(places: Places, text: str, name: str = "mysql") -> list[list[str]]:
    """Run statements as the database's administrator; return the rows. Raises LabError."""
    words = (_found("mariadb"), "--no-defaults", "-S", str(places.socket), "-N", "-B")
    done = subprocess.run(
        [*words, "-u", getpass.getuser(), "--default-character-set=utf8", name],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"the database refuses: {done.stderr.strip()[:800]}")
    return [line.split("\t") for line in done.stdout.splitlines()]


def queue(places: Places) -> tuple[Process, Process]:
    """Return RabbitMQ, after a port mapper of our own: else Erlang leaves a daemon behind."""
    ports, state = places.ports, places.state / "queue"
    mapper = [_found("epmd"), "-address", "127.0.0.1", "-port", str(ports["epmd"])]
    kernel = "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2"
    more = {
        "HOME": str(state),
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"billow{ports['queue']}@localhost",
        "RABBITMQ_CONFIG_FILE": str(places.settings / "queue.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(places.settings / "queue-plugins"),
        "RABBITMQ_MNESIA_BASE": str(state / "mnesia"),
        "RABBITMQ_LOG_BASE": str(places.logs),
        "RABBITMQ_DIST_PORT": str(ports["distribution"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": kernel,
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
    }
    return (
        Process("epmd", mapper, places.run, places.logs),
        Process("rabbitmq", [RABBIT], places.run, places.logs, more),
    )


def start_queue(places: Places) -> None:
    """Start the queue, and wait until it listens."""
    mapper, server = queue(places)
    mapper.start()
    _await(mapper, places.ports["epmd"])
    server.start()
    _await(server, places.ports["queue"])


def cache(places: Places) -> Process:
    """Return memcached."""
    port = str(places.ports["cache"])
    words = [_found("memcached"), "-l", "127.0.0.1", "-p", port, "-U", "0", "-m", "64"]
    return Process("memcached", [*words, "-u", getpass.getuser()], places.run, places.logs)


def start_cache(places: Places) -> None:
    """Start the cache, and wait until it listens."""
    server = cache(places)
    server.start()
    _await(server, places.ports["cache"])


def empty_cache(places: Places) -> None:
    """Make every service forget which tokens it has seen."""
    with socket.create_connection(("127.0.0.1", places.ports["cache"]), timeout=10) as line:
        line.sendall(b"flush_all\r\n")
        if not line.recv(64).startswith(b"OK"):
            raise LabError("the cache does not forget")


def all_servers(places: Places) -> Sequence[Process]:
    """Return them in the order in which they are stopped."""
    mapper, server = queue(places)
    return (server, mapper, cache(places), database(places))


def _found(program: str) -> str:
    path = which(program)
    if path is None:
        raise LabError(f"{program} is not on this machine")
    return path


def _await(server: Process, port: int) -> None:
    """Wait until a server listens; say what it said when it ended instead."""
    until(
        lambda: listens(port) or server.number() is None,
        lambda: f"{server.name} does not listen: {end_of(server.log)}",
    )
    if server.number() is None:
        raise LabError(f"{server.name} ended: {end_of(server.log)}")
