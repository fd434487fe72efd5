# SPDX-License-Identifier: Apache-2.0
"""`billow event`: what happened, and who did it."""

from typing import Annotated

import typer

from billow.cli.command import command
from billow.cli.output import Column, when
from billow.cli.session import Session

app = typer.Typer(no_args_is_help=True, help="See what happened, and who did it.")
LISTED = (
    Column("ID", "id", right=True),
    Column("WHEN", "at", when),
    Column("KIND", "kind"),
    Column("BY", "actor"),
    Column("WHAT", "text"),
    Column("CONCERNS", "subjects"),
)


@command(app, "list")
def list_events(
    session: Session,
    after: Annotated[
        int | None, typer.Option(min=0, help="Only after this id, from the oldest on.")
    ] = None,
    about: Annotated[str, typer.Option(metavar="NOUN/NAME", help="As host/h1 or run/r1.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most events.")] = 50,
) -> None:
    """List the last events, or those after an id; the newest stands last."""
    params = {"after": after, "subject": about, "limit": limit, "newest": after is None}
    page = session.client.get("/v1/events", params)
    if after is None:
        page["items"].reverse()
    if session.output.as_json:
        session.output.document(page)
    else:
        session.output.table(LISTED, page["items"])
