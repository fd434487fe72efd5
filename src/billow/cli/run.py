# SPDX-License-Identifier: Apache-2.0
"""`billow run`, `billow apply` and `billow undo`: plans being carried out."""

from typing import Annotated

import typer

from billow.cli.change import settle, start
from billow.cli.command import PLANS, WAITS, command
from billow.cli.follow import COLUMNS, deeds, follow, reason
from billow.cli.lists import Limit, path_of, show_list
from billow.cli.output import Column, when
from billow.cli.session import Session

app = typer.Typer(no_args_is_help=True, help="See runs, and stop them.")
Name = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]
STEPS = (
    Column("STEP", "action_id"),
    Column("DOES", "deed"),
    Column("PHASE", "phase"),
    Column("STARTED", "started_at", when),
    Column("ENDED", "ended_at", when),
    Column("ERROR", "brief"),
)


@command(app, "list")
def list_runs(session: Session, limit: Limit = None) -> None:
    """List runs, newest first. They are kept for ever."""
    show_list(session, "/v1/runs", {}, COLUMNS, limit)


@command(app, "show")
def show(session: Session, run: Name) -> None:
    """Show a run with each of its steps."""
    document = session.client.get(path_of("runs", run))
    if session.output.as_json:
        session.output.document(document)
        return
    session.output.say(document["text"])
    words = deeds(session.client.get(path_of("plans", document["plan_id"])))
    rows = [
        {
            **each,
            "deed": words.get(each["action_id"]),
            "brief": reason(each["error"]) if each["error"] else None,
        }
        for each in document["entries"]
    ]
    session.output.table(STEPS, rows)


@command(app, "stop", WAITS)
def stop(session: Session, run: Name) -> None:
    """Start no more steps of a run; what is under way is finished."""
    document = session.client.post(path_of("runs", run, "stop"))
    if session.wait:
        plan = session.client.get(path_of("plans", document["plan_id"]))
        follow(session, document, plan, may_stop=True)


def add_to(root: typer.Typer) -> None:
    """Add the commands that stand at the top."""

    @command(root, "apply", WAITS)
    def apply(
        session: Session,
        plan: Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id.")],
        if_match: Annotated[
            str, typer.Option(help="Only while the pool has this digest; else end with 4.")
        ] = "",
    ) -> None:
        """Carry a plan out, once, and follow it."""
        document = session.client.get(path_of("plans", plan))
        session.output.say(document["footer"])
        start(session, document, if_match)

    @command(root, "undo", PLANS)
    def undo(session: Session, run: Name) -> None:
        """Take a run back: make the plan that leads back, show it, ask, carry it out."""
        plan = session.client.post(path_of("runs", run, "undo"))
        settle(session, plan)
