# SPDX-License-Identifier: Apache-2.0
"""`billow host enrol` and `billow host expel`: which hosts' agents are believed."""

import typer

from billow.cli.command import ASKS, command
from billow.cli.host import Name
from billow.cli.lists import path_of
from billow.cli.session import Session
from billow.errors import NotFound


def add_to(hosts: typer.Typer) -> None:
    """Add the commands to those about hosts."""

    @command(hosts, "enrol")
    def enrol(session: Session, name: Name) -> None:
        """Make a token with which the agent of a host gets its papers, once, within an hour.

        A host may be enrolled before it is in the pool: that is said, and no mistake.
        """
        document = session.client.post("/v1/agents/tokens", {"host": name})
        if session.output.as_json:
            session.output.document(document)
            return
        session.output.text(document["token"])
        session.output.say(f"on {name}: billow agent enrol URL {document['token']} --host {name}")
        _tell_of_stranger(session, name)

    @command(hosts, "expel", ASKS)
    def expel(session: Session, name: Name) -> None:
        """Believe nothing more that the agent of a host shows; nobody watches the host then."""
        session.confirm(f"Believe the agent of {name} no more?")
        session.client.delete(path_of("agents", "papers", name))
        session.output.say(f"the agent of {name} is believed no more; its lines end within seconds")


def _tell_of_stranger(session: Session, name: str) -> None:
    """Say so where the pool has no host of a name."""
    try:
        session.client.get(path_of("hosts", name))
    except NotFound:
        session.output.say(
            f"the pool has no host {name} now: see that the name is right; "
            "a host may be enrolled before it is in the pool"
        )
