# SPDX-License-Identifier: Apache-2.0
"""Tell management controllers which machine each host is, as its own agent says while it is well.

So a map in which two controllers were exchanged is found before it turns the wrong host off. What
an operator wrote, or was recorded once, stays; who says otherwise is told to people.
"""

from collections.abc import Callable
from typing import Final

from billow.act.acquainted import Acquainted
from billow.errors import BillowError, Invalid, NotFound
from billow.model.ha.alarm import Alarm
from billow.model.ha.response import Severity
from billow.ports import Bmc, Clock, Observer, Outbox

EVERY_S: Final = 10.0
"""How often `turn` is to be called."""


class Machines:
    """What the leading controller tells of hosts' identities, each once."""

    def __init__(
        self, observer: Observer, bmc: Bmc, outbox: Outbox, clock: Clock, leads: Callable[[], bool]
    ) -> None:
        self._observer, self._bmc, self._outbox = observer, bmc, outbox
        self._clock, self._leads = clock, leads
        self._told: dict[str, str] = {}

    async def turn(self) -> None:
        """Tell what is new. Raises what the keeper of alarms does; it is told again then."""
        if not (self._leads() and isinstance(self._bmc, Acquainted)):
            return
        now = self._clock.now()
        for host, report in self._observer.view(now).reports.items():
            new = report.machine and self._told.get(host) != report.machine
            if new and not report.quarantined:
                await self._tell(self._bmc, host, report.machine, now)
                self._told[host] = report.machine

    async def _tell(self, bmc: Acquainted, host: str, machine: str, now: float) -> None:
        try:
            await bmc.learn(host, machine)
        except (NotFound, Invalid):
            return  # it has no controller that is known, or an identity that many show
        except BillowError as error:
            text = "; ".join((error.brief, *error.details))
            alarm = Alarm(
                key=f"machine/{host}/{machine}",
                severity=Severity.WARNING,
                text=f"whom the management controller of {host} turns off is in doubt: {text}",
                at=now,
                host=host,
            )
            await self._outbox.add_alarm(alarm)
