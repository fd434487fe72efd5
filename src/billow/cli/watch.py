# SPDX-License-Identifier: Apache-2.0
"""`billow watch`: the pool, its runs and what happens, live.

On a terminal it draws one screen; in a pipe it prints each event as it comes.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from billow.cli.command import command
from billow.cli.event import LISTED
from billow.cli.follow import deeds, under_way
from billow.cli.lists import path_of
from billow.cli.output import Document, clean, when
from billow.cli.session import Session
from billow.cli.words import cpus, memory
from billow.errors import BillowError, Unavailable
from billow.model.counting import extent

if TYPE_CHECKING:
    from rich.console import RenderableType

EVENTS_SHOWN = 15
RUNS_SHOWN = 5
DRAW_EVERY_S = 1.0
AGAIN_AFTER_S = 1.0
STREAM = "/v1/events/stream"


def add_to(root: typer.Typer) -> None:
    """Add the command that stands at the top."""

    @command(root, "watch")
    def watch(
        session: Session,
        after: Annotated[
            int | None, typer.Option(min=0, help="Begin after this event's id.")
        ] = None,
    ) -> None:
        """Watch the pool live, until Ctrl-C."""
        happening = events(session, "" if after is None else str(after))
        if session.output.for_people:
            _draw(session, happening)
            return
        for event in happening:
            if session.output.as_json:
                session.output.document(event)
            else:
                session.output.table(LISTED, [event])
            session.output.flush()


def events(session: Session, last: str) -> Iterator[Document]:
    """Yield what happens, from an event's id on; a broken stream is taken up where it broke.

    Raises:
        Unavailable: no control plane answers at the first try.
    """
    heard = False
    while True:
        try:
            with session.client.stream(STREAM, last) as stream:
                for event in stream:
                    heard = True
                    last = event.id or last
                    if event.event == "resync":
                        session.output.say("some events are gone; going on with what is new")
                    else:
                        yield json.loads(event.data)
        except Unavailable as error:
            if not heard:
                raise
            session.output.say(f"{error.brief}; trying again")
        time.sleep(AGAIN_AFTER_S)  # noqa: TID251 (the command line has no event loop)


def _draw(session: Session, happening: Iterator[Document]) -> None:
    """Draw one screen, again and again."""
    from rich.live import Live

    seen: deque[Document] = deque(maxlen=EVENTS_SHOWN)
    failure: list[BillowError] = []

    def listen() -> None:
        try:
            for event in happening:
                seen.append(event)
        except BillowError as error:
            failure.append(error)

    threading.Thread(target=listen, daemon=True).start()
    with Live(auto_refresh=False, screen=True) as live:
        while not failure:
            live.update(_screen(session, list(seen)), refresh=True)
            time.sleep(DRAW_EVERY_S)  # noqa: TID251 (see above)
    raise failure[0]


def _screen(session: Session, seen: list[Document]) -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    pool = session.client.get("/v1/pool")
    rows = session.client.get("/v1/runs", {"limit": RUNS_SHOWN})["items"]
    parts: list[Any] = [Text(_headline(pool), style="bold"), Text("")]
    parts += [_run_line(session, row) for row in rows]
    parts.append(Text(""))
    parts += [
        Text(clean(f"{when(each['at'])}  {each['kind']:<14} {each['text']}"), no_wrap=True)
        for each in seen
    ]
    return Group(*parts)


def _headline(pool: Document) -> str:
    capacity, reserved = pool["capacity"], pool["reserved"]
    return (
        f"{pool['name']}: {extent(pool['hosts'], pool['instances'])}, "
        f"CPUs {cpus(reserved['cpu_milli'])} of {cpus(capacity['cpu_milli'])} reserved, "
        f"memory {memory(reserved['memory_mib'])} of {memory(capacity['memory_mib'])} reserved"
    )


def _run_line(session: Session, row: Document) -> "RenderableType":
    from rich.columns import Columns
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    doing = ""
    if row["state"] == "running":
        run = session.client.get(path_of("runs", row["id"]), {"entries": "active"})
        doing = under_way(run, deeds(session.client.get(path_of("plans", row["plan_id"]))))
    words = f"{row['id']}  {row['state']:<8} {row['done']}/{row['total']}  {doing}"
    bar = ProgressBar(total=max(row["total"], 1), completed=row["done"], width=20)
    return Columns([bar, Text(clean(words), no_wrap=True)])
