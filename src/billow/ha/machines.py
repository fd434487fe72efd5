# SPDX-License-Identifier: Apache-2.0
"""Tell management controllers which machine each host is, as its own agent says while it is well.

So a map in which two controllers were exchanged is found before it turns the wrong host off. What
an operator wrote, or was recorded once, stays; who says otherwise is told to people. Every
controller learns it, for its own fences: the one that leads tells people.
"""

from collections.abc import Callable
from typing import Final

from billow.act.acquainted import Acquainted
from billow.errors import BillowError, Invalid, NotFound, Unavailable
from billow.model.ha.alarm import Alarm
from billow.model.ha.response import Severity
from billow.ports import Bmc, Clock, Observer, Outbox

EVERY_S: Final = 10.0
"""How often `turn` is to be called."""
_DAY_S: Final = 86_400.0


class Machines:
    """What a controller tells of hosts' identities, each once."""

    def __init__(
        self, observer: Observer, bmc: Bmc, outbox: Outbox, clock: Clock, leads: Callable[[], bool]
    ) -> None:
        self._observer, self._bmc, self._outbox = observer, bmc, outbox
        self._clock, self._leads = clock, leads
        self._told: dict[str, str] = {}

    async def turn(self) -> None:
        """Tell what is new. Raises what the keeper of alarms does; it is told again then."""
        bmc, now = self._bmc, self._clock.now()
        if not isinstance(bmc, Acquainted):
            return
        for host, report in self._observer.view(now).reports.items():
            new = report.machine and self._told.get(host) != report.machine
            if new and not report.quarantined and await self._tell(bmc, host, report.machine, now):
                self._told[host] = report.machine

    async def _tell(self, bmc: Acquainted, host: str, machine: str, now: float) -> bool:
        """Tell which machine a host is; return whether that is done with, or to be told again."""
        try:
            await bmc.learn(host, machine)
        except (NotFound, Invalid):
            return True  # it has no controller that is known, or an identity that many show
        except BillowError as error:
            if not self._leads():
                return False
            await self._outbox.add_alarm(_alarm(host, machine, error, now))
            return not isinstance(error, Unavailable)  # what could not be kept may be soon
        return True


def _alarm(host: str, machine: str, doubt: BillowError, now: float) -> Alarm:
    """Return what people are told of a doubt: once a day at most."""
    text = "; ".join((doubt.brief, *doubt.details))
    return Alarm(
        key=f"machine/{host}/{machine}/{int(now // _DAY_S)}",
        severity=Severity.WARNING,
        text=f"whom the management controller of {host} turns off is in doubt: {text}",
        at=now,
        host=host,
    )
