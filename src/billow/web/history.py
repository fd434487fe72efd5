# SPDX-License-Identifier: Apache-2.0
"""Events as people read them: newest first, without the ones that would drown the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from billow.model.event import Event
from billow.web.frame import QUIET

PER_READ = 500
MOST_READS = 20
"""Reads of the store for one page; a rare filter goes on from where it stopped on the next page."""


class Told(Protocol):
    """Whoever knows what happened: `app.Billow`, or its store."""

    async def events(
        self, *, after: int = 0, limit: int = 500, subject: str = "", newest: bool = False
    ) -> Sequence[Event]:
        """Return events; with `newest`, those below `after`, newest first."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the stream.

    Attributes:
        events: Newest first.
        older: The id below which the next part begins; 0 at the end.
    """

    events: Sequence[Event]
    older: int


async def history_of(told: Told, subject: str, limit: int = 50) -> Part:
    """Return what last happened to one thing."""
    return await part(told, subject=subject, limit=limit)


async def part(
    told: Told,
    *,
    subject: str = "",
    before: int = 0,
    limit: int = 100,
    wanted: Callable[[Event], bool] = lambda event: event.kind not in QUIET,
) -> Part:
    """Return the newest wanted events below an id."""
    found: list[Event] = []
    for _ in range(MOST_READS):
        events = await told.events(after=before, limit=PER_READ, subject=subject, newest=True)
        for event in sorted(events, key=lambda event: -event.id):
            before = event.id
            if wanted(event):
                found.append(event)
            if len(found) == limit:
                return Part(found, before)
        if len(events) < PER_READ:
            return Part(found, 0)
    return Part(found, before)
