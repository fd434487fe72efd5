# SPDX-License-Identifier: Apache-2.0
"""`billow instance`: see instances, create and delete them, and ask for changes of them."""

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
from billow.cli.wanted import Request, described, group_of, in_group, knobs_of, sized
from billow.cli.words import cpus, memory, percent, seconds_of
from billow.errors import Invalid

app = typer.Typer(no_args_is_help=True, help="See, create, move, resize and delete instances.")
Name = Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's name.")]
Names = Annotated[list[str], typer.Argument(metavar="INSTANCE...", help="The instances' names.")]
Service = Annotated[str, typer.Option(metavar="latency|batch", help="Only those of this service.")]
OfService = Annotated[
    str,
    typer.Option(
        "--service",
        metavar="latency|batch",
        help="What it may expect: batch takes what latency leaves. As service=batch.",
    ),
]
OnTheWay = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="balanced|shortest|no_throttle|post_copy|auto_converge",
        help="What may be done so that the move ends; without it, as the instance says.",
    ),
]
Downtime = Annotated[
    str,
    typer.Option(
        metavar="50ms", help="How long it may stand still; without it, as the pool's settings say."
    ),
]
MOST = 20_000

LISTED = (
    Column("INSTANCE", "id"),
    Column("STATE", "state"),
    Column("HOST", "host"),
    Column("KIND", "kind"),
    Column("SHAPE", "shape"),
    Column("CPUS", "cpu_milli", cpus, right=True),
    Column("MEMORY", "memory_mib", memory, right=True),
)
SHOWN = (
    *LISTED,
    Column("NUMA NODES", "nodes"),
    Column("GPUS", "gpus"),
    Column("PRIORITY", "priority"),
    Column("GROUP", "group"),
    Column("TENANT", "tenant"),
    Column("ZONE WANTED", "zone"),
    Column("IMAGE", "image"),
    Column("IMMOVABLE", "immovable"),
    Column("MIGRATION", "migration"),
    Column("CPU NEEDED", "cpu_model"),
    Column("DISK", "disk"),
    Column("SERVICE", "service"),
    Column("CPU LIMIT", "cpu_limit_milli", cpus),
    Column("DIRTY MIB/S", "dirty_mib_s"),
    Column("USED CPUS", "cpu_used_milli", cpus),
    Column("USED MEMORY", "memory_used_mib", memory),
    Column("CPU WAIT", "cpu_wait", percent),
    Column("BALLOONED", "ballooned_mib", memory),
    Column("USED DISK", "disk_used_mib", memory),
    Column("FACTS", "facts"),
)
Spec = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="cpu=2 (or 500m) memory=4GiB image=NAME zone=Z group=G kind=vm numa=1 gpus=0 "
        "arch=x86_64 traits=a+b priority=0 tenant=T service=batch migration=post_copy "
        "disk=own, or shape=NAME",
    ),
]


@command(app, "list")
def list_instances(  # noqa: PLR0913 PLR0917 (each is an option of the command)
    session: Session,
    where: Where = None,
    service: Service = "",
    search: Search = "",
    sort: Sort = "id",
    fields: Fields = "",
    limit: Limit = None,
) -> None:
    """List instances."""
    columns = columns_for(fields, LISTED)
    asked = "" if session.output.as_json else ",".join(column.name for column in columns)
    found = filters([*(where or ()), *_served(service)])
    params = {**found, "q": search, "sort": sort, "fields": fields or asked}
    show_list(session, "/v1/instances", params, columns, limit)


@command(app, "show")
def show_instance(session: Session, instance: Name) -> None:
    """Show one instance."""
    document = session.client.get(path_of("instances", instance))
    if session.output.as_json:
        session.output.document(document)
    else:
        session.output.record(SHOWN, document)


@command(app, "create", PLANS)
def create(  # noqa: PLR0913 PLR0917 (each is an option of the command)
    session: Session,
    name: Name,
    spec: Spec = None,
    count: Annotated[
        int, typer.Option(min=1, max=MOST, help="So many, named NAME-1, NAME-2, ...")
    ] = 1,
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:RULE:SCOPE",
            help="A group, as web:anti-affinity:host, to which they belong unless group= says "
            "another; made when the pool has it not.",
        ),
    ] = None,
    service: OfService = "",
    host: Annotated[
        str, typer.Option(metavar="HOST", help="On this host; without it, placement chooses.")
    ] = "",
    policy: Annotated[
        list[str] | None,
        typer.Option("--set", "--policy", "-p", metavar="K=V", help="A knob, as strategy=pack."),
    ] = None,
    *,
    engine_chooses: Annotated[
        bool, typer.Option("--engine-chooses", help="Where the engine's own scheduler says.")
    ] = False,
) -> None:
    """Create instances: placed by one plan, which is shown before it is carried out."""
    if host and engine_chooses:
        raise Invalid("a host is named, and the engine shall choose", fix="give one of both")
    groups = [group_of(each) for each in group or ()]
    request = in_group(sized(described([*(spec or ()), *_served(service)])), groups)
    requests = [{"id": each, **request} for each in names(name, count)]
    knobs = knobs_of(policy or ())
    if host:
        knobs["chosen"] = {each["id"]: host for each in requests}
    if engine_chooses:
        knobs |= session.client.post("/v1/choices", {"instances": requests})
    body = {"capability": "placement", "policy": knobs, "requests": requests, "groups": groups}
    settle(session, session.client.post("/v1/plans", body))


@command(app, "migrate", PLANS)
def migrate(
    session: Session,
    instances: Names,
    to: Annotated[str, typer.Option(help="The host; without it, placement chooses.")] = "",
    policy: OnTheWay = "",
    downtime: Downtime = "",
    why: Why = "",
) -> None:
    """Move instances live."""
    more = {"policy": policy or None, "downtime_s": seconds_of(downtime) if downtime else None}
    ask(session, "migrate", instances, target=to, why=why, **more)


@command(app, "resize", PLANS)
def resize(
    session: Session,
    instance: Name,
    spec: Spec = None,
    why: Why = "",
) -> None:
    """Give an instance another size where it is: cpu=2 memory=4GiB, or shape=NAME."""
    request = described(spec or ())
    if set(request) != {"shape"}:
        raise Invalid("a new size is wanted, and nothing else", fix="give cpu=2 memory=4GiB")
    ask(session, "resize", [instance], shape=_completed(session, instance, request), why=why)


@command(app, "throttle", PLANS)
def throttle(
    session: Session,
    instances: Names,
    cpus: Annotated[
        float, typer.Option("--cpus", min=0, help="CPUs that each may use; 0 lifts the limit.")
    ],
    why: Why = "",
) -> None:
    """Limit the CPU of running instances."""
    ask(session, "throttle", instances, cpus=cpus, why=why)


def names(name: str, count: int) -> list[str]:
    """Return the names of so many instances."""
    return [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]


def _served(service: str) -> list[str]:
    """Return the option of a service as the pair that it stands for."""
    return [f"service={service}"] if service else []


def _completed(session: Session, instance: str, request: Request) -> object:
    """Return the new shape, with what was not named as it is."""
    shape = request["shape"]
    if isinstance(shape, str):
        return shape
    old = session.client.get(path_of("instances", instance))["size"]
    return {**old, "name": "", **shape}


def _add(verb: str, words: str) -> None:
    """Add a verb that needs no more than a reason."""

    def change(session: Session, instances: Names, why: Why = "") -> None:
        ask(session, verb, instances, why=why)

    change.__doc__ = words
    command(app, verb, PLANS)(change)


_add("start", "Start stopped instances where they are.")
_add("stop", "Stop instances; they keep their places.")
_add("suspend", "Let running instances stand still in memory.")
_add("resume", "Let suspended instances go on.")
_add("evacuate", "Start instances of hosts without power on other hosts.")
_add("delete", "Delete instances and what they stored. There is no way back.")
