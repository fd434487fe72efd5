# SPDX-License-Identifier: Apache-2.0
"""The timeline: one stream of what happened, filtered by what it concerns and by whom."""

from collections.abc import Callable

from starlette.responses import Response

from billow.model.event import Event, EventKind
from billow.web.frame import QUIET
from billow.web.history import part
from billow.web.listing import address
from billow.web.visit import Visit

FILTERS = ("host", "instance", "plan", "run", "person", "kind", "before")
SUBJECTS = ("host", "instance", "plan", "run")
PER_PAGE = 100


async def timeline(visit: Visit) -> Response:
    """Show what happened, newest first."""
    at = address("/timeline", visit.asked, FILTERS)
    subjects = [f"{kind}/{at[kind]}" for kind in SUBJECTS if at[kind]]
    before = int(at["before"]) if at["before"].isascii() and at["before"].isdigit() else 0
    found = await part(
        visit.billow,
        subject=subjects[0] if subjects else "",
        before=min(before, 2**62),
        limit=PER_PAGE,
        wanted=_wanted(subjects, at["person"], at["kind"]),
    )
    context = {
        "at": at,
        "events": found.events,
        "older": found.older,
        "kinds": [kind.value for kind in EventKind],
    }
    if visit.is_fragment:
        return visit.part("parts/events.html", **context)
    return await visit.page("timeline.html", **context)


def _wanted(subjects: list[str], person: str, kind: str) -> Callable[[Event], bool]:
    def wanted(event: Event) -> bool:
        return (
            all(subject in event.subjects for subject in subjects)
            and (not person or event.actor == person)
            and (event.kind == kind if kind else event.kind not in QUIET)
        )

    return wanted
