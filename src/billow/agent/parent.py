# SPDX-License-Identifier: Apache-2.0
"""The parent: begins the speaker and the prober, again when they die, and feeds the watchdog.

It holds the watchdog so that an agent that dies costs no instance: the next one goes on while the
food lasts. It must stay tiny: no lines, no threads, no files but the watchdog.
"""

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from billow.agent.board import Board
from billow.agent.clock import now
from billow.agent.options import Options
from billow.agent.talk import say
from billow.agent.watchdog import Watchdog, opened
from billow.errors import Unavailable

ROUND_S: Final = 0.25
SOON_S: Final = 0.05
AGAIN_S: Final = (0.05, 2.0)
"""Before a child that died is begun anew: at first, and at most when it dies again and again."""
HANGS_S: Final = 5.0
"""A speaker that does not go round its loop for so long is ended and begun anew."""
LIVED_S: Final = 2.0
"""One that lived for so long is begun anew at once."""
ENDED: Final = (signal.SIGTERM, signal.SIGINT)


class Child:
    """A process that is begun anew whenever it ends."""

    def __init__(self, role: str, arguments: Sequence[str], handle: int) -> None:
        self._command = [
            *(sys.executable, "-m", "billow.agent", *arguments),
            *("--role", role, "--handle", str(handle)),
        ]
        self._handle = handle
        self.role = role
        self.process: subprocess.Popen[bytes] | None = None
        self._began_at = 0.0
        self._due_at = 0.0
        self._pause_s = AGAIN_S[0]

    def tend(self, moment: float) -> None:
        """Begin it when it does not run."""
        if self.process is not None:
            if self.process.poll() is None:
                return
            self._ended(moment, self.process.returncode)
        if moment >= self._due_at:
            self.process = subprocess.Popen(self._command, pass_fds=[self._handle])  # noqa: S603
            self._began_at = moment

    def _ended(self, moment: float, code: int) -> None:
        say(f"the {self.role} ended ({code}); again")
        lived = moment - self._began_at > LIVED_S
        self._pause_s = AGAIN_S[0] if lived else min(2 * self._pause_s, AGAIN_S[1])
        self._due_at, self.process = moment + self._pause_s, None

    def age_s(self, moment: float) -> float:
        """Return how long it runs; 0 when it does not."""
        return moment - self._began_at if self.process else 0.0

    def end(self, number: int) -> None:
        """Send it a signal, when it runs."""
        if self.process is not None:
            self.process.send_signal(number)


class Parent:
    """The process that stays."""

    def __init__(self, options: Options, arguments: Sequence[str]) -> None:
        self._options = options
        self._board = Board(options.state)
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._speaker = Child("speaker", arguments, self._ours.fileno())
        self._prober = Child("prober", arguments, self._theirs.fileno())
        self._watchdog: Watchdog | None = None
        self._tried_at = 0.0
        self._said = ""

    def run(self) -> int:
        """Stay until told to end; the instances run on. Returns an exit code."""
        awaited = {signal.SIGCHLD, *ENDED}
        signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
        while True:
            moment = now()
            for child in (self._speaker, self._prober):
                child.tend(moment)
            self._see_to_speaker(moment)
            self._feed()
            settled = self._speaker.process and self._prober.process
            heard = signal.sigtimedwait(awaited, ROUND_S if settled else SOON_S)
            if heard and heard.si_signo in ENDED:
                return self._end()

    def _see_to_speaker(self, moment: float) -> None:
        silent_s = moment - max(self._board.spoke_at, moment - self._speaker.age_s(moment))
        if silent_s > HANGS_S:
            self._speaker.end(signal.SIGKILL)

    def _feed(self) -> None:
        """Feed the watchdog while the lease holds; it is opened when one is armed.

        One that took no food is kept, and offered some again next time: opened anew it would be
        busy, and held by this very process.
        """
        if not self._options.watchdog or not self._holds:
            return
        try:
            watchdog = self._watchdog or self._opened()
            if watchdog is not None and self._holds:  # to open it may have taken a while
                watchdog.feed()
                self._board.fed_at = now()
        except (OSError, Unavailable) as error:
            self._say(str(error))

    @property
    def _holds(self) -> bool:
        return now() < self._board.feed_until

    def _opened(self) -> Watchdog | None:
        """Open the watchdog, once a second at most. Raises Unavailable, OSError."""
        if now() - self._tried_at < 1.0:
            return None
        self._tried_at = now()
        self._watchdog = opened(self._options)
        self._board.device_s = self._watchdog.timeout_s
        return self._watchdog

    def _say(self, text: str) -> None:
        """Say what is wrong, and not again while it stays the same."""
        if text != self._said:
            self._said = text
            say(text)

    def _end(self) -> int:
        """End the children in order. While a lease binds, the watchdog acts unless one comes."""
        for child in (self._speaker, self._prober):
            child.end(signal.SIGTERM)
        if self._speaker.process is not None:
            try:
                self._speaker.process.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                self._speaker.end(signal.SIGKILL)
        self._prober.end(signal.SIGKILL)
        return 0
