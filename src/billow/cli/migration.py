# SPDX-License-Identifier: Apache-2.0
"""`billow migration`: live migrations under way and ended, their curves, and how to stop one."""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from billow.cli.command import ASKS, command
from billow.cli.lists import Limit, path_of, show_list
from billow.cli.output import Column, Document, when
from billow.cli.session import Session
from billow.cli.words import lasting, memory, percent

app = typer.Typer(no_args_is_help=True, help="See live migrations, and cancel them.")
Name = Annotated[str, typer.Argument(metavar="MIGRATION", help="The migration's id.")]
ON_A_SCREEN = 20
"""Points of a curve that are shown to people."""


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def _each(values: Sequence[float | None]) -> str:
    return " ".join("-" if each is None else f"{each:.0f}" for each in values)


def _rate(mib_s: float) -> str:
    return f"{mib_s:.0f}"


LISTED = (
    Column("MIGRATION", "id"),
    Column("INSTANCE", "instance"),
    Column("FROM", "source"),
    Column("TO", "target"),
    Column("POLICY", "policy"),
    Column("WAY", "way"),
    Column("STATE", "state"),
    Column("DONE", "fraction", percent, right=True),
    Column("COPIED", "copied_mib", lambda mib: memory(round(mib)), right=True),
    Column("DOWNTIME", "downtime_s", _milliseconds, right=True),
    Column("STARTED", "started_at", when),
)
SHOWN = (
    *LISTED[:7],
    Column("WHY THIS WAY", "why"),
    Column("CHANNEL", "channel"),
    Column("RUN", "run_id"),
    Column("BY", "actor"),
    Column("PHASE", "phase"),
    *LISTED[7:9],
    Column("LEFT MEMORY", "left_mib", lambda mib: memory(round(mib))),
    Column("LEFT TIME", "left_s", lasting),
    Column("RATE MIB/S", "rate_mib_s", _rate),
    Column("THROTTLE", "throttle", percent),
    Column("PROMISE", "promise_s", _milliseconds),
    *LISTED[9:],
    Column("ENDED", "ended_at", when),
    Column("ERROR", "brief"),
)
CURVE = (
    Column("SECONDS", "seconds", lambda seconds: f"{seconds:.1f}", right=True),
    Column("WAY", "way"),
    Column("ROUND", "pages_round", right=True),
    Column("LEFT", "left_mib", lambda mib: memory(round(mib)), right=True),
    Column("RATE MIB/S", "rate_mib_s", _rate, right=True),
    Column("WRITES MIB/S", "dirty_mib_s", _each, right=True),
    Column("LIMITS MIB/S", "limits_mib_s", _each, right=True),
    Column("THROTTLE", "throttle", percent, right=True),
)


@command(app, "list")
def list_migrations(
    session: Session,
    run: Annotated[str, typer.Option(help="Only those of this run.")] = "",
    instance: Annotated[str, typer.Option(help="Only those of this instance.")] = "",
    limit: Limit = None,
    *,
    running: Annotated[bool, typer.Option("--running", help="Only those under way.")] = False,
) -> None:
    """List live migrations, newest first. They are kept as long as their runs."""
    params = {"run": run, "instance": instance, "running": running or None}
    show_list(session, "/v1/migrations", params, LISTED, limit)


@command(app, "show")
def show(session: Session, migration: Name) -> None:
    """Show a live migration: how it goes or went, and its curve."""
    found = session.client.get(path_of("migrations", migration))
    if session.output.as_json:
        session.output.document(found)
        return
    session.output.record(SHOWN, {**found, "brief": found["error"].get("brief")})
    if found["curve"]:
        session.output.blank()
        points = found["curve"]
        session.output.table(CURVE, _few(points) if session.output.for_people else points)


@command(app, "cancel", ASKS)
def cancel(session: Session, migration: Name) -> None:
    """Take a migration back that is under way or waits: its instance stays where it was."""
    found = session.client.get(path_of("migrations", migration))
    session.confirm(f"Cancel the move of {found['instance']} to {found['target']}?")
    ended = session.client.post(path_of("migrations", migration, "cancel"))
    if session.output.as_json:
        session.output.document(ended)
    else:
        session.output.say(f"{ended['instance']} stays on {ended['source']}")


def _few(points: Sequence[Document]) -> Iterator[Document]:
    """Yield so many points as fit a screen, the first and the last among them."""
    step = max(1, math.ceil((len(points) - 1) / (ON_A_SCREEN - 1)))
    yield from points[:-1:step]
    yield points[-1]
