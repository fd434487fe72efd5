# SPDX-License-Identifier: Apache-2.0
"""What all `list` commands share: filters, order, fields and length."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import quote

import typer

from billow.cli.output import Column
from billow.cli.session import Session
from billow.errors import Invalid

ON_A_SCREEN = 100

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="FIELD=VALUE",
        help="Filter, as state=running or memory_mib=1024..; again for more.",
    ),
]
Search = Annotated[str, typer.Option("--search", "-q", help="Part of the name, in any case.")]
Sort = Annotated[str, typer.Option(help="Field to sort by; - before it for descending.")]
Fields = Annotated[str, typer.Option(help="Fields to show, separated by commas.")]
Limit = Annotated[
    int | None,
    typer.Option(min=0, help="Most rows; 0 for all. 100 on a terminal, all in a pipe."),
]


def path_of(noun: str, name: str, *more: str) -> str:
    """Return the path of one thing, whatever its name holds."""
    return "/".join(["/v1", noun, quote(name, safe=""), *more])


def filters(where: Sequence[str] | None) -> dict[str, str]:
    """Return filters as query parameters. Raises Invalid."""
    found = {}
    for text in where or ():
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            raise Invalid(
                f"{ascii(text)[:80]} is no filter, or not the only one for its field",
                fix="write --where FIELD=VALUE; several values go as A,B and ranges as 1..9",
            )
        found[name] = value
    return found


def columns_for(fields: str, columns: Sequence[Column]) -> Sequence[Column]:
    """Return the columns that were asked for, or the usual ones."""
    if not fields:
        return columns
    known = {column.name: column for column in columns}
    names = fields.split(",")
    return [known.get(name, Column(name.upper(), name)) for name in names]


def show_list(
    session: Session,
    path: str,
    params: Mapping[str, object],
    columns: Sequence[Column],
    limit: int | None,
) -> None:
    """Print a list, page by page, up to `limit` rows."""
    most = (ON_A_SCREEN if session.output.for_people else 0) if limit is None else limit
    whole = session.client.pages(path, params, most)
    if session.output.as_json:
        session.output.document(whole)
        return
    session.output.table(columns, whole["items"])
    shown, total = len(whole["items"]), whole.get("total")
    if whole["cursor"]:
        of = f" of {total}" if total else ""
        session.output.say(f"{shown}{of} shown; --limit 0 shows all")
    elif not shown and session.output.for_people:
        session.output.say("nothing found")
