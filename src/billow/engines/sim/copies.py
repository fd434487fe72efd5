# SPDX-License-Identifier: Apache-2.0
"""Which copies of instances really are on hosts, whatever the pool's rows say.

A copy that nobody ended stays where it was when its instance is started elsewhere: a stray. One
that runs beside another is what must never be; it is noted for ever. It must not prevent anything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from billow.engines.sim.agenda import Agenda
from billow.engines.sim.condition import Condition
from billow.engines.sim.effects import end_all
from billow.engines.sim.ground import Ground
from billow.model.kinds import State

_LIVE: Final = (State.RUNNING, State.PAUSED)


@dataclass(frozen=True, slots=True)
class DoubleRun:
    """That an instance ran on several hosts at one time: what must never be.

    Attributes:
        at: Seconds of the world.
    """

    instance: str
    hosts: tuple[str, ...]
    at: float


class Copies:
    """The copies of all instances.

    Attributes:
        double_runs: Every time that an instance began to run twice, oldest first.
    """

    def __init__(
        self, ground: Ground, agenda: Agenda, condition: Callable[[str], Condition]
    ) -> None:
        self.double_runs: list[DoubleRun] = []
        self._ground = ground
        self._agenda = agenda
        self._condition = condition

    @property
    def rest(self) -> bool:
        """Whether the rows say all about them."""
        return not self.double_runs and not self._ground.strays

    def on(self, host: str) -> Iterator[str]:
        """Yield the instances of which a copy is on a host."""
        if not self._condition(host).holds:
            return
        for name in self._ground.residents(host):
            there = self._ground.instance(name)
            if there is not None and there.state in _LIVE:
                yield name
        yield from self.strays_on(host)

    def strays_on(self, host: str) -> list[str]:
        """Return the instances of which a host has a copy that no row tells of."""
        return sorted(name for name, hosts in self._ground.strays.items() if host in hosts)

    def end(self, host: str) -> None:
        """End every copy on a host."""
        end_all(self._ground, host)
        self.forget_strays(host)

    def forget_strays(self, host: str) -> None:
        """End every copy on a host that no row tells of."""
        strays = self._ground.strays
        for name in self.strays_on(host):
            strays[name].discard(host)
            if not strays[name]:
                del strays[name]

    def audit(self, instance: str) -> None:
        """Note whether an instance runs twice now."""
        record = self._ground.instance(instance)
        hosts = set(self._ground.strays.get(instance, ()))
        if record is not None and record.state is State.RUNNING:
            hosts.add(record.host)
        running = tuple(sorted(host for host in hosts if self._condition(host).works))
        told = [(each.instance, each.hosts) for each in self.double_runs]
        if len(running) > 1 and (instance, running) not in told:
            self.double_runs.append(DoubleRun(instance, running, self._agenda.now))
            self._agenda.tell(f"{instance} runs twice: on {', '.join(running)}")
