# SPDX-License-Identifier: Apache-2.0
"""`billow incident`: failures of hosts, step by step; released by a person, or taken again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from billow.cli.command import ASKS, command
from billow.cli.lists import Limit, path_of, show_list
from billow.cli.output import Column, Document, when
from billow.cli.session import Session
from billow.cli.words import lasting, sentence_of
from billow.errors import Invalid
from billow.model.counting import counted

app = typer.Typer(no_args_is_help=True, help="See failures of hosts, and release held ones.")
Name = Annotated[str, typer.Argument(metavar="INCIDENT", help="The incident's id.")]

MOST_DEEDS = 4

LISTED = (
    Column("INCIDENT", "id"),
    Column("HOST", "host"),
    Column("PHASE", "phase"),
    Column("ROW", "decisive_row", right=True),
    Column("DIAGNOSIS", "diagnosis"),
    Column("INSTANCES", "affected", right=True),
    Column("STARTED", "started", right=True),
    Column("HELD", "held"),
    Column("OPENED", "opened_at", when),
)
SHOWN = (
    *LISTED[:7],
    Column("DOES", "advice"),
    Column("HELD", "held"),
    Column("RELEASED", "released"),
    Column("VOUCHED", "vouched"),
    Column("PROOF", "proved"),
    Column("OPENED", "opened_at", when),
    Column("CLOSED", "closed_at", when),
    Column("OUTCOME", "outcome"),
)
VICTIMS = (
    Column("INSTANCE", "instance"),
    Column("BAND", "band", right=True),
    Column("FATE", "fate"),
    Column("ON", "target"),
    Column("TRIES", "epoch", right=True),
    Column("WHY", "why"),
)
STEPS = (
    Column("STEP", "number", right=True),
    Column("AFTER", "after_s", lasting, right=True),
    Column("PHASE", "phase"),
    Column("ROW", "row", right=True),
    Column("WHY", "why"),
    Column("THEN", "deeds"),
    Column("BY", "actor"),
)
TAKEN_AGAIN = (*STEPS[:5], Column("NOW", "now"))


@command(app, "list")
def list_incidents(
    session: Session,
    host: Annotated[str, typer.Option(help="Only those of this host.")] = "",
    limit: Limit = None,
    *,
    is_open: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
) -> None:
    """List failures of hosts, newest first. They are kept for ever."""
    show_list(session, "/v1/incidents", {"host": host, "open": is_open or None}, LISTED, limit)


@command(app, "show")
def show(session: Session, incident: Name) -> None:
    """Show a failure: why it was decided so, what would have changed it, and each step."""
    found = session.client.get(path_of("incidents", incident))
    if session.output.as_json:
        session.output.document(found)
        return
    proof = found["proof"]
    proved = f"{proof['method']}: {proof['text']}" if proof else None
    session.output.record(SHOWN, {**found, "proved": proved})
    session.output.blank()
    session.output.lines(_explained(found))
    if found["victims"]:
        session.output.blank()
        session.output.table(VICTIMS, found["victims"])
    session.output.blank()
    session.output.table(STEPS, list(_steps(found)))


@command(app, "release", ASKS)
def release(
    session: Session,
    incident: Name,
    why: Annotated[str, typer.Option(help="What you saw, one sentence; it is kept.")],
    *,
    dead: Annotated[
        bool, typer.Option("--dead", help="You saw that nothing of the host runs any more.")
    ] = False,
) -> None:
    """Let a held incident go on: open the gates that count hosts, or vouch for a host's death.

    A host that runs although somebody vouched for its death runs its instances twice.
    """
    said = sentence_of(why, "--why")
    found = session.client.get(path_of("incidents", incident))
    host = found["host"]
    danger = f"Is it certain that nothing runs on {host}, and that it cannot come back?"
    session.confirm(danger if dead else f"Let the recovery of {host} go on?")
    path = path_of("incidents", incident, "release")
    done = session.client.post(path, {"why": said, "dead": dead})
    if session.output.as_json:
        session.output.document(done)
    else:
        session.output.say(f"{incident} goes on")


@command(app, "replay")
def replay(
    session: Session,
    incident: Annotated[
        str,
        typer.Argument(
            metavar="INCIDENT|FILE", help="Its id, or what `incident show --json` printed."
        ),
    ],
) -> None:
    """Take each step again with what was known then and the rules of this version.

    Ends with 1 when a step comes out otherwise. With a file, no control plane is asked.
    """
    from billow.model.ha.document import step_from_document
    from billow.plan.ha.retrace import retraced

    found = _recorded(session, incident)
    steps = [step_from_document(each) for each in found["steps"]]
    again = [
        {**row, "now": "; ".join(each.differs) or "the same"}
        for row, each in zip(_steps(found), retraced(steps), strict=True)
    ]
    if session.output.as_json:
        session.output.document({"items": again})
    else:
        session.output.table(TAKEN_AGAIN, again)
    differ = sum(1 for each in again if each["now"] != "the same")
    session.output.say(f"{counted(len(again), 'step')}, {differ} come out otherwise")
    if differ:
        raise typer.Exit(1)


def _recorded(session: Session, name: str) -> Document:
    """Return a recorded incident, from a file where there is one of this name."""
    path = Path(name)
    if path.is_dir():
        raise Invalid(
            f"{ascii(name)[:80]} is a folder", fix="name an incident, or a file that one is in"
        )
    if not path.is_file():
        return session.client.get(path_of("incidents", name))
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found["steps"], list) and found["steps"]:
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise Invalid(
        f"{ascii(name)[:80]} is no recorded incident",
        fix="make one with `billow incident show ID --json > FILE`",
    )


def _steps(found: Document) -> Iterator[Document]:
    """Yield the steps as rows: what was done, and how long after the beginning."""
    began_at = found["steps"][0]["at"] if found["steps"] else 0.0
    for step in found["steps"]:
        record = step["incident"]
        yield {
            "number": record["version"],
            "after_s": round(step["at"] - began_at, 3),
            "phase": record["phase"],
            "row": record["row"],
            "why": step["why"],
            "deeds": _few([_deed(each) for each in step["deeds"] if each["do"] != "tell"]),
            "actor": step["actor"] if step["fence"] else f"{step['actor']} (a person)",
        }


def _few(deeds: list[str]) -> list[str]:
    """Return deeds as a table has room for them; --json has all."""
    return deeds if len(deeds) <= MOST_DEEDS else [*deeds[:2], f"{len(deeds) - 2} more"]


def _deed(deed: Document) -> str:
    subject = deed.get("instance") or deed.get("host", "")
    target = f" to {deed['target']}" if "target" in deed else ""
    return f"{deed['do']} {subject}{target}"


def _explained(found: Document) -> Iterator[list[str]]:
    """Yield why that was begun which was, or why it is held."""
    why = found["explanation"]
    if not why:
        return
    yield from (["seen", each] for each in why["evidence"])
    for gate in why["gates"]:
        yield [
            f"gate {gate['name'].replace('_', ' ')} {'open' if gate['open'] else 'shut'}",
            gate["text"],
        ]
    yield from (["otherwise", each] for each in why["otherwise"])
