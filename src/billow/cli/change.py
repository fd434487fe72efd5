# SPDX-License-Identifier: Apache-2.0
"""From a plan to its run: show it, ask, start it, follow it. Every change ends here."""

from collections.abc import Sequence
from typing import Annotated

import typer

from billow.cli.follow import follow, report
from billow.cli.lists import path_of
from billow.cli.output import Document
from billow.cli.session import Session
from billow.errors import Blocked

Why = Annotated[str, typer.Option(help="The reason that the plan gives.")]


def ask(session: Session, verb: str, names: Sequence[str], **more: object) -> None:
    """Ask for one thing of each name by one plan, and settle it."""
    asks = [{"verb": verb, "subject": name, **more} for name in dict.fromkeys(names)]
    settle(session, session.client.post("/v1/changes", {"asks": asks}))


def show_plan(session: Session, plan: Document) -> None:
    """Print a plan as data."""
    if session.output.as_json:
        session.output.document(plan)
    else:
        session.output.text(session.client.text(path_of("plans", plan["id"], "text")))


def settle(session: Session, plan: Document) -> None:
    """Show a plan, ask, carry it out and follow it.

    Raises:
        Blocked: nothing of it is possible, or the answer was no.
        RunFailed: it was carried out, but not to its end.
    """
    if session.dry_run:
        show_plan(session, plan)
        return
    session.output.say(session.client.text(path_of("plans", plan["id"], "text")))
    if not plan["steps"]:
        raise nothing_possible(plan)
    session.confirm("Apply this plan?")
    start(session, plan)


def start(session: Session, plan: Document, if_match: str = "") -> None:
    """Carry a plan out, and follow it if that is wanted. Raises RunFailed."""
    path = path_of("plans", plan["id"], "runs")
    run = session.client.post(path, if_match=if_match)
    if session.wait:
        follow(session, run, plan)
    else:
        report(session, run, plan)


def nothing_possible(plan: Document) -> Blocked:
    """Return why a plan has no steps."""
    if not plan["rejections"]:
        return Blocked("there is nothing to do", code="nothing-to-do")
    details = tuple(f"{each['subject']}: {each['reason']}" for each in plan["rejections"][:20])
    fix = next((each["fix"] for each in plan["rejections"] if each["fix"]), "")
    return Blocked("nothing of this is possible", details, fix, code="not-possible")
