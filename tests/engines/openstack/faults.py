# SPDX-License-Identifier: Apache-2.0
"""A transport on which one call goes wrong, as clouds let calls go wrong."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from billow.engines.openstack.transport import Answer, Request, Transport, Versions
from billow.errors import Unavailable


@dataclass(frozen=True)
class Mishap:
    """What goes wrong with a call.

    Attributes:
        status: What it answers; 0 for no answer at all.
        done: Whether it is carried out nevertheless.
        times: How many such calls in a row.
    """

    status: int
    done: bool = False
    times: int = 1

    def __str__(self) -> str:
        what = str(self.status or "silence")
        return f"{what}{'-done' if self.done else ''}{f'-x{self.times}' if self.times > 1 else ''}"


MISHAPS: Sequence[Mishap] = (
    Mishap(500),
    Mishap(500, done=True),
    Mishap(503, times=3),
    Mishap(409),
    Mishap(0),
    Mishap(0, done=True),
)


class Faulty:
    """Fulfils `transport.Transport`: the n-th change, or the n-th read, goes wrong."""

    def __init__(self, inner: Transport, mishap: Mishap, at: int, *, changes: bool) -> None:
        self._inner = inner
        self._mishap = mishap
        self._at = at
        self._changes = changes
        self.seen = 0

    @property
    def name(self) -> str:
        return self._inner.name

    def versions(self, service: str) -> Versions | None:
        return self._inner.versions(service)

    def close(self) -> None:
        self._inner.close()

    def send(self, request: Request) -> Answer:
        if (request.method != "GET") is not self._changes:
            return self._inner.send(request)
        self.seen += 1
        if not self._at <= self.seen < self._at + self._mishap.times:
            return self._inner.send(request)
        if self._mishap.done:
            self._inner.send(request)
        if not self._mishap.status:
            raise Unavailable("no answer", code="openstack-no-answer")
        said = {"error": {"message": "injected", "code": self._mishap.status}}
        return Answer(self._mishap.status, json.dumps(said).encode())
