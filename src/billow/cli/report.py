# SPDX-License-Identifier: Apache-2.0
"""`billow report`: what capabilities say of the pool, or of a plan's pool before and after it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from billow.cli.command import command
from billow.cli.lists import path_of
from billow.cli.output import Column, Document
from billow.cli.session import Session
from billow.cli.wanted import knobs_of
from billow.errors import Invalid

LISTED = (Column("REPORT", "name"), Column("WHAT IT TELLS", "about"))
Name = Annotated[str, typer.Argument(metavar="[NAME]", help="Which; without one, all are listed.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-p", metavar="K=V", help="A knob of the capability; again for more."),
]
PlanName = Annotated[
    str, typer.Option("--plan", metavar="PLAN", help="On this plan's pool, before and after it.")
]
PoolFile = Annotated[
    Path | None,
    typer.Option("--pool", "--pool-file", help="On the pool in a file, without a server."),
]
Planned = Annotated[
    bool,
    typer.Option("--planned", help="With --pool: also after the plan that it would make."),
]


def add_to(root: typer.Typer) -> None:
    """Add the command."""

    @command(root, "report")
    def report(
        session: Session,
        name: Name = "",
        knobs: Set = None,
        plan: PlanName = "",
        pool: PoolFile = None,
        *,
        planned: Planned = False,
    ) -> None:
        """Say what a capability finds: figures, the worst first, pictures. Nothing is changed.

        With --plan, every figure stands as it is before and after that plan.
        """
        if pool is None and planned:
            raise Invalid("--planned goes with --pool", fix="make a plan and give it with --plan")
        if not name:
            _list(session, pool)
            return
        if pool is None:
            show(session, asked(session, name, knobs_of(knobs or ()), plan))
            return
        if plan:
            raise Invalid("a pool in a file knows no plans", fix="use --planned, or leave --pool")
        from billow.cli.offline import report_for

        show(session, report_for(pool, name, knobs_of(knobs or ()), planned=planned))


def asked(session: Session, name: str, knobs: Document, plan: str) -> Document:
    """Return a report of the control plane."""
    policy = json.dumps(knobs) if knobs else ""
    return session.client.get(path_of("reports", name), {"plan": plan, "policy": policy})


def show(session: Session, answer: Document) -> None:
    """Print a report: for people, as lines of a table, or as the API's document."""
    if session.output.as_json:
        session.output.document(answer)
    elif session.output.for_people:
        from billow.cli.report_page import print_page

        print_page(session.output, answer)
    else:
        from billow.cli.report_lines import lines

        session.output.lines(lines(answer))


def _list(session: Session, pool: Path | None) -> None:
    if pool is None:
        items = session.client.get("/v1/reports")["items"]
    else:
        from billow.cli.offline import reports_here

        items = reports_here()
    if session.output.as_json:
        session.output.document({"items": items})
    else:
        session.output.table(LISTED, items)
