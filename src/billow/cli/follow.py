# SPDX-License-Identifier: Apache-2.0
"""Follow a run to its end: a bar on a terminal, a line now and then elsewhere.

It asks the server for little: the counts, and the few actions that are under way.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from billow.cli.lists import path_of
from billow.cli.output import Column, Document, clean, when
from billow.cli.patience import QUIET_S
from billow.cli.session import Session
from billow.cli.words import lasting, percent
from billow.errors import BillowError

ASK_EVERY_S = 0.2
SPEAK_EVERY_S = 10.0

COLUMNS = (
    Column("RUN", "id"),
    Column("STATE", "state"),
    Column("PLAN", "plan_id"),
    Column("BY", "actor"),
    Column("DONE", "done", right=True),
    Column("FAILED", "failed", right=True),
    Column("OF", "total", right=True),
    Column("STARTED", "started_at", when),
    Column("ENDED", "ended_at", when),
)


class RunFailed(BillowError):
    """A run ended without having done everything."""

    code = "run-failed"


def follow(session: Session, run: Document, plan: Document, *, may_stop: bool = False) -> None:
    """Wait for the run of a plan and print what came of it.

    Raises:
        RunFailed: it failed, or it was stopped and that was not wanted.
    """
    path = path_of("runs", run["id"])
    with _display(session, run, plan) as display:
        while run["state"] == "running":
            time.sleep(ASK_EVERY_S)  # noqa: TID251 (the command line has no event loop)
            run = session.client.get(path, {"entries": "active"})
            display.show(run)
    report(session, session.client.get(path), plan, may_stop=may_stop)


def report(session: Session, run: Document, plan: Document, *, may_stop: bool = False) -> None:
    """Print what came of a run. Raises RunFailed."""
    if session.output.as_json:
        session.output.document(run)
    else:
        session.output.table(COLUMNS, [run])
    if run["state"] == "failed" or (run["state"] == "stopped" and not may_stop):
        raise RunFailed(
            f"run {run['id']} {run['state']}: {run['done']} of {run['total']} steps done",
            tuple(failures(run, deeds(plan))),
            fix=f"billow undo {run['id']} makes the plan that leads back" if run["done"] else "",
        )


def failures(run: Document, words: Mapping[str, str]) -> Iterator[str]:
    """Yield what each failed step said, with the words for each step."""
    for entry in run["entries"]:
        error = entry["error"]
        if error:
            deed = words.get(entry["action_id"], entry["action_id"])
            fix = f" (fix: {error['fix']})" if error.get("fix") else ""
            yield f"{deed}: {reason(error)}{fix}"


def reason(error: Document) -> str:
    """Return what went wrong in a step, with what was seen."""
    return ": ".join([error.get("brief", "failed"), *error.get("details", "").splitlines()])


def deeds(plan: Document) -> dict[str, str]:
    """Return each step of a plan in two words, by its action's id."""
    return {
        step["action"]["id"]: f"{step['action']['verb']} {step['subject'].partition('/')[2]}"
        for step in plan["steps"]
    }


def under_way(run: Document, words: Mapping[str, str]) -> str:
    """Return what a run does now, in a few words, with the words for each of its steps."""
    active = [entry for entry in run["entries"] if entry["phase"] == "intended"]
    texts = []
    for entry in active[:2]:
        progress = entry["progress"] or {}
        deed = words.get(entry["action_id"], entry["action_id"])
        parts = [deed, progress.get("phase", ""), percent(progress.get("fraction"))]
        texts.append(" ".join(part for part in parts if part))
    more = [f"{len(active) - 2} more"] if len(active) > 2 else []
    return ", ".join([*texts, *more])


class _Lines:
    """Progress where no bar can be drawn: a line after two seconds, then every ten."""

    def __init__(self, session: Session, run: Document, plan: Document) -> None:
        self._session = session
        self._words = deeds(plan)
        self._until = run["started_at"] + (plan["cost"]["seconds"] or 0.0)
        self._next = time.monotonic() + QUIET_S

    def show(self, run: Document) -> None:
        """Say where the run is, when it is time to."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SPEAK_EVERY_S
        self._session.output.say(
            f"waiting for run {run['id']} since {when(run['started_at'])}, expected until "
            f"{when(self._until)}: {run['done']} of {run['total']} done; "
            f"now {under_way(run, self._words) or 'looking at the pool'}"
        )


class _Bar:
    """Progress on a terminal."""

    def __init__(self, progress: Any, task: Any, plan: Document) -> None:  # noqa: ANN401 (Rich's)
        self._progress = progress
        self._words = deeds(plan)
        self._task = task

    def show(self, run: Document) -> None:
        """Draw where the run is."""
        partial = sum(
            (entry["progress"] or {}).get("fraction") or 0.0
            for entry in run["entries"]
            if entry["phase"] == "intended"
        )
        doing = clean(under_way(run, self._words))
        completed = run["done"] + run["failed"] + partial
        self._progress.update(self._task, completed=completed, doing=doing)


@contextmanager
def _display(session: Session, run: Document, plan: Document) -> Iterator[_Lines | _Bar]:
    if not sys.stderr.isatty():
        yield _Lines(session, run, plan)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(run["id"]),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn(f"of ~{lasting(plan['cost']['seconds'] or 0.0)}"),
        TextColumn("{task.fields[doing]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, progress.add_task("run", total=run["total"], doing=""), plan)
