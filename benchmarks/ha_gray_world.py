# SPDX-License-Identifier: Apache-2.0
"""The world of the gray scenarios: who hears whom when, and which hosts are in truth dead.

Only this environment is a model, and a sparse one: silences are intervals, and nothing is computed
for a beat that arrives. What is seen of it goes through the product's own `sight_of` and `agree`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from billow.model.ha.evidence import NETWORKS, AgentReport, Sight
from billow.model.ha.view import View
from billow.model.kinds import Power
from billow.model.resources import BoolArray, FloatArray
from billow.plan.ha.agree import agree
from billow.plan.ha.fleet import Layout, Place
from billow.plan.ha.sights import sight_of

START: Final = 1_000_000.0
HOSTS: Final = 16
PER_SWITCH: Final = 4
CONTROLLERS: Final = 3
BEAT_S: Final = 0.2
LIMIT_S: Final = 1.0
LIMITS_S: Final = np.full(3, LIMIT_S)
LEASE_S: Final = 10.0
LASTS_S: Final = 60.0
ASKED_S: Final = 0.3
"""A kernel whose agent is silent is asked so often."""
ALL: Final = (True, True, True)
FLEET: Final = Layout(
    {
        f"h{n:02}": Place(
            "z",
            f"r{n // PER_SWITCH}",
            tuple(f"{each[0]}{n // PER_SWITCH}" for each in NETWORKS),
            ("p",),
        )
        for n in range(HOSTS)
    }
)


@dataclass(frozen=True, slots=True)
class Silence:
    """No beat passes between some hosts and some controllers on some networks for a while.

    Attributes:
        answers: Whether the hosts' kernels answer meanwhile.
    """

    controllers: tuple[bool, ...]
    hosts: frozenset[int]
    networks: tuple[bool, ...]
    begin: float
    end: float
    answers: bool = False

    def cells(self) -> BoolArray:
        """Return which host and network it is about, `(hosts, 3) bool`."""
        rows = np.isin(np.arange(HOSTS), list(self.hosts))
        return np.outer(rows, np.array(self.networks))


@dataclass(frozen=True, slots=True)
class Pause:
    """A controller does nothing for a while, and finds the time gone when it goes on."""

    controller: int
    begin: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A host dies for good.

    Attributes:
        answers: Its kernel goes on answering: it hangs.
        gasps: Its kernel says so.
    """

    host: int
    at: float
    power: Power
    cuttable: bool
    lease_s: float = 0.0
    answers: bool = False
    gasps: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What a leader knows at one instant, and how many controllers speak."""

    sights: dict[str, Sight]
    faint: tuple[str, ...]
    uneven: bool
    present: int


@dataclass(slots=True)
class World:
    """One scenario.

    Attributes:
        lies: Hosts whose management controller is that of a host which is off. It is read, but
            never obeyed: its identity is not the host's.
        storms: Hosts whose switch or rack fails: no bound holds for how long.
        offsets: By how much a controller's clock is wrong, and from when on.
        whole: The controller to which nothing happens.
        bmc_s: How long a management controller takes to answer.
    """

    phases: FloatArray
    silences: list[Silence] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    offsets: dict[int, tuple[float, float]] = field(default_factory=dict)
    lies: frozenset[int] = frozenset()
    storms: frozenset[int] = frozenset()
    death: Death | None = None
    whole: int = 0
    bmc_s: float = 1.0
    age_s: float = 0.1
    _cells: list[tuple[Silence, BoolArray]] = field(default_factory=list)
    _of: dict[int, list[Silence]] = field(default_factory=dict)

    def ready(self) -> "World":
        """Put the silences in the order in which they are looked at, the latest first."""
        if self.death is not None:
            gone = Silence(ALL, frozenset({self.death.host}), ALL, self.death.at, np.inf)
            self.silences.append(replace(gone, answers=self.death.answers))
        self.silences.sort(key=lambda each: -each.begin)
        self._cells = [(each, each.cells()) for each in self.silences]
        for each in self.silences:
            for row in each.hosts:
                self._of.setdefault(row, []).append(each)
        return self

    def changes(self) -> list[float]:
        """Return when what is seen may change: all else is waiting."""
        edges = {0.0}
        for each in self.silences:
            edges |= {each.begin + LIMIT_S, each.begin + LIMIT_S + BEAT_S, each.end + BEAT_S}
        for pause in self.pauses:
            edges |= {pause.begin, pause.end, pause.end + LIMIT_S}
        edges |= {at for _, at in self.offsets.values()}
        return sorted(at + 0.001 for at in edges if at < np.inf)

    def leader(self, at: float) -> int | None:
        """Return who decides: the first that was not held up for five seconds; None for nobody."""
        for controller in range(CONTROLLERS):
            held = [p for p in self.pauses if p.controller == controller and p.begin <= at < p.end]
            if not held:
                return controller
            if at - held[0].begin < 5.0:
                return None
        return None

    def clock(self, controller: int, at: float) -> float:
        """Return what a controller's clock says."""
        offset, since = self.offsets.get(controller, (0.0, np.inf))
        return START + at + (offset if at >= since else 0.0)

    def look(self, leader: int, at: float, cared: Collection[str]) -> Look:
        """Return what the leader knows of doubted and cared-for hosts."""
        views = [self._view(each, leader, at) for each in range(CONTROLLERS)]
        now = self.clock(leader, at)
        agreed = agree(views, FLEET, now, CONTROLLERS)
        doubted = sorted({*agreed.lost, *cared, *self._gasping(at)})
        sights = {}
        if doubted:
            views = [replace(each, reports=self._reports(each, at, doubted)) for each in views]
            power = self._power(leader, at)
            sights = {
                host: sight_of(host, agreed.lost.get(host, {}), views, power, now)
                for host in doubted
            }
        present = sum(each.age_s <= 2.0 for each in views)
        return Look(sights, agreed.faint, agreed.uneven, present)

    def _gasping(self, at: float) -> list[str]:
        dead = self.death
        return [self._name(dead.host)] if dead and dead.gasps and at >= dead.at else []

    def is_dead(self, host: str, at: float) -> bool:
        """Whether it is dead in truth."""
        dead = self.death
        return dead is not None and self._name(dead.host) == host and at >= dead.at

    def _name(self, row: int) -> str:
        return FLEET.hosts[row]

    def _view(self, controller: int, leader: int, at: float) -> View:
        held = [p for p in self.pauses if p.controller == controller and p.begin <= at]
        seen_at = at if controller == leader else max(0.0, at - self.age_s)
        for pause in held:
            if seen_at < pause.end:
                seen_at = min(seen_at, pause.begin)
        heard = self._heard(controller, seen_at)
        for pause in held:  # what it could not hear counts against nobody
            if seen_at >= pause.end:
                late = np.minimum(heard + (pause.end - pause.begin), pause.end)
                heard = np.where(heard < pause.end, np.maximum(heard, late), heard)
        shift = self.clock(controller, seen_at) - seen_at
        return View(
            observer=str(controller),
            at=seen_at + shift,
            hosts=FLEET.hosts,
            heard_at=heard + shift,
            limit_s=LIMITS_S,
            woke_at=max((p.end + shift for p in held if p.end <= seen_at), default=0.0),
            age_s=at - seen_at,
        )

    def _heard(self, controller: int, at: float) -> FloatArray:
        """Return when it heard each last, seconds since the beginning, `(hosts, 3) float64`."""
        heard = np.repeat((at - (at + self.phases) % BEAT_S)[:, None], len(NETWORKS), axis=1)
        least = at - BEAT_S
        for silence, cells in self._cells:
            if silence.begin <= at and silence.end > least and silence.controllers[controller]:
                within = cells & (heard >= silence.begin) & (heard < silence.end)
                heard[within] = silence.begin - 0.001
                least = min(least, silence.begin - 0.001)
        return heard

    def _reports(self, view: View, at: float, wanted: Collection[str]) -> dict[str, AgentReport]:
        """Return what the agents of some hosts said to the controller of a view."""
        seen_at, controller, reports = at - view.age_s, int(view.observer), {}
        for host in wanted:
            row, dead = FLEET.row[host], self.death
            silences = self._of.get(row)
            if not silences or silences[-1].begin > seen_at:
                continue
            said_at = float(view.heard_at[row].max())
            last = said_at - (view.at - seen_at)
            answers = seen_at - last > LIMIT_S and self._answers(controller, row, last, seen_at)
            reports[host] = AgentReport(
                host=host,
                at=said_at,
                lease_s=dead.lease_s if dead is not None and dead.host == row else 0.0,
                gasped=host in self._gasping(seen_at),
                answers=answers,
                clean_beats=self._clean(row, seen_at),
            )
        return reports

    def _answers(self, controller: int, row: int, last: float, at: float) -> bool:
        """Return whether its kernel answered a controller since it heard the agent last."""
        mine = [each for each in self._of[row] if each.controllers[controller]]
        asked = {(s.begin if s.answers else s.end) + ASKED_S for s in mine if s.end > last}
        return any(_answered(mine, moment) for moment in asked if last < moment <= at)

    def _clean(self, row: int, at: float) -> int:
        """Return how many rounds of beats were clean: since the last silence ended."""
        ends = (min(each.end, at) for each in self._of[row] if each.begin <= at)
        return int((at - max(ends, default=0.0)) / BEAT_S)

    def _power(self, leader: int, at: float) -> Callable[[str, float], tuple[Power, float]]:
        """Return what is read: asked once a second since the host is doubted, answered late."""

        def reading(host: str, since: float) -> tuple[Power, float]:
            row, now = FLEET.row[host], self.clock(leader, at)
            asked = since or now - 10.0
            if now < asked + self.bmc_s:
                return Power.UNKNOWN, 0.0
            dead = self.death
            if dead is not None and dead.host == row and at >= dead.at:
                return dead.power, asked + 0.1
            return (Power.OFF if row in self.lies else Power.ON), asked + 0.1

        return reading


def _answered(silences: Sequence[Silence], at: float) -> bool:
    """Return whether a kernel answers at an instant, on a network on which no agent speaks."""
    active = [each for each in silences if each.begin <= at < each.end]
    on = [[each for each in active if each.networks[n]] for n in range(len(NETWORKS))]
    return any(each and all(silence.answers for silence in each) for each in on)
