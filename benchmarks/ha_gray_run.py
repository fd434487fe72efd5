# SPDX-License-Identifier: Apache-2.0
"""Run one gray scenario: the product's `agree` and `decide` at every instant that matters.

Between two changes of what is seen only timers run, so it is asked when each could have run out,
and at no other time: at the worst moment for whoever ends hosts too early.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

from benchmarks.ha_gray_world import FLEET, World
from billow.model.ha.incident import Incident, Phase, Victim
from billow.model.ha.policy import HaPolicy
from billow.model.ha.response import (
    Answer,
    AskAgent,
    CutPower,
    Deed,
    MoveAway,
    StartElsewhere,
    Turn,
)
from billow.plan.ha.decide import decide
from billow.plan.ha.fleet import Evidence

_TICK_S: Final = 0.05
_LOOK_S: Final = 2.0
_GIVEN_UP_S: Final = 1_200.0
_BUSY: Final = frozenset({Phase.WAITING, Phase.FENCING, Phase.RECOVERING})


@dataclass(slots=True)
class Outcome:
    """What became of a scenario.

    Attributes:
        wrong: Hosts that were alive when something was ordered that ends instances.
        moved: Hosts from which instances were moved live.
        back_s: Seconds from a death to the start of its instances elsewhere; infinite for never.
        asked: How often `agree` and `decide` were asked.
    """

    wrong: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    back_s: float = float("inf")
    asked: int = 0


@dataclass(slots=True)
class Trial:
    """One scenario under way; `at` is in seconds from its beginning."""

    world: World
    policy: HaPolicy
    outcome: Outcome = field(default_factory=Outcome)
    open: dict[str, Incident] = field(default_factory=dict)
    history: list[Incident] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    under_way: list[tuple[float, Deed, str]] = field(default_factory=list)
    fence: int = 1
    leader: int | None = 0

    def run(self) -> Outcome:
        """Go through it to its end."""
        changes, at, last = self.world.changes(), 0.0, self.world.changes()[-1]
        while at < last or (self._busy() and at < last + _GIVEN_UP_S):
            acted = self._ask(at)
            place = bisect_right(changes, at)
            coming = changes[place] if place < len(changes) else float("inf")
            at = min(coming, at + _TICK_S if acted else self._next(at, last))
        return self.outcome

    def _busy(self) -> bool:
        death = self.world.death
        return death is not None and self.outcome.back_s == float("inf")

    def _next(self, at: float, last: float) -> float:
        """Return when a timer could run out."""
        terms, now = self.policy, self._clock(at)
        timers = [when for when, *_ in self.under_way]
        for each in self.open.values():
            if each.phase is Phase.WAITING and not each.held:
                graces = (terms.settle_s, terms.hung_grace_s, terms.storage_grace_s)
                ends = [each.since + s - now for s in (*graces, terms.isolation_grace_s)]
                timers += [at + left + 0.001 for left in ends if left > 0]
        look_s = _LOOK_S if at < last + 60.0 else 20.0
        if any(each.phase in _BUSY for each in self.open.values()) or self._busy():
            timers.append(at + look_s)
        return max(at + _TICK_S, min(timers, default=float("inf")))

    def _clock(self, at: float) -> float:
        return self.world.clock(self.leader or 0, at)

    def _ask(self, at: float) -> bool:
        """Decide once; return whether anything was decided."""
        leader = self.world.leader(at)
        if leader is None:
            return False
        if leader != self.leader:
            self.leader, self.fence = leader, self.fence + 1
            self.answers, self.under_way = {}, []
        self.outcome.asked += 1
        now = self._clock(at)
        self._arrive(at, now)
        seen = self.world.look(leader, at, self.open)
        if not seen.sights:
            return False
        evidence = Evidence(
            fence=self.fence,
            layout=FLEET,
            policy=self.policy,
            sights=seen.sights,
            faint=seen.faint,
            uneven=seen.uneven,
            incidents=dict(self.open),
            history=tuple(self.history),
            answers=self.answers,
            victims={host: (Victim(f"vm-{host}"),) for host in seen.sights},
            rooms={f"vm-{host}": "spare" for host in seen.sights},
            controllers=3,
            present=seen.present,
        )
        turns = decide(evidence, now)
        for turn in turns:
            self._take(turn, at)
        return bool(turns)

    def _arrive(self, at: float, now: float) -> None:
        for when, deed, incident in [each for each in self.under_way if each[0] <= at]:
            self.under_way.remove((when, deed, incident))
            answer = Answer(deed, ok=True, at=now, text="done")
            self.answers.setdefault(incident, []).append(answer)

    def _take(self, turn: Turn, at: float) -> None:
        incident = turn.incident
        self.open[incident.host] = incident
        if not incident.phase.open:
            self.history.append(self.open.pop(incident.host))
        for deed in turn.deeds:
            self._do(deed, incident, at)

    def _do(self, deed: Deed, incident: Incident, at: float) -> None:
        dead = self.world.is_dead(incident.host, at)
        if isinstance(deed, CutPower) and FLEET.row[incident.host] in self.world.lies:
            refused = Answer(deed, ok=False, at=self._clock(at), text="it is another host's")
            self.answers.setdefault(incident.id, []).append(refused)
            return
        match deed:
            case AskAgent() | CutPower():
                if not dead:
                    self.outcome.wrong.add(incident.host)
                elif isinstance(deed, CutPower) and self.world.death and self.world.death.cuttable:
                    self.under_way.append((at + self.world.bmc_s + 1.0, deed, incident.id))
            case StartElsewhere():
                if not dead:
                    self.outcome.wrong.add(incident.host)
                elif self.world.death:
                    self.outcome.back_s = min(self.outcome.back_s, at - self.world.death.at)
                self.under_way.append((at + 1.0, deed, incident.id))
            case MoveAway():
                self.outcome.moved.add(incident.host)
            case _:
                pass
