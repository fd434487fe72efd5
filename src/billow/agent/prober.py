# SPDX-License-Identifier: Apache-2.0
"""The prober: looks for faults, each probe in a thread of its own, and tells the speaker.

It may hang, start programs and touch disks: that is why it is a process apart from the beats. It
must not decide anything; it says what it sees.
"""

import json
import socket
import threading
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final

from billow.agent.canary import Canary
from billow.agent.clock import now, wall
from billow.agent.findings import Progress
from billow.agent.options import Options
from billow.agent.probes.probe import Probe
from billow.agent.probes.register import probes_for
from billow.agent.threads import begin
from billow.model.ha.evidence import Hardware, Symptom

LOOK_EVERY_S: Final = 0.5
AGAIN_S: Final = 2.0
"""Everything is said again so often, for a speaker that was begun anew."""
SLACK_S: Final = 30.0
"""A probe that has not come back so long after its time hangs."""


class Running:
    """A probe in its thread."""

    def __init__(self, probe: Probe, ring: threading.Event) -> None:
        self.probe = probe
        self.found: tuple[Symptom, ...] = ()
        self.came_back_at = now()
        self._ring = ring

    def start(self) -> None:
        """Begin."""
        begin(self.probe.name, self._run)

    def _run(self) -> None:
        while True:
            try:
                found = tuple(self.probe.look(wall()))
            except OSError as error:
                text = f"the probe cannot look: {error}"
                found = (Symptom("agent", self.probe.name, Hardware.SOUND, text, 0.0),)
            found = kept(self.found, found)
            changed, self.found, self.came_back_at = found != self.found, found, now()
            if changed:
                self._ring.set()
            if self.probe.period_s:
                threading.Event().wait(self.probe.period_s)

    @property
    def progress(self) -> Progress:
        """When it last came back."""
        text = f"the probe of {self.probe.name} hangs"
        limit_s = self.probe.period_s + SLACK_S
        grade = Hardware.PREDICTED
        return Progress("agent", self.probe.name, self.came_back_at, limit_s, grade, text)


class Prober:
    """All probes and canaries of a host."""

    def __init__(self, options: Options, speaker: socket.socket) -> None:
        self._speaker = speaker
        self._ring = threading.Event()
        self._running = [Running(each, self._ring) for each in probes_for(options)]
        self._canaries = [Canary(place, options.host, options.window_s) for place in options.places]
        self._told: tuple[Symptom, ...] = ()
        self._told_at = 0.0
        self._gasped = ""

    def run(self) -> None:
        """Look for ever."""
        for running in self._running:
            running.start()
        for canary in self._canaries:
            canary.start()
        while True:
            self._ring.wait(LOOK_EVERY_S)
            self._ring.clear()
            self.tell()

    def tell(self) -> None:
        """Tell the speaker what is new, or all of it at times."""
        found = tuple(self._found())
        again = now() - self._told_at >= AGAIN_S
        failed = found != self._told
        if not (failed or again or self._canaries):
            return
        self._told, self._told_at = found, now() if again or failed else self._told_at
        body: dict[str, object] = {"progress": [asdict(each) for each in self._progress(again)]}
        if failed or again:
            body["symptoms"] = [asdict(each) for each in found]
        if text := gasp(found, self._gasped):
            body["gasp"] = self._gasped = text
        self._send(body)

    def _send(self, body: dict[str, object]) -> None:
        try:
            self._speaker.send(json.dumps(body).encode(), socket.MSG_DONTWAIT)
        except (BlockingIOError, ConnectionError):
            self._told_at = 0.0  # the speaker is begun anew: say all of it again

    def _found(self) -> Iterable[Symptom]:
        for running in self._running:
            yield from (each for each in running.found if each.grade is not Hardware.SOUND)
        for canary in self._canaries:
            if symptom := canary.symptom:
                yield symptom

    def _progress(self, again: bool) -> Iterable[Progress]:  # noqa: FBT001 (private)
        yield from (each.progress for each in self._canaries)
        if again:
            yield from (each.progress for each in self._running if each.probe.period_s)
            for running in self._running:
                yield from running.probe.progress()


def kept(before: Iterable[Symptom], found: tuple[Symptom, ...]) -> tuple[Symptom, ...]:
    """Return the symptoms with the beginning of those that were there before."""
    begun = {(each.probe, each.subject, each.grade): each for each in before}

    def old(each: Symptom) -> Symptom:
        known = begun.get((each.probe, each.subject, each.grade))
        return known if known and known.network is each.network else each

    return tuple(map(old, found))


def gasp(found: Iterable[Symptom], told: str) -> str:
    """Return the text of a fatal finding that was not told yet; empty for none."""
    fatal = [each.text for each in found if each.grade is Hardware.FATAL]
    return fatal[0] if fatal and fatal[0] != told else ""
