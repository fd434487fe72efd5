# SPDX-License-Identifier: Apache-2.0
"""`billow policy`: the capabilities, and every knob of one with its reason and present value."""

import json
from typing import Annotated

import typer

from billow.cli.command import command
from billow.cli.output import Column, Document, Output
from billow.cli.session import Session
from billow.errors import NotFound


def _plain(value: object) -> str:
    """Return a knob's value as one types it."""
    return value if isinstance(value, str) else json.dumps(value)


LISTED = (
    Column("CAPABILITY", "name"),
    Column("WHAT IT IS FOR", "about"),
    Column("REPORTS", "reports"),
    Column("KNOBS SET", "set"),
)
KNOBS = (
    Column("KNOB", "name"),
    Column("NOW", "now", _plain),
    Column("DEFAULT", "default", _plain),
    Column("UNIT", "unit"),
    Column("RANGE", "range"),
    Column("WHY", "description"),
)
Name = Annotated[
    str, typer.Argument(metavar="[NAME]", help="A capability; without one, all are listed.")
]
Here = Annotated[
    bool, typer.Option("--here", help="As `billow.toml` in this folder says, without a server.")
]


def add_to(root: typer.Typer) -> None:
    """Add the command."""

    @command(root, "policy")
    def policy(session: Session, name: Name = "", *, here: Here = False) -> None:
        """Show the knobs of a capability: what each is now, may be, and is good for.

        Set them for good in billow.toml under `policy.NAME`, or once with --set KNOB=VALUE.
        """
        known = _known(session, here=here)
        if not name:
            _list(session, known)
            return
        if name not in known:
            raise NotFound(f"no capability {name!a}", fix=f"choose: {', '.join(known)}")
        if session.output.as_json:
            session.output.document(known[name])
        else:
            print_knobs(session.output, known[name])


def print_knobs(output: Output, capability: Document) -> None:
    """Print every knob of a capability."""
    if not output.for_people:
        rows = [
            {**each, "now": _plain(each["now"]), "default": _plain(each["default"])}
            for each in capability["knobs"]
        ]
        output.table(KNOBS, rows)
        return
    output.table(KNOBS, capability["knobs"])


def _known(session: Session, *, here: bool) -> dict[str, Document]:
    if here:
        from billow.cli.offline import capabilities_here

        items = capabilities_here()
    else:
        items = session.client.get("/v1/capabilities")["items"]
    return {each["name"]: each for each in items}


def _list(session: Session, known: dict[str, Document]) -> None:
    if session.output.as_json:
        session.output.document({"items": list(known.values())})
        return
    rows = (
        {**each, "set": [knob["name"] for knob in each["knobs"] if knob["now"] != knob["default"]]}
        for each in known.values()
    )
    session.output.table(LISTED, rows)
