# SPDX-License-Identifier: Apache-2.0
"""Ask the kernels of hosts whose agent is silent whether they live: by a connection to them.

A kernel that refuses it lives, as does one that takes it. Where the agent's process ended (its line
was reset or closed, which a kernel does) the host counts as heard by that, so that an agent that is
restarted, or cannot be, never makes its host look dead. Where the agent fell silent it does not
count, for a host may be one whose kernel alone still answers; others may wait a little for it.
Nothing here waits; the receiver's event loop drives it.
"""

import contextlib
import errno
import select
import socket
from dataclasses import dataclass
from typing import Final

EVERY_S: Final = 0.3
"""So often each is asked."""
_AT_ONCE: Final = 64
"""So many are asked in one look; those that are not reached in time are missed."""
_GIVEN_UP_S: Final = 10.0
"""Who has not answered for so long is asked no more: its agent has to come by itself."""
_CONNECTING: Final = {0, errno.EINPROGRESS}


@dataclass(slots=True)
class _Asked:
    """A kernel that is asked, and its open question."""

    address: tuple[str, int]
    source: str
    due: float
    lived_at: float
    counts: bool
    question: socket.socket | None = None


class Kernels:
    """Kernels that are asked, by their cell of the matrix."""

    def __init__(self, epoll: select.epoll, port: int) -> None:
        self._epoll, self._port = epoll, port
        self._asked: dict[int, _Asked] = {}
        self._cells: dict[int, int] = {}

    def watch(self, cell: int, ways: tuple[str, str], now: float, *, counts: bool) -> None:
        """Ask a kernel from now on.

        Args:
            cell: Of the matrix.
            ways: The host's address and the one of this controller on the same network.
            now: Seconds of the monotonic clock.
            counts: Whether its answer is to count as if its agent had been heard.
        """
        self.forget(cell)
        self._asked[cell] = _Asked((ways[0], self._port), ways[1], now, now, counts)

    def forget(self, cell: int) -> None:
        """Ask no more: its agent is there again."""
        if (asked := self._asked.pop(cell, None)) is not None:
            self._end(asked)

    def look(self, now: float) -> None:
        """Ask those whose turn it is."""
        due = [(cell, each) for cell, each in self._asked.items() if each.due <= now]
        for cell, asked in due[:_AT_ONCE]:
            if now - asked.lived_at > _GIVEN_UP_S:
                self.forget(cell)
                continue
            asked.due = now + EVERY_S
            self._end(asked)
            self._ask(cell, asked)

    def _ask(self, cell: int, asked: _Asked) -> None:
        family = socket.AF_INET6 if ":" in asked.address[0] else socket.AF_INET
        question = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with contextlib.suppress(OSError):
            question.bind((asked.source, 0))  # so that it goes over this network
        if question.connect_ex(asked.address) not in {*_CONNECTING, errno.ECONNREFUSED}:
            question.close()
            return
        asked.question = question
        self._cells[question.fileno()] = cell
        self._epoll.register(question.fileno(), select.EPOLLOUT)

    def answered(self, handle: int, now: float) -> tuple[int, bool] | None:
        """Return the cell whose kernel has just shown that it lives, and whether that counts."""
        cell = self._cells.get(handle)
        asked = self._asked.get(cell) if cell is not None else None
        if cell is None or asked is None or asked.question is None:
            return None
        failure = asked.question.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._end(asked)
        if failure not in {0, errno.ECONNREFUSED}:
            return None
        asked.lived_at = now
        return cell, asked.counts

    def close(self) -> None:
        """End every question."""
        for cell in list(self._asked):
            self.forget(cell)

    def _end(self, asked: _Asked) -> None:
        if asked.question is not None:
            self._cells.pop(asked.question.fileno(), None)
            with contextlib.suppress(OSError):
                self._epoll.unregister(asked.question.fileno())
            asked.question.close()
            asked.question = None
