# SPDX-License-Identifier: Apache-2.0
"""`billow doctor` and `billow sense`: is all well, and what is there?"""

import typer

from billow.cli.command import command
from billow.cli.output import Column
from billow.cli.pool import record_pool
from billow.cli.session import Session
from billow.errors import Unavailable

CHECKS = (
    Column("CHECK", "name"),
    Column("OK", "ok"),
    Column("SEEN", "text"),
    Column("FIX", "fix"),
)


def add_to(root: typer.Typer) -> None:
    """Add the commands that stand at the top."""

    @command(root, "doctor")
    def doctor(session: Session) -> None:
        """Look at every part and say what is missing and how to get it. Ends with 1 if not well."""
        try:
            document = session.client.get("/v1/doctor")
        except Unavailable as error:
            check = {"name": "control plane", "ok": False, "text": error.brief, "fix": error.fix}
            document = {"ok": False, "items": [check]}
        if session.output.as_json:
            session.output.document(document)
        else:
            session.output.table(CHECKS, document["items"])
        if not document["ok"]:
            raise typer.Exit(1)

    @command(root, "sense")
    def sense(session: Session) -> None:
        """Look at the pool now and show it in a few numbers."""
        document = session.client.post("/v1/pool/sense")
        if session.output.as_json:
            session.output.document(document)
        else:
            record_pool(session.output, document)
