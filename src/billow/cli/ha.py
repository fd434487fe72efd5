# SPDX-License-Identifier: Apache-2.0
"""`billow ha`: how high availability is, armed or not; and `billow host maintenance`."""

from enum import StrEnum
from typing import Annotated

import typer

from billow.cli.command import ASKS, command
from billow.cli.output import Column, Document, when
from billow.cli.session import Session
from billow.cli.words import percent, sentence_of, span_of
from billow.errors import Invalid

app = typer.Typer(no_args_is_help=True, help="See how hosts are looked after; disarm, and arm.")
For = Annotated[str, typer.Option("--for", help="How long, as 30m, 2h or 1d.")]
Why = Annotated[str, typer.Option(help="Why; others read it.")]
_NAME = "Of the host, rack (a/r1: r1 of zone a; r1 alone where but one zone has it) or zone."


class Of(StrEnum):
    """What is left alone."""

    HOST = "host"
    RACK = "rack"
    ZONE = "zone"


STATUS = (
    Column("ARMED", "armed"),
    Column("WATCHING", "watching"),
    Column("HOSTS", "hosts"),
    Column("READY", "ready"),
    Column("READY SHARE", "ready_share", percent),
    Column("INCIDENTS", "incidents"),
    Column("HELD", "held"),
)
OBSERVERS = (
    Column("OBSERVER", "name"),
    Column("TOLD", "age_s", lambda seconds: f"{seconds:.1f} s ago", right=True),
    Column("COUNTS", "fresh"),
    Column("HOSTS", "hosts", right=True),
    Column("MISSED", "missed"),
    Column("SELF-CHECK PASSED ON", "sound"),
)
MAINTENANCE = (
    Column("LEFT ALONE", "reach"),
    Column("NAME", "name"),
    Column("BY", "owner"),
    Column("WHY", "why"),
    Column("UNTIL", "until", when),
)
READINESS = (
    Column("HOST", "host"),
    Column("READY", "ready"),
    Column("HEARD ON", "heard"),
    Column("PROOFS", "proofs"),
    Column("LACKING", "lacking"),
)


@command(app, "status")
def status(session: Session) -> None:
    """Show who watches hosts, what is left alone, and how many hosts could be proved dead."""
    found = session.client.get("/v1/ha")
    if session.output.as_json:
        session.output.document(found)
        return
    session.output.record(STATUS, found)
    for columns, name in ((OBSERVERS, "observers"), (MAINTENANCE, "maintenances")):
        if found[name]:
            session.output.blank()
            session.output.table(columns, found[name])


@command(app, "readiness")
def readiness(
    session: Session,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most hosts.")] = 100,
) -> None:
    """List watched hosts and the ways to prove their death, those first that have fewest."""
    found = session.client.get("/v1/ha/readiness", {"limit": limit})
    if session.output.as_json:
        session.output.document(found)
        return
    session.output.table(READINESS, found["items"])
    if found["hosts"] > len(found["items"]):
        session.output.say(f"{len(found['items'])} of {found['hosts']} shown; --limit shows more")
    elif not found["hosts"]:
        session.output.say("no host is watched: no agent was enrolled")


@command(app, "disarm", ASKS)
def disarm(session: Session, why: Why, for_text: For) -> None:
    """End and start nothing for failed hosts for a while; failures are noted and explained."""
    body = {"for_s": span_of(for_text), "why": sentence_of(why, "--why")}
    session.confirm("Shall nothing be done when a host dies?")
    _said(session, session.client.post("/v1/ha/disarm", body))


@command(app, "arm")
def arm(session: Session) -> None:
    """Act again when a host dies."""
    done = session.client.post("/v1/ha/arm")
    if session.output.as_json:
        session.output.document(done)
    else:
        session.output.say(f"armed again; it was disarmed by {done['owner']}: {done['why']}")


@command(app, "rehearse", ASKS)
def rehearse(
    session: Session,
    host: Annotated[str, typer.Argument(metavar="HOST", help="Empty, and cordoned.")],
) -> None:
    """Turn an empty host off and on: would its death be proved? Ends with 1 if not."""
    session.confirm(f"Shall {host} be turned off and on?")
    done = session.client.post("/v1/ha/rehearse", {"host": host})
    if session.output.as_json:
        session.output.document(done)
    else:
        how = "proved" if done["ok"] else "NOT proved"
        session.output.say(f"{how} after {done['took_s']:.1f} s: {done['text']}")
    if not done["ok"]:
        raise typer.Exit(1)


def add_to(hosts: typer.Typer) -> None:
    """Add the command that stands among those of hosts."""

    @command(hosts, "maintenance")
    def maintenance(
        session: Session,
        name: Annotated[str, typer.Argument(metavar="NAME", help=_NAME)],
        why: Why = "",
        for_text: For = "",
        *,
        of: Annotated[Of, typer.Option(help="What NAME is the name of.")] = Of.HOST,
        end: Annotated[bool, typer.Option("--end", help="Look after it again.")] = False,
    ) -> None:
        """Leave a host, rack or zone alone for a while: nothing is ended or started when it fails.

        It ends by itself. It does not cordon: `billow host cordon` does.
        """
        body = {"reach": of.value, "name": name}
        if end:
            _said(session, session.client.post("/v1/ha/maintenance/end", body), ended=True)
            return
        if not for_text or not why:
            raise Invalid("how long, and why?", fix='give --for 2h --why "a new fan"')
        said = sentence_of(why, "--why")
        asked = {**body, "for_s": span_of(for_text), "why": said}
        _said(session, session.client.post("/v1/ha/maintenance", asked))


def _said(session: Session, made: Document, *, ended: bool = False) -> None:
    if session.output.as_json:
        session.output.document(made)
        return
    what = "high availability is" if made["reach"] == "pool" else f"{made['reach']} {made['name']}"
    if ended:
        session.output.say(f"{what} is looked after again")
    elif made["reach"] == "pool":
        session.output.say(f"{what} disarmed until {when(made['until'])}")
    else:
        session.output.say(f"{what} is left alone until {when(made['until'])}")
