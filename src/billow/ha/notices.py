# SPDX-License-Identifier: Apache-2.0
"""Tell people what is no failure of a host, and still wants somebody: each thing once.

An agent that stays away while its kernel answers leaves its host unwatched; a guest whose QEMU does
not answer is hung, and its host is well. Neither opens an incident, for nothing may be ended or
moved for it. This module only tells.
"""

from collections.abc import Callable, Iterator
from typing import Final

from billow.ha.matrix import AGENT
from billow.model.ha.alarm import Alarm
from billow.model.ha.evidence import Symptom
from billow.model.ha.response import Severity
from billow.ports import Clock, Observer, Outbox

EVERY_S: Final = 1.0
"""How often `turn` is to be called."""
LASTS_S: Final = 10.0
"""What is over sooner is told to nobody: a guest that is snapshotted stands still, too."""
_SAME_S: Final = 60.0
"""Two controllers may have seen the same begin so far apart."""


class Notices:
    """Tells of what agents say that concerns one guest, and of agents that say nothing."""

    def __init__(
        self, observer: Observer, outbox: Outbox, clock: Clock, leads: Callable[[], bool]
    ) -> None:
        self._observer, self._outbox, self._clock = observer, outbox, clock
        self._leads = leads
        self._told: frozenset[str] = frozenset()

    async def turn(self) -> None:
        """Tell what is new. Raises what the keeper of alarms does; it is told again then."""
        if not self._leads():
            self._told = frozenset()
            return
        alarms = {each.key: each for each in self._due(self._clock.now())}
        for key in alarms.keys() - self._told:
            await self._outbox.add_alarm(alarms[key])
        self._told = frozenset(alarms)

    def _due(self, now: float) -> Iterator[Alarm]:
        for host, report in self._observer.view(now).reports.items():
            for symptom in report.symptoms:
                concerns = symptom.instance or symptom.probe == AGENT
                if concerns and now - symptom.since >= LASTS_S:
                    yield _alarm(host, symptom, now)


def _alarm(host: str, symptom: Symptom, now: float) -> Alarm:
    of = "/".join(each for each in (host, symptom.probe, symptom.instance) if each)
    who = f"{symptom.instance} on {host}" if symptom.instance else host
    return Alarm(
        key=f"notice/{of}/{int(symptom.since // _SAME_S)}",
        severity=Severity.WARNING,
        text=f"{who}: {symptom.text}",
        at=now,
        host=host,
    )
