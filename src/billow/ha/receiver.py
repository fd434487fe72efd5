# SPDX-License-Identifier: Apache-2.0
"""The controller's ear: every agent's lines, in a thread with an event loop of its own.

Beats go into the matrix, every fifth is acknowledged, orders go out and answers come back. A bad
frame costs its line and nothing else. An agent's process that ends while its host's kernel lives is
told at once, and the host's kernel is then asked itself, so that nobody takes it for dead.

Who is acknowledged keeps its watchdog quiet, so nobody is unless the other controllers can know of
it: while this controller's view is published, not older than VIEW_S, and hears the host somewhere.
"""

import contextlib
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import structlog

from billow.errors import BillowError, Invalid
from billow.ha.doors import Door, Doors
from billow.ha.errands import Errands
from billow.ha.event import Event, Kind
from billow.ha.kernels import Kernels
from billow.ha.lines import Line, Listening, Stage, accepted
from billow.ha.matrix import Matrix
from billow.ha.orders import Answers
from billow.ha.speech import Speech
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.wire import HEADER_BYTES, Frame, Message, plain_beat

LOOK_S: Final = 0.05
"""So often it is seen who is missed."""
_LATE_S: Final = 0.2
"""A look later by more than this was held up, perhaps with the whole machine, and beats were lost;
after less they lie in the lines, and are read before anybody is judged."""
_ACK_EVERY: Final = 5
_STRANGERS_S: Final = 5.0
"""A line must be proved and greeted after so long."""
_MOST_STRANGERS: Final = 8192
_SHAKING_S: Final = 0.01
"""Handshakes take at most so long of a round, so that beats do not wait for them."""
_ACK: Final = int(Frame.ACK)
_NETWORK_AT: Final = 1
"""The byte of a frame that says its network."""
_MOST_READ: Final = 1 << 16

log = structlog.get_logger()


class Receiver:
    """The ear. `start` it once; any thread may call what is public."""

    def __init__(
        self,
        terms: Listening,
        matrix: Matrix,
        answers: Answers,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what to hear with; `wake` is called in the ear's thread when there is an event."""
        self._terms, self._matrix, self._wake = terms, matrix, wake
        self._proving = terms.proving
        self._epoll = select.epoll()
        self._doors = Doors()
        self._lines: dict[int, Line] = {}
        self._strangers: dict[int, Door] = {}
        self._by_cell: dict[int, Line] = {}
        self._kernels = Kernels(self._epoll, terms.probe_port)
        self._speech = Speech(matrix)
        self._answers = answers
        self._orders = 0
        self._revoked: frozenset[int] = frozenset()
        self._ack_until, self._ackable = 0.0, frozenset[int]()
        self._events: deque[Event] = deque(maxlen=10_000)
        self._errands = Errands()
        self._epoll.register(self._errands.bell, select.EPOLLIN)
        self._buffer = bytearray(_MOST_READ)
        self._read = memoryview(self._buffer)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="billow-ear", daemon=True)

    # What others ask of it

    def start(self) -> None:
        """Listen, and begin to hear. Raises Unavailable when an address cannot be had."""
        self._doors.open(self._terms.places)
        for handle in self._doors:
            self._epoll.register(handle, select.EPOLLIN)
        self._thread.start()

    def stop(self) -> None:
        """End every line, and the thread."""
        self._errands.put(partial(setattr, self, "_stopping", True))
        if self._thread.ident is not None:
            self._thread.join()
        self._kernels.close()
        for line in self._lines.values():
            line.socket.close()
        self._doors.close()
        self._lines.clear()
        self._epoll.close()
        self._errands.close()

    def ports(self) -> Mapping[Network, int]:
        """Return the ports on which it listens."""
        return self._doors.ports()

    def expect(self, hosts: Iterable[str]) -> None:
        """Watch these hosts, and no others, from now on."""
        self._errands.put(partial(self._matrix.expect, tuple(hosts)))

    def acknowledge(self, hosts: Iterable[str], until: float) -> None:
        """Acknowledge these hosts' beats, and no others', until an instant of the monotonic clock.

        Only on the strength of a view that the other controllers can read (`Views`).
        """
        self._errands.put(partial(self._may_acknowledge, tuple(hosts), until))

    def revoke(self, serials: Iterable[int]) -> None:
        """Believe these certificates no more, whoever shows them, from now on."""
        self._errands.put(partial(self._revoke, frozenset(serials)))

    def prove(self, proving: ssl.SSLContext) -> None:
        """Prove this controller with other papers to those who come from now on."""
        self._proving = proving

    def events(self) -> tuple[Event, ...]:
        """Return what was noticed since this was asked last, oldest first."""
        events: list[Event] = []
        with contextlib.suppress(IndexError):
            while True:
                events.append(self._events.popleft())
        return tuple(events)

    def post(self, host: str, network: Network, body: dict[str, object]) -> None:
        """Send an order, with its `id`; what becomes of it goes to the answers."""
        self._errands.put(partial(self._order, host, network, body))

    # The thread

    def _run(self) -> None:
        due = time.monotonic() + LOOK_S
        while not self._stopping:
            wait = max(due - time.monotonic(), 0.0)
            ready = self._epoll.poll(wait, len(self._lines) + 256)
            now = time.monotonic()
            self._hear(ready, now)
            if now >= due:
                self._look(now, now - due)
                due = now + LOOK_S

    def _look(self, now: float, late_s: float) -> None:
        """See who is missed; everything that lay in the lines before `now` was read."""
        if late_s > _LATE_S:
            self._matrix.stalled(late_s)
        for event in self._matrix.look(now):
            self._doubt(event, now)
            self._tell(event)
        self._kernels.look(now)
        for handle in tuple(self._strangers):
            line = self._lines[handle]
            if now - line.opened_at > _STRANGERS_S:
                self._close(line)

    def _doubt(self, event: Event, now: float) -> None:
        """Ask the kernel of a host that fell silent, until it is heard again."""
        cell = self._cell(event.host, event.network)
        line = self._by_cell.get(cell)
        if event.kind is Kind.MISSED and line is not None:
            self._kernels.watch(cell, self._ways(line), now, counts=False)
        elif event.kind is Kind.BACK and line is not None:
            self._kernels.forget(cell)

    def _cell(self, host: str, network: Network) -> int:
        return self._matrix.row(host) * len(NETWORKS) + NETWORKS.index(network)

    def _hear(self, ready: list[tuple[int, int]], now: float) -> None:
        """Read what has come: lines that stand first, then whoever comes anew."""
        others = []
        for handle, events in ready:
            line = self._lines.get(handle)
            if line is None or line.stage is not Stage.OPEN:
                others.append(handle)
                continue
            self._serve(line, events)
        for handle in others:
            if time.monotonic() - now > _SHAKING_S and handle != self._errands.bell:
                continue  # in the next round: it is still ready then
            self._hear_other(handle)

    def _serve(self, line: Line, events: int) -> None:
        """Read and write what a line can; whatever goes wrong costs this line alone."""
        try:
            if events & select.EPOLLOUT:
                self._flush(line)
            if events & ~select.EPOLLOUT:
                self._hear_line(line)
        except OSError as error:
            self._lost(line, error)
        except BillowError as error:
            log.warning("a line is closed", host=line.host, network=line.network, why=error.brief)
            self._close(line)
        except Exception:
            log.exception("unexpected error on a line", host=line.host, network=line.network)
            self._close(line)

    def _hear_line(self, line: Line) -> None:
        """Read one record of a line. Raises OSError, Invalid."""
        try:
            count = line.socket.recv_into(self._buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        if not count:
            raise ConnectionResetError("it was closed")
        if line.stage is Stage.GREETING:
            self._place(line, count)
        elif count == HEADER_BYTES and not line.inbox:
            number = plain_beat(self._buffer, line.place)
            if number > line.number:
                line.number = number
                self._beat(line)
                return
        for message in line.read(self._read[:count]):
            self._take(line, message)

    def _place(self, line: Line, count: int) -> None:
        """Let a line be of the network that its first frame names, of those of its door."""
        door = self._strangers[line.socket.fileno()]
        if count > _NETWORK_AT and not line.inbox and self._buffer[_NETWORK_AT] in door.places:
            line.place = self._buffer[_NETWORK_AT]

    def _beat(self, line: Line) -> None:
        """Count a beat whose header is at the front of the buffer. Raises OSError, Invalid."""
        cell, matrix = line.cell, self._matrix
        now = time.monotonic()
        matrix.heard[cell] = now
        matrix.beats[cell] += 1
        line.unacked += 1
        if line.unacked >= _ACK_EVERY and not line.outbox and self._may_ack(line, now):
            line.unacked = 0
            self._buffer[0] = _ACK
            line.outbox += self._buffer[:HEADER_BYTES]
            self._flush(line)

    def _may_ack(self, line: Line, now: float) -> bool:
        return now < self._ack_until and line.row in self._ackable

    def _flush(self, line: Line) -> None:
        """Send what waits on a line, and wait for what it needs next. Raises OSError."""
        before = line.wanted
        line.flush()
        if line.wanted != before:
            self._epoll.modify(line.socket.fileno(), line.wanted)

    def _take(self, line: Line, message: Message) -> None:
        """Take a frame that is no plain beat. Raises OSError, Invalid."""
        if line.stage is Stage.GREETING and message.kind is not Frame.HELLO:
            raise Invalid("its first frame is no greeting")
        speech, at = self._speech, (line.row, line.network)
        match message.kind:
            case Frame.HELLO:
                self._greet(line, message)
            case Frame.BEAT:
                self._buffer[:HEADER_BYTES] = message.stamped(Frame.ACK)
                self._beat(line)
                self._tell(*speech.said(*at, message.body))
            case Frame.ANSWER:
                self._answers.answer(line.host, message.body)
            case Frame.GASP:
                self._tell(*speech.gasped(*at, message.body))
            case Frame.BYE:
                line.parted = True
                self._tell(speech.event(Kind.LEFT, *at))
            case _:
                raise Invalid(f"an agent does not send {message.kind.name}")

    def _greet(self, line: Line, message: Message) -> None:
        """Take in who has come; of two lines of a host on a network the newer counts."""
        if message.body.get("host", line.host) != line.host:
            raise Invalid(f"it says that it is {message.body['host']}")
        line.row = self._matrix.row(line.host)
        line.cell = line.row * len(NETWORKS) + line.place
        old = self._by_cell.get(line.cell)
        self._by_cell[line.cell] = line
        if old is not None and old is not line:
            self._close(old)
        self._kernels.forget(line.cell)
        self._strangers.pop(line.socket.fileno(), None)
        line.stage = Stage.OPEN
        self._matrix.came(line.cell, time.monotonic())
        self._tell(*self._speech.greeted(line.row, line.network, message.body))

    # Lines come and go

    def _hear_other(self, handle: int) -> None:
        if handle == self._errands.bell:
            self._errands.run()
        elif (door := self._doors.get(handle)) is not None:
            self._accept(door)
        elif (line := self._lines.get(handle)) is None:
            if (answer := self._kernels.answered(handle, time.monotonic())) is not None:
                self._matrix.answers(*answer)
        elif line.stage is Stage.SHAKING:
            self._shake(line)
        else:
            self._serve(line, select.EPOLLIN)

    def _accept(self, door: Door) -> None:
        """Let somebody in, whoever it is, unless too many wait already."""
        crowded = len(self._strangers) >= _MOST_STRANGERS
        line = accepted(door.socket, door.places[0], None if crowded else self._proving)
        if line is not None:
            handle = line.socket.fileno()
            self._lines[handle] = line
            self._strangers[handle] = door
            self._epoll.register(handle, select.EPOLLIN)

    def _shake(self, line: Line) -> None:
        """Go on with a handshake; who is not believed is closed."""
        before = line.wanted
        try:
            if line.shake() and line.serial in self._revoked:
                raise Invalid("its certificate was revoked")
            if line.wanted != before:
                self._epoll.modify(line.socket.fileno(), line.wanted)
        except (OSError, BillowError) as error:
            why = error.brief if isinstance(error, BillowError) else str(error)
            log.warning("a line was refused", address=line.address, host=line.host, why=why)
            self._close(line)

    def _lost(self, line: Line, error: OSError) -> None:
        """Forget a line that broke; its end by the host's kernel shows that the kernel lives."""
        ended = isinstance(error, ConnectionResetError | BrokenPipeError | ssl.SSLEOFError)
        current = self._by_cell.get(line.cell) is line
        self._close(line)
        if not (ended and current):
            return
        self._kernels.watch(line.cell, self._ways(line), time.monotonic(), counts=True)
        self._matrix.answers(line.cell, True)
        self._matrix.unclean(line.row)
        if not line.parted:
            self._tell(self._speech.event(Kind.DIED, line.row, line.network))

    def _ways(self, line: Line) -> tuple[str, str]:
        """Return a host's address, and this controller's on the same network."""
        return line.address, self._doors.address(line.place)

    def _close(self, line: Line) -> None:
        handle = line.socket.fileno()
        if self._lines.pop(handle, None) is None:
            return
        self._strangers.pop(handle, None)
        if self._by_cell.get(line.cell) is line:
            del self._by_cell[line.cell]
        with contextlib.suppress(OSError):
            self._epoll.unregister(handle)
        line.socket.close()

    # Commands of other threads, in this one

    def _may_acknowledge(self, hosts: tuple[str, ...], until: float) -> None:
        self._ackable = frozenset(map(self._matrix.row, hosts))
        self._ack_until = until

    def _revoke(self, serials: frozenset[int]) -> None:
        self._revoked = serials
        for line in tuple(self._lines.values()):
            if line.serial in serials:
                log.warning("a line is closed", host=line.host, why="its certificate was revoked")
                self._close(line)

    def _order(self, host: str, network: Network, body: dict[str, object]) -> None:
        line = self._by_cell.get(self._cell(host, network))
        if line is None:
            self._answers.fail(host, str(body["id"]), f"has no line on the {network} network")
            return
        self._orders += 1
        message = Message(Frame.ORDER, network, self._orders, time.monotonic(), body)
        try:
            line.post(message)
            self._flush(line)
        except Invalid as error:
            self._answers.fail(host, str(body["id"]), f"cannot be told: {error.brief}")
        except OSError as error:
            self._lost(line, error)

    def _tell(self, *events: Event) -> None:
        if events:
            self._events.extend(events)
            self._wake()
