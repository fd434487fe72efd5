# SPDX-License-Identifier: Apache-2.0
"""Orders under way: who waits for which agent's answer. No I/O; any thread may ask.

An answer counts only from the host that was asked, whichever of its lines it came over.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from threading import Lock
from typing import Any, Protocol

from billow.errors import Unavailable
from billow.model.ha.evidence import Network

Answered = asyncio.Future[dict[str, Any]]
Post = Callable[[str, Network, dict[str, object]], None]


class Answers(Protocol):
    """Where agents' answers go."""

    def answer(self, host: str, body: Mapping[str, Any]) -> None:
        """Take an agent's answer."""

    def fail(self, host: str, order_id: str, why: str) -> None:
        """Take notice that an order was not sent."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    host: str
    loop: asyncio.AbstractEventLoop
    answered: Answered


@dataclass(slots=True)
class Waiting:
    """Who waits, by the order's id."""

    _lock: Lock = field(default_factory=Lock)
    _by_id: dict[str, list[_Waiting]] = field(default_factory=dict)

    async def ask(
        self, post: Post, host: str, network: Network, body: Mapping[str, object], answer_s: float
    ) -> dict[str, Any]:
        """Post an order and return the agent's answer; without an `id` the order gets one.

        Raises Unavailable when there is no line to the agent, or no answer in time: it may have
        obeyed then.
        """
        told = {"id": token_hex(8), **body}
        name = str(told["id"])
        answered = self._add(name, host)
        try:
            post(host, network, told)
            async with asyncio.timeout(answer_s):
                return await answered
        except TimeoutError:
            raise unreachable(host, f"did not answer in {answer_s:g} s") from None
        finally:
            self._drop(name, answered)

    def _add(self, order_id: str, host: str) -> Answered:
        """Return what will hold the answer, in the running loop; the same id may wait twice."""
        loop = asyncio.get_running_loop()
        answered: Answered = loop.create_future()
        with self._lock:
            self._by_id.setdefault(order_id, []).append(_Waiting(host, loop, answered))
        return answered

    def _drop(self, order_id: str, answered: Answered) -> None:
        """Forget who waits no more."""
        with self._lock:
            left = [each for each in self._by_id.pop(order_id, ()) if each.answered is not answered]
            if left:
                self._by_id[order_id] = left

    def answer(self, host: str, body: Mapping[str, Any]) -> None:
        """Hand an agent's answer to who waits for it."""
        self._end(host, str(body.get("id", "")), dict(body))

    def fail(self, host: str, order_id: str, why: str) -> None:
        """Tell who waits that the order was not sent."""
        self._end(host, order_id, unreachable(host, why))

    def _end(self, host: str, order_id: str, outcome: dict[str, Any] | Unavailable) -> None:
        with self._lock:
            waiting = [each for each in self._by_id.get(order_id, ()) if each.host == host]
        for each in waiting:
            if not each.loop.is_closed():
                each.loop.call_soon_threadsafe(_settle, each.answered, outcome)


def unreachable(host: str, why: str) -> Unavailable:
    """Return the error of an order that did not reach its agent, or may not have."""
    return Unavailable(
        f"the agent of {host} {why}", fix=f"see that `billow agent` runs on {host}", code="no-agent"
    )


def _settle(answered: Answered, outcome: dict[str, Any] | Unavailable) -> None:
    if answered.done():
        return
    if isinstance(outcome, Unavailable):
        answered.set_exception(outcome)
    else:
        answered.set_result(outcome)
