# SPDX-License-Identifier: Apache-2.0
"""`billow host`: see hosts, and ask for changes of them."""

from typing import Annotated

import typer

from billow.cli.change import Why, ask, settle
from billow.cli.command import PLANS, command
from billow.cli.lists import (
    Fields,
    Limit,
    Search,
    Sort,
    Where,
    columns_for,
    filters,
    path_of,
    show_list,
)
from billow.cli.output import Column
from billow.cli.session import Session
from billow.cli.words import cpus, memory, percent
from billow.errors import Blocked, Invalid

app = typer.Typer(no_args_is_help=True, help="See hosts, and ask for changes of them.")
Name = Annotated[str, typer.Argument(metavar="HOST", help="The host's name.")]
Names = Annotated[list[str], typer.Argument(metavar="HOST...", help="The hosts' names.")]

LISTED = (
    Column("HOST", "id"),
    Column("POWER", "power"),
    Column("HEALTH", "health"),
    Column("CORDON", "cordon"),
    Column("ZONE", "zone"),
    Column("INSTANCES", "instances", right=True),
    Column("CPUS", "cpu_milli", cpus, right=True),
    Column("FREE", "free_cpu_milli", cpus, right=True),
    Column("MEMORY", "memory_mib", memory, right=True),
    Column("FREE", "free_memory_mib", memory, right=True),
)
SHOWN = (
    *LISTED,
    Column("ARCH", "arch"),
    Column("CPU", "cpu_model"),
    Column("RACK", "rack"),
    Column("TRAITS", "traits"),
    Column("NUMA NODES", "numa_nodes"),
    Column("GPUS", "gpus"),
    Column("FREE GPUS", "free_gpus"),
    Column("CPU RATIO", "cpu_ratio"),
    Column("MEMORY RATIO", "memory_ratio"),
    Column("USED CPUS", "cpu_used_milli", cpus),
    Column("USED MEMORY", "memory_used_mib", memory),
    Column("LOAD", "load"),
    Column("CPU PRESSURE", "cpu_pressure", percent),
    Column("MEMORY PRESSURE", "memory_pressure", percent),
    Column("SWAP MIB/S", "swap_mib_s"),
    Column("WATTS", "watts"),
    Column("POWER CURVE", "power_curve"),
    Column("FACTS", "facts"),
)

FAILED = (Column("OPEN INCIDENT", "incident"),)


@command(app, "list")
def list_hosts(
    session: Session,
    where: Where = None,
    search: Search = "",
    sort: Sort = "id",
    fields: Fields = "",
    limit: Limit = None,
) -> None:
    """List hosts."""
    columns = columns_for(fields, LISTED)
    asked = "" if session.output.as_json else ",".join(column.name for column in columns)
    params = {**filters(where), "q": search, "sort": sort, "fields": fields or asked}
    show_list(session, "/v1/hosts", params, columns, limit)


@command(app, "show")
def show_host(session: Session, host: Name) -> None:
    """Show one host."""
    document = session.client.get(path_of("hosts", host))
    if session.output.as_json:
        session.output.document(document)
    else:
        params = {"host": host, "open": True, "limit": 1}
        failures = session.client.get("/v1/incidents", params)["items"]
        known = {"incident": failures[0]["id"]} if failures else {}
        session.output.record((*SHOWN, *(FAILED if failures else ())), {**document, **known})


@command(app, "allot", PLANS)
def allot(
    session: Session,
    hosts: Names,
    cpu_ratio: Annotated[
        float | None, typer.Option(help="CPUs to sell per CPU that a host has.")
    ] = None,
    memory_ratio: Annotated[
        float | None, typer.Option(help="MiB to sell per MiB that a host has.")
    ] = None,
    why: Why = "",
) -> None:
    """Set how much hosts sell of what they have; a ratio that is not given stays."""
    given = {"cpu_ratio": cpu_ratio, "memory_ratio": memory_ratio}
    if cpu_ratio is None and memory_ratio is None:
        raise Invalid("no ratio is given", fix="give --cpu-ratio 3 or --memory-ratio 1.5")
    ask(session, "allot", hosts, why=why, **given)


@command(app, "evacuate", PLANS)
def evacuate(session: Session, hosts: Names, why: Why = "") -> None:
    """Start elsewhere what ran on dead hosts; fence them first if they may have power."""
    found: list[str] = []
    for host in hosts:
        params = {"host": host, "sort": "-priority", "fields": "id"}
        listed = session.client.pages("/v1/instances", params, 0)
        found += [each["id"] for each in listed["items"]]
    if not found:
        raise Blocked(f"nothing is on {', '.join(hosts)}", code="nothing-to-do")
    ask(session, "evacuate", found, why=why)


@command(app, "drain", PLANS)
def drain(
    session: Session,
    hosts: Annotated[
        list[str] | None, typer.Argument(metavar="[HOST]...", help="The hosts' names.")
    ] = None,
    zone: Annotated[str, typer.Option(help="All hosts of a zone.")] = "",
    rack: Annotated[str, typer.Option(help="All hosts of a rack.")] = "",
    aggregate: Annotated[
        str, typer.Option(help="All hosts of an aggregate, where the engine has such.")
    ] = "",
    why: Why = "",
) -> None:
    """Empty hosts for maintenance: close them, and move what is on them elsewhere, live."""
    body = {"hosts": hosts or [], "zone": zone, "rack": rack, "aggregate": aggregate, "why": why}
    settle(session, session.client.post("/v1/drains", body))


def _add(verb: str, words: str) -> None:
    """Add a verb on a host."""

    def change(session: Session, hosts: Names, why: Why = "") -> None:
        ask(session, verb, hosts, why=why)

    change.__doc__ = words
    command(app, verb, PLANS)(change)


_add("cordon", "Let nothing new come to hosts.")
_add("uncordon", "Let instances come to hosts again.")
_add("power-on", "Give hosts power.")
_add("power-off", "Shut empty hosts down.")
_add("fence", "Make sure that hosts run nothing any more, whatever they say: their power is cut.")
_add(
    "repair",
    "Put an engine's own records of hosts right: room held for nobody, moves left half-way.",
)
