# SPDX-License-Identifier: Apache-2.0
"""The prober: looks for faults, each probe in a thread of its own, and tells the speaker.

It may hang, start programs and touch disks: that is why it is a process apart from the beats. It
must not decide anything; it says what it sees.
"""

import json
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from billow.agent.canary import Canary
from billow.agent.clock import now, wall
from billow.agent.findings import Progress
from billow.agent.memory import runtime_folder
from billow.agent.options import Options
from billow.agent.probes.probe import Probe
from billow.agent.probes.register import all_probes
from billow.agent.report import MOST_DATAGRAM, MOST_TEXT, documents, fitted
from billow.agent.talk import say
from billow.agent.threads import begin
from billow.model.ha.evidence import Hardware, Symptom

LOOK_EVERY_S: Final = 0.5
AGAIN_S: Final = 2.0
"""Everything is said again so often, for a speaker that was begun anew."""
SEEK_EVERY_S: Final = 60.0
"""So often it is looked what has come that can be looked at: a daemon, a RAID, a module."""
BLIND: Final = "blind.json"
"""In the folder in memory: which probes cannot look, and why."""
SLACK_S: Final = 30.0
"""A probe that has not come back so long after its time hangs."""


class Running:
    """A probe in its thread."""

    def __init__(self, probe: Probe, ring: threading.Event) -> None:
        self.probe = probe
        self.found: tuple[Symptom, ...] = ()
        self.blind = ""
        """Why its last look failed; what it had found before stands. Empty when it went well."""
        self.came_back_at = now()
        self._ring = ring

    def start(self) -> None:
        """Begin."""
        begin(self.probe.name, self._run)

    def _run(self) -> None:
        while True:
            self.once()
            if wait_s := self.probe.period_s or (AGAIN_S if self.blind else 0.0):
                threading.Event().wait(wait_s)

    def once(self) -> None:
        """Look once. A look that fails is no fault of the host, and no reason to look no more."""
        try:
            found = kept(self.found, tuple(self.probe.look(wall())))
        except Exception as error:  # noqa: BLE001 (no probe may end for what it stumbles over)
            found, self.blind = self.found, named(error)
        else:
            self.blind = ""
        changed, self.found, self.came_back_at = found != self.found, found, now()
        if changed:
            self._ring.set()

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
        self._absent = list(all_probes(options))
        self._puzzled: dict[str, str] = {}
        self._sought_at = now()
        self._running: list[Running] = []
        self._canaries = [Canary(place, options.host, options.window_s) for place in options.places]
        self._state = options.state
        self._blind: dict[str, str] | None = None
        self._told: tuple[Symptom, ...] = ()
        self._told_at = 0.0
        self._gasped = ""

    def run(self) -> None:
        """Look for ever."""
        begin("seek", self._seek_for_ever)
        for canary in self._canaries:
            canary.start()
        while True:
            self._ring.wait(LOOK_EVERY_S)
            self._ring.clear()
            self.tell()
            self.admit()

    def _seek_for_ever(self) -> None:
        while True:
            self.seek()
            threading.Event().wait(SEEK_EVERY_S)

    def seek(self) -> None:
        """Begin the probes that have something to look at by now: it may come after the agent."""
        for probe in tuple(self._absent):
            if not self._lacks(probe):
                self._absent.remove(probe)
                self._running.append(Running(probe, self._ring))
                self._running[-1].start()
        self._sought_at = now()

    def _lacks(self, probe: Probe) -> bool:
        try:
            missing = probe.missing()
        except Exception as error:  # noqa: BLE001 (no probe may keep the others from beginning)
            self._puzzled[probe.name] = named(error)
            return True
        self._puzzled.pop(probe.name, None)
        return bool(missing)

    def admit(self) -> None:
        """Say which probes cannot look, and which can again; keep it for `--check`."""
        blind = {each.probe.name: each.blind for each in self._running if each.blind}
        blind |= self._puzzled.copy()
        before = self._blind or {}
        for name in sorted(blind.keys() - before.keys()):
            say(f"the probe of {name} cannot look: {blind[name]}")
        for name in sorted(before.keys() - blind.keys()):
            say(f"the probe of {name} looks again")
        if blind != self._blind:
            self._blind = blind
            with suppress(OSError):  # no room: the log has it
                file = runtime_folder(self._state) / BLIND
                file.write_text(json.dumps(blind), encoding="utf-8")

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
            body["symptoms"] = documents(found)
        if text := gasp(found, self._gasped):
            self._gasped = text
            body["gasp"] = text[:MOST_TEXT]
        self._send(body)

    def _send(self, body: dict[str, object]) -> None:
        try:
            self._speaker.send(fitted(body, MOST_DATAGRAM), socket.MSG_DONTWAIT)
        except OSError:  # the speaker is begun anew, or the kernel has no room: say all of it again
            self._told_at = 0.0

    def _found(self) -> Iterable[Symptom]:
        for running in self._running:
            yield from (each for each in running.found if each.grade is not Hardware.SOUND)
        for canary in self._canaries:
            if symptom := canary.symptom:
                yield symptom

    @property
    def _sought(self) -> Progress:
        """When it was last looked what there is to look at."""
        text = "the search for what can be looked at hangs"
        limit_s = SEEK_EVERY_S + SLACK_S
        return Progress("agent", "probes", self._sought_at, limit_s, Hardware.PREDICTED, text)

    def _progress(self, again: bool) -> Iterable[Progress]:  # noqa: FBT001 (private)
        yield from (each.progress for each in self._canaries)
        if again:
            yield self._sought
            yield from (each.progress for each in self._running if each.probe.period_s)
            for running in self._running:
                yield from running.probe.progress()


def named(error: Exception) -> str:
    """Return what went wrong, in one line."""
    text = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:MOST_TEXT]


def blind_probes(state: Path) -> dict[str, str]:
    """Return which probes of the agent with a state folder cannot look, and why. Does I/O."""
    with suppress(OSError, ValueError):
        text = (runtime_folder(state) / BLIND).read_text(encoding="utf-8")
        return {str(name): str(why) for name, why in json.loads(text).items()}
    return {}


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
