# SPDX-License-Identifier: Apache-2.0
"""What a page is told while it is open: lines for the log, progress of steps, changes of the map.

Server-sent events, so that a browser comes back by itself and says what it has seen last. Nothing
piles up for a slow browser: each turn sends what is new since the turn before.
"""

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from billow.errors import BillowError
from billow.model.document import written
from billow.model.event import Event, EventKind
from billow.web.frame import QUIET
from billow.web.scene import difference
from billow.web.visit import Visit

LOOK_S = 1.0
"""How often a stream looks whether the pool has changed."""
KEEP_ALIVE_S = 15.0
MOST_WAITING = 1_000
"""Events that may wait for one browser; a slower one starts anew."""


async def stream(visit: Visit) -> Response:
    """Send what happens, from the event after `after` (or `Last-Event-ID`) on."""
    last = visit.request.headers.get("last-event-id", "") or visit.asked.get("after", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0
    told = Telling(visit, after, visit.asked.get("map", "")).messages()
    return StreamingResponse(
        told, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


class Telling:
    """One browser's stream."""

    def __init__(self, visit: Visit, after: int, version: str) -> None:
        self._visit = visit
        self._after = after
        self._version = version
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(MOST_WAITING)

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield messages until the browser goes or the store closes."""
        reading = asyncio.create_task(self._read(), name="console-stream")
        try:
            yield b"retry: 2000\n\n"
            quiet_s = 0.0
            while not (reading.done() and self._waiting.empty()):
                told = [message async for message in self._turn()]
                quiet_s = 0.0 if told else quiet_s + LOOK_S
                if quiet_s >= KEEP_ALIVE_S:
                    told, quiet_s = [b": still here\n\n"], 0.0
                if told:
                    yield b"".join(told)
        finally:
            reading.cancel()

    async def _read(self) -> None:
        async for event in self._visit.billow.follow(self._after):
            await self._waiting.put(event)

    async def _turn(self) -> AsyncIterator[bytes]:
        """Wait a little for events, then yield what they and the pool amount to."""
        with contextlib.suppress(TimeoutError):
            yield self._told(await asyncio.wait_for(self._waiting.get(), LOOK_S))
            while not self._waiting.empty():
                yield self._told(self._waiting.get_nowait())
        if self._version:
            with contextlib.suppress(BillowError):
                async for message in self._map():
                    yield message

    def _told(self, event: Event) -> bytes:
        if event.kind is EventKind.STEP_PROGRESS:
            flow = written(event.flow)
            body = {"run": _run_of(event), **event.data, "flow": flow}
            return message("progress", body, event.id)
        if event.kind in QUIET:
            return message("pool", {"text": event.text}, event.id)
        template = self._visit.house.templates.get_template("parts/line.html")
        html = template.render(event=event, now=self._visit.house.now())
        shown = {"id": event.id, "kind": event.kind.value, "actor": event.actor}
        return message("line", {**shown, "subjects": event.subjects, "html": html}, event.id)

    async def _map(self) -> AsyncIterator[bytes]:
        scene = await self._visit.house.forecast()
        if scene.picture.version == self._version:
            return
        old = self._visit.house.scenes.recall(self._version)
        self._version = scene.picture.version
        delta = difference(old, scene.picture) if old else None
        yield message("map", delta) if delta else message("resync", {"to": self._version})


def message(kind: str, body: dict[str, object], event_id: int = 0) -> bytes:
    """Return one server-sent event; numbers that are none become null."""
    lines = [f"id: {event_id}"] if event_id else []
    clean = {name: _known(value) for name, value in body.items()}
    lines += [f"event: {kind}", f"data: {json.dumps(clean, allow_nan=False)}", "", ""]
    return "\n".join(lines).encode()


def _known(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _run_of(event: Event) -> str:
    return next((s.partition("/")[2] for s in event.subjects if s.startswith("run/")), "")
