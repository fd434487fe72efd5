# SPDX-License-Identifier: Apache-2.0
"""Routes of the event stream: as a list, and live as server-sent events."""

import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import format_sse_event
from starlette.responses import JSONResponse

from billow.api import plan_answers
from billow.api.caller import Viewed
from billow.api.stream import EventStream, kept_alive
from billow.app import Billow
from billow.errors import Invalid
from billow.model.codec import event_document

router = APIRouter(prefix="/v1", tags=["events"])

MOST_ID = 2**63 - 1
After = Annotated[int, Query(ge=0, le=MOST_ID, description="Only events after this id.")]


@router.get("/events", summary="What happened", response_model=plan_answers.EventPage)
async def list_events(
    billow: Viewed,
    after: After = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    subject: Annotated[str, Query(max_length=300, examples=["host/h1"])] = "",
    *,
    newest: Annotated[bool, Query(description="Newest first; `after` then means below.")] = False,
) -> JSONResponse:
    """Return events, oldest first or newest first."""
    events = await billow.events(after=after, limit=limit, subject=subject, newest=newest)
    last = events[-1].id if events else after
    return JSONResponse({"items": [event_document(event) for event in events], "last": last})


async def _begin(
    after: Annotated[int | None, Query(ge=0, le=MOST_ID)] = None,
    last_event_id: Annotated[str, Header(max_length=40)] = "",
) -> int | None:
    """Return the event after which to begin; None begins with what is new. Raises Invalid."""
    if not last_event_id:
        return after
    if last_event_id.isascii() and last_event_id.isdecimal() and int(last_event_id) <= MOST_ID:
        return int(last_event_id)
    raise Invalid("Last-Event-ID is not the id of an event", fix="send the id of the last event")


@router.get("/events/stream", summary="What happens, live", response_class=EventStream)
async def stream_events(
    billow: Viewed, begin: Annotated[int | None, Depends(_begin)]
) -> EventStream:
    """Send each event as it happens, under its id.

    A client that comes back with `Last-Event-ID` (or `after`) gets what it missed. When that
    history is gone, a `resync` event says so: read the state again, then listen on.
    """
    return EventStream(kept_alive(_happening(billow, begin)))


async def _happening(billow: Billow, begin: int | None) -> AsyncIterator[bytes]:
    """Yield what happens after an event, as lines of the stream; None begins with what is new."""
    newest = await _newest(billow)
    start = newest if begin is None else begin
    if start and not await _is_known(billow, start):
        data = json.dumps({"last": newest})
        yield format_sse_event(event="resync", id=str(newest), data_str=data)
        start = newest
    async for event in billow.follow(start):
        data = json.dumps(event_document(event))
        yield format_sse_event(event=event.kind, id=str(event.id), data_str=data)


async def _newest(billow: Billow) -> int:
    events = await billow.events(limit=1, newest=True)
    return events[0].id if events else 0


async def _is_known(billow: Billow, event_id: int) -> bool:
    """Return whether an event is still kept, so that nothing after it is missing either."""
    events = await billow.events(after=event_id - 1, limit=1)
    return bool(events) and events[0].id == event_id
