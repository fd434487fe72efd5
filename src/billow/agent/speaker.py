# SPDX-License-Identifier: Apache-2.0
"""The speaker: beats on every line, what changed with them, orders obeyed, guests watched.

One thread round one epoll. Nothing here touches a disk, starts a process or waits for anybody: what
may hang is done by the prober or by a thread, and comes in by a datagram or a queue.
"""

import json
import os
import select
import socket
import ssl
from typing import Final

from billow import __version__
from billow.agent.census import Census
from billow.agent.clock import now, wall
from billow.agent.findings import Findings
from billow.agent.guests import Guest, counted
from billow.agent.line import Line, Route, State
from billow.agent.memory import Memory
from billow.agent.options import Options
from billow.agent.orders import Obedience, Order
from billow.agent.peers import Answering
from billow.agent.promise import Promise
from billow.agent.renewal import Renewal
from billow.agent.report import Report, matrix
from billow.model.ha.evidence import NETWORKS
from billow.model.ha.wire import Frame, Message, packed

GATHER_S: Final = 0.004
"""Answers come in a bunch: after the first the others are waited for, and read in one go."""
SERVED_BEATS: Final = 10
"""A path is served while its last acknowledged send is younger: every fifth is answered."""
RENEW_EVERY_S: Final = 1.0
UNSERVED_EVERY_S: Final = 1.0
_DATAGRAM: Final = 200_000


class Speaker:
    """The loop."""

    def __init__(self, options: Options, context: ssl.SSLContext, prober: socket.socket) -> None:
        self.options = options
        self.lines = [Line(route, context) for route in routes(options)]
        self.guests: dict[int, Guest] = {}
        self.report = Report()
        self.memory = Memory(options.state, options.boot)
        self.promise = Promise(options, self.memory, context)
        self.answering = Answering(options, self.memory)
        self.renewal = Renewal(options.state)
        others = {
            "arm": self.promise.arm,
            "disarm": self.promise.disarm,
            "refuse": self.answering.refuse,
            "papers": self.renewal.take,
        }
        net = counted(own_namespace=options.own_namespace)
        self.obedience = Obedience(self.memory, self.guests, others, net)
        self.findings = Findings(options)
        self._prober = prober
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.census = Census(lambda: os.eventfd_write(self._bell, 1), net)
        self._epoll = select.epoll()
        self._by_socket: dict[int, Line] = {}
        self._wanted: dict[int, int] = {}
        self._by_pidfd: dict[int, Guest] = {}
        self._answers_over: dict[str, Line] = {}
        self._next = now()
        self._matrix_at = 0.0
        self._ending = False

    def run(self) -> None:
        """Beat until told to end."""
        self._prober.setblocking(False)
        for source in (self._bell, self._prober.fileno()):
            self._epoll.register(source, select.EPOLLIN)
        self.census.hurry(fenced=self.memory.obeyed.fenced)
        self.census.start()
        self.answering.start()
        self.report.put("guests", [])
        self._next = now()
        while not self._ending:
            self._round()
        self._say_bye()

    def end(self) -> None:
        """End after this time round."""
        self._ending = True

    def _round(self) -> None:
        """Wait for the next beat or for what comes before it, and see to it."""
        wait_s = max(0.0, self._next - now())
        if self.obedience.busy:
            wait_s = min(wait_s, 0.02)
        events = self._epoll.poll(wait_s)
        if events and not any(each in self._by_pidfd for each, _ in events):
            select.select([], [], [], GATHER_S)
            events = self._epoll.poll(0)
        for number, mask in events:
            self._event(number, mask)
        if self.obedience.busy:
            self._send_answers()
        if now() >= self._next:
            self._tick()

    def _event(self, number: int, mask: int) -> None:
        if line := self._by_socket.get(number):
            self._on_line(line, mask)
        elif guest := self._by_pidfd.get(number):
            self._guest_ended(guest)
        elif number == self._bell:
            os.eventfd_read(self._bell)
            self._guests_came()
        else:
            self._found()

    # --- lines --------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Beat on every line that is up, and begin those that are due."""
        moment = now()
        self.findings.late(moment - self._next)
        self._next = max(self._next + self.options.beat_s, moment)
        self._acknowledged(moment)
        self.report.forget(wall())
        self.report.put("progress", self.findings.progress(moment))
        self.report.symptoms(self.findings.symptoms(moment, wall()))
        for line in self.lines:
            self._tend(line)
        if self.obedience.changed:
            self._changed()
        if context := self.renewal.taken():
            self._renew(context)

    def _changed(self) -> None:
        """Tell what a HELLO tells anew."""
        self.obedience.changed = False
        self.census.hurry(fenced=self.memory.obeyed.fenced)
        self._greet(self.lines)

    def _renew(self, context: ssl.SSLContext) -> None:
        """Show new papers: at once where a line is down, and where it is up one after the other."""
        for place, line in enumerate(self.lines):
            line.renew(context, now() + place * RENEW_EVERY_S)
        self.promise.renew(context)
        self.answering.renew()

    def _tend(self, line: Line) -> None:
        moment = now()
        if line.outdated(moment):
            line.close("new papers", moment)
        if line.state is State.UP:
            line.beat(moment, self.report.body(line.seen))
        elif line.overdue(moment):
            line.close("it did not come up in time", moment)
        elif line.due(moment):
            line.begin(moment)
        self._registered(line)

    def _registered(self, line: Line) -> None:
        """Have the epoll wait for what a line waits for; a closed socket has left it by itself."""
        number = line.fileno()
        for old in [each for each, held in self._by_socket.items() if held is line]:
            if old != number:
                del self._by_socket[old]
        if number < 0:
            return
        wanted = line.wants()
        if number not in self._by_socket:
            self._epoll.register(number, wanted)
        elif wanted != self._wanted.get(number):
            self._epoll.modify(number, wanted)
        self._by_socket[number], self._wanted[number] = line, wanted

    def _on_line(self, line: Line, mask: int) -> None:
        moment = now()
        if line.state is not State.UP:
            if line.open(moment):
                self._greet([line])
                line.beat(now(), self.report.body(line.seen))
        else:
            for message in line.receive(moment):
                self._heard(line, message)
            if mask & select.EPOLLOUT:
                line.flush(moment)
        self._registered(line)

    def _greet(self, lines: list[Line]) -> None:
        obeyed = self.memory.obeyed
        body = packed(
            {
                "host": self.options.host,
                "boot": self.options.boot,
                "machine": self.options.machine,
                "pools": [each.name for each in self.options.places if each.shared],
                "lease_s": obeyed.lease_s,
                "lease_possible_s": self.promise.possible_s,
                "peers": sorted(obeyed.peers),
                "asked_at": self.options.asked_at,
                "version": __version__,
                "fence": obeyed.fence,
                "quarantined": not obeyed.clean,
                "fenced": obeyed.fenced,
            }
        )
        for line in lines:
            line.send(Frame.HELLO, now(), body)

    def _acknowledged(self, moment: float) -> None:
        """State how long ago a send was acknowledged, where that has become another thing."""
        acked_at = max((line.acked_at for line in self.lines), default=0.0)
        self.promise.keep(acked_at)
        self.answering.served_at = acked_at
        limit_s = SERVED_BEATS * self.options.beat_s
        served = [moment - line.acked_at <= limit_s for line in self.lines]
        changed = self.findings.served(served)
        again = not all(served) and moment - self._matrix_at >= UNSERVED_EVERY_S
        if changed or again:
            self._matrix_at = moment
            ages = (
                (line.controller, line.route.network.value, _age(line, moment))
                for line in self.lines
            )
            self.report.put("acked", matrix(ages))

    def _say_bye(self) -> None:
        for line in self.lines:
            line.send(Frame.BYE, now())
            line.close("ended in order", now())

    # --- orders -------------------------------------------------------------------------------

    def _heard(self, line: Line, message: Message) -> None:
        if message.kind is not Frame.ORDER:
            return
        name = str(message.body.get("id", ""))
        self._answers_over[name] = line
        if answer := self.obedience.take(message.body, now()):
            self._answer(name, answer)

    def _send_answers(self) -> None:
        for name, answer in self.obedience.advance(now()).items():
            self._answer(name, answer)

    def _answer(self, name: str, answer: Order) -> None:
        """Answer over the line on which it was asked, and over its controller's others."""
        asked = self._answers_over.pop(name, None)
        if self.obedience.changed:
            self._changed()
        for line in self.lines:
            if asked is None or line.controller == asked.controller:
                line.send(Frame.ANSWER, now(), packed(answer))

    # --- guests and findings ------------------------------------------------------------------

    def _guests_came(self) -> None:
        while self.census.found:
            guest = self.census.found.popleft()
            self.guests[guest.pid] = guest
            self._by_pidfd[guest.pidfd] = guest
            self._epoll.register(guest.pidfd, select.EPOLLIN)
            self.obedience.came(guest)
        self._list_guests()

    def _guest_ended(self, guest: Guest) -> None:
        """Tell at once that a guest has ended, on every line."""
        self._epoll.unregister(guest.pidfd)
        del self._by_pidfd[guest.pidfd]
        self.guests.pop(guest.pid, None)
        guest.release()
        self.obedience.ended(guest)
        if guest.instance:
            self.report.died(guest.instance, wall(), f"process {guest.pid} ended")
        self._list_guests()
        for line in self.lines:
            if line.state is State.UP:
                self._tend(line)

    def _list_guests(self) -> None:
        names = {each.instance for each in self.guests.values() if each.instance}
        self.report.put("guests", sorted(names))

    def _found(self) -> None:
        """Take what the prober says; a gasp goes out at once."""
        while True:
            try:
                data = self._prober.recv(_DATAGRAM)
            except (BlockingIOError, ConnectionError):
                return
            if not data:
                return
            found = json.loads(data)
            if text := self.findings.take(found, now()):
                for line in self.lines:
                    line.send(Frame.GASP, now(), packed({"text": text}))


def routes(options: Options) -> list[Route]:
    """Return one route for each controller and network on which both have an address."""
    return [
        Route(name, network, options.local[network], addresses[network])
        for name, addresses in options.controllers.items()
        for network in NETWORKS
        if network in options.local and network in addresses
    ]


def _age(line: Line, moment: float) -> float:
    return moment - line.acked_at if line.acked_at else -1.0
