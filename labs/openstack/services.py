# SPDX-License-Identifier: Apache-2.0
"""The services of OpenStack in a lab: their schemas, their processes, and Keystone's first user."""

import getpass
import grp
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from labs.openstack import servers
from labs.openstack.parts import Part, parts_of
from labs.openstack.places import METAL_COMPUTE, REGION, LabError, Places
from labs.openstack.processes import Process, clean_environment, end_of, listens, until
from labs.openstack.sections import database_url

INSIDE: Final = Path(__file__).with_name("inside")
APIS: Final = {
    "identity": ("keystone", "keystone.wsgi.api"),
    "placement": ("placement", "placement.wsgi.api"),
    "compute": ("nova-api", "nova.wsgi.osapi_compute"),
    "image": ("glance-api", "glance.wsgi.api"),
    "network": ("neutron-api", "neutron.wsgi.api"),
}
"""Of the core; service: the name of its process, the module that answers."""
CORE: Final = ("nova-conductor", "nova-scheduler")
_ONE_THREAD: Final = ("identity", "network")
"""Those whose code is not sure to bear several threads of uwsgi."""


def apis(places: Places) -> dict[str, tuple[str, str]]:
    """Return the APIs of a lab: by service, the name of the process and the module."""
    return APIS | {part.service: part.api for part in parts_of(places)}


def cores(places: Places) -> tuple[str, ...]:
    """Return the names of the processes of a lab that are no APIs, its computes excepted."""
    return (*CORE, *(name for part in parts_of(places) for name in part.cores))


def late(places: Places) -> tuple[str, ...]:
    """Return likewise those that end where no Keystone answers as they start."""
    return tuple(name for part in parts_of(places) for name in part.late)


def api(places: Places, service: str) -> Process:
    """Return the process of an API, with the gate before it."""
    name, module = apis(places)[service]
    settings = places.settings
    more = {
        "LAB_SERVICE": service,
        "LAB_APPLICATION": module,
        "LAB_GATE": str(places.run),
        "OS_KEYSTONE_CONFIG_DIR": str(settings),
        "OS_KEYSTONE_CONFIG_FILES": "keystone.conf",
        "OS_PLACEMENT_CONFIG_DIR": str(settings / "placement"),
        "OS_NOVA_CONFIG_DIR": str(settings / "nova"),
        "OS_GLANCE_CONFIG_DIR": str(settings / "glance"),
        "OS_NEUTRON_CONFIG_DIR": str(settings / "neutron"),
        "OS_NEUTRON_CONFIG_FILES": "neutron.conf",
        "IRONIC_CONFIG_FILE": str(settings / "ironic" / "ironic.conf"),
    }
    # Without "Connection: close", uwsgi drops kept connections, and clients see resets at random.
    words = [
        *(places.program("uwsgi"), "--http-socket", f"127.0.0.1:{places.ports[service]}"),
        *("--wsgi-file", str(INSIDE / "gate.py"), "--master", "--lazy-apps", "--need-app"),
        *("--processes", "1", "--threads", "1" if service in _ONE_THREAD else "6"),
        *("--enable-threads", "--thunder-lock", "--die-on-term", "--buffer-size", "65535"),
        *("--listen", "100", "--disable-logging", "--add-header", "Connection: close"),
        *("--venv", str(places.venv), "--procname-prefix", f"{name} "),
        *_arguments(places, service),
    ]
    return Process(name, words, places.run, places.logs, more)


def _arguments(places: Places, service: str) -> tuple[str, ...]:
    """Return what an API is told by arguments: these know no variable for their settings."""
    project = {"block-storage": "cinder", "metric": "gnocchi"}.get(service)
    if project is None:
        return ()
    return ("--pyargv", f"--config-file {places.settings / project / f'{project}.conf'}")


def core(places: Places, name: str) -> Process:
    """Return a conductor, a scheduler, or who drives volumes; a name begins with its project.

    Or the compute that lets Ironic deploy, which is Nova's.
    """
    if name == METAL_COMPUTE:
        settings = places.settings / "nova" / f"{name}.conf"
        words = [places.program("nova-compute"), "--config-file", str(settings)]
        return Process(name, words, places.run, places.logs)
    project = name.partition("-")[0]
    settings = places.settings / project / f"{project}.conf"
    words = [places.program(name), "--config-file", str(settings)]
    more = {"PYTHONPATH": str(INSIDE)} if name == "cinder-volume" else {}  # for its driver
    return Process(name, words, places.run, places.logs, more)


def every_service(places: Places) -> list[Process]:
    """Return all but the computes."""
    return [core(places, name) for name in cores(places) + late(places)] + [
        api(places, name) for name in apis(places)
    ]


def make_schemas(places: Places) -> None:
    """Give every database of the core its tables, once; two at a time."""
    done = places.state / "schemas.made"
    if done.exists():
        return
    settings = places.settings
    nova = ("nova-manage", "--config-file", str(settings / "nova" / "nova.conf"))
    cell0 = database_url(places, "nova_cell0")
    chains = (
        (
            (*nova, "api_db", "sync"),
            (*nova, "cell_v2", "map_cell0", "--database_connection", cell0),
            (*nova, "cell_v2", "create_cell", "--name=cell1"),
            (*nova, "db", "sync"),
        ),
        (
            ("keystone-manage", "--config-file", str(settings / "keystone.conf"), "db_sync"),
            (
                *("placement-manage", "--config-file"),
                *(str(settings / "placement" / "placement.conf"), "db", "sync"),
            ),
            (
                *("glance-manage", "--config-file"),
                *(str(settings / "glance" / "glance-api.conf"), "db_sync"),
            ),
            (
                *("neutron-db-manage", "--config-file"),
                *(str(settings / "neutron" / "neutron.conf"), "upgrade", "heads"),
            ),
        ),
    )
    with ThreadPoolExecutor(2) as pool:
        for chain in [pool.submit(_manage_all, places, chain) for chain in chains]:
            chain.result()
    done.touch()


def make_schema(places: Places, part: Part) -> None:
    """Give an optional part its database, with its tables, once."""
    done = places.state / f"schema-{part.project}.made"
    if done.exists():
        return
    servers.sql(places, f"CREATE DATABASE IF NOT EXISTS {part.project} CHARACTER SET utf8;")
    settings = places.settings / part.project / f"{part.project}.conf"
    _manage(places, (part.schema[0], "--config-file", str(settings), *part.schema[1:]))
    done.touch()


def make_first_user(places: Places) -> None:
    """Make Keystone's keys and its administrator, once."""
    keystone = ("keystone-manage", "--config-file", str(places.settings / "keystone.conf"))
    group = grp.getgrgid(os.getgid()).gr_name
    owner = ("--keystone-user", getpass.getuser(), "--keystone-group", group)
    for folder, verb in (("fernet", "fernet_setup"), ("credential", "credential_setup")):
        if not (places.state / folder / "0").exists():
            _manage(places, (*keystone, verb, *owner))
    done = places.state / "first-user.made"
    if done.exists():
        return
    url = places.url("identity", "/v3")
    addresses = [f"--bootstrap-{each}-url={url}" for each in ("admin", "internal", "public")]
    _manage(
        places,
        (*keystone, "bootstrap", *addresses, "--bootstrap-region-id", REGION),
        {"OS_BOOTSTRAP_PASSWORD": places.password},
    )
    done.touch()


def await_apis(places: Places) -> None:
    """Wait until every API answers. Raises LabError with what one said that ended instead."""
    for service in apis(places):
        _await(api(places, service), places.ports[service])


def _await(process: Process, port: int) -> None:
    until(
        lambda: listens(port) or process.number() is None,
        lambda: f"{process.name} does not listen: {end_of(process.log)}",
    )
    if process.number() is None:
        raise LabError(f"{process.name} ended: {end_of(process.log)}")


def _manage_all(places: Places, commands: tuple[tuple[str, ...], ...]) -> None:
    for command in commands:
        _manage(places, command)


def _manage(places: Places, words: tuple[str, ...], more: dict[str, str] | None = None) -> None:
    """Run one of OpenStack's own tools. Raises LabError with the end of what it said."""
    done = subprocess.run(
        [places.program(words[0]), *words[1:]],
        env=clean_environment() | (more or {}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    with (places.logs / f"{words[0]}.log").open("a") as log:
        log.write(done.stdout + done.stderr)
    if done.returncode:
        raise LabError(f"{words[0]} {words[-1]} failed: {(done.stderr + done.stdout)[-800:]}")
