# SPDX-License-Identifier: Apache-2.0
"""How the console writes figures: the same amount reads the same on every page, and as in the CLI.

Values in, words out.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from billow.model.counting import counted
from billow.model.event import Event
from billow.plan.amounts import amount
from billow.plan.explain import cost_text, duration_text, shape_text, size_text
from billow.web import commands

NOT_SEEN = "\N{EN DASH}"
PAGES = {
    "host": "hosts",
    "incident": "incidents",
    "instance": "instances",
    "migration": "migrations",
    "plan": "plans",
    "run": "runs",
}
LAST_MOMENT = 253_402_300_800
"""The year 10,000, beyond which there are no dates."""


def cpus(milli: float) -> str:
    """Write thousandths of a CPU as CPUs: `1.5`, `64`."""
    if math.isnan(milli):
        return NOT_SEEN
    amount = milli / 1000
    return f"{amount:,.0f}" if amount >= 100 or amount == int(amount) else f"{amount:.3g}"


def memory(mib: float) -> str:
    """Write MiB in the unit that reads best."""
    return NOT_SEEN if math.isnan(mib) else size_text(mib)


def percent(share: float) -> str:
    """Write a share, 1.0 = all: `71 %`."""
    return NOT_SEEN if math.isnan(share) else f"{share * 100:.0f}\N{NO-BREAK SPACE}%"


def duration(seconds: float) -> str:
    """Write a length of time in the unit that reads best."""
    return NOT_SEEN if math.isnan(seconds) else duration_text(seconds)


def moment(at: float) -> str:
    """Write seconds since the epoch as UTC; empty for 0 and what is no time."""
    if not (math.isfinite(at) and 0 < at < LAST_MOMENT):
        return ""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_moment(at: float) -> str:
    """Write seconds since the epoch for a `datetime` attribute; empty for 0 and what is no time."""
    if not moment(at):
        return ""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def ago(at: float, now: float) -> str:
    """Write how long ago: `now`, `12 s ago`, `3 min ago`, `5 d ago`."""
    seconds = now - at
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 and seconds >= size:
            return f"{int(seconds // size):,} {unit} ago"
    return "now"


def link(subject: str) -> str:
    """Return the page of `host/NAME`, `instance/NAME`, and the like; empty for others."""
    kind, _, name = subject.partition("/")
    return f"/{PAGES[kind]}/{quote(name, safe='')}" if kind in PAGES and name else ""


def named(subject: str) -> str:
    """Return the name in a subject."""
    return subject.partition("/")[2] or subject


def filled(share: float) -> float:
    """Return a share for a meter: 0 to 1, 0 when not seen."""
    return 0.0 if math.isnan(share) else min(max(share, 0.0), 1.0)


def milliseconds(seconds: float) -> str:
    """Write a short time: `43 ms`."""
    return NOT_SEEN if math.isnan(seconds) else f"{1000 * seconds:.0f}\N{NO-BREAK SPACE}ms"


def rate(mib_s: float) -> str:
    """Write what flows: `118 MiB/s`."""
    return NOT_SEEN if math.isnan(mib_s) else f"{mib_s:,.0f}\N{NO-BREAK SPACE}MiB/s"


def weight(share: float) -> str:
    """Return how heavy a load is, for its colour: `none`, `low`, `mid`, `high`, `over`."""
    if math.isnan(share):
        return "none"
    steps = ((0.5, "low"), (0.8, "mid"), (1.0001, "high"))
    return next((word for most, word in steps if share < most), "over")


def phase(word: str) -> str:
    """Return the journal's word for where a step is, in a person's words."""
    return {"intended": "under way", "pending": "waiting"}.get(word, word)


def move_state(word: str) -> str:
    """Return the journal's word for where a migration stands, which has a colour."""
    return {"running": "intended", "waiting": "pending", "cancelled": "skipped"}.get(word, word)


def tone(event: Event) -> str:
    """Return how an event reads: `good`, `bad`, `busy` or `plain`."""
    word = str(event.data.get("phase", ""))
    if "failed" in (word, event.text.partition(": ")[0].rpartition(" ")[2]):
        return "bad"
    if event.kind.value.startswith(("run.", "step.")):
        return "good" if event.kind.value.endswith("ended") else "busy"
    return "plain"


FILTERS: Mapping[str, Callable[..., Any]] = {
    "cpus": cpus,
    "memory": memory,
    "percent": percent,
    "duration": duration,
    "moment": moment,
    "machine_moment": machine_moment,
    "link": link,
    "named": named,
    "milliseconds": milliseconds,
    "rate": rate,
    "filled": filled,
    "weight": weight,
    "tone": tone,
    "phase": phase,
    "move_state": move_state,
    "shape": shape_text,
    "cost": cost_text,
    "amount": amount,
}
FUNCTIONS: Mapping[str, Callable[..., Any] | object] = {
    "ago": ago,
    "counted": counted,
    "command": commands,
}
