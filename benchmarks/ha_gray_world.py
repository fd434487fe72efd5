# SPDX-License-Identifier: Apache-2.0
"""The world of the gray scenarios: who hears whom when, and which hosts are in truth dead.

Only this environment is a model, and a sparse one: silences are intervals, and nothing is computed
for a beat that arrives. What is seen of it goes through the product's own `sight_of` and `agree`.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
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
        doubted = {*agreed.lost, *cared, *self._gasping(at)}
        power = self._power(leader, at)
        sights = {
            host: sight_of(host, agreed.lost.get(host, {}), views, power, now)
            for host in sorted(doubted)
        }
        return Look(sights, agreed.faint, sum(each.age_s <= 2.0 for each in views))

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
            limit_s=np.full(3, LIMIT_S),
            reports=self._reports(controller, heard, seen_at, shift),
            age_s=at - seen_at,
        )

    def _heard(self, controller: int, at: float) -> FloatArray:
        """Return when it heard each last, seconds since the beginning, `(hosts, 3) float64`."""
        heard = np.repeat((at - (at + self.phases) % BEAT_S)[:, None], len(NETWORKS), axis=1)
        for silence, cells in self._cells:
            if silence.begin <= at and silence.controllers[controller]:
                within = cells & (heard >= silence.begin) & (heard < silence.end)
                heard = np.where(within, silence.begin - 0.001, heard)
        return heard

    def _reports(
        self, controller: int, heard: FloatArray, at: float, shift: float
    ) -> Mapping[str, AgentReport]:
        reports = {}
        for row, silences in self._of.items():
            if silences[-1].begin > at:
                continue
            last = float(heard[row].max())
            dead = self.death if self.death is not None and self.death.host == row else None
            reports[self._name(row)] = AgentReport(
                host=self._name(row),
                at=last + shift,
                lease_s=dead.lease_s if dead else 0.0,
                gasped=self._name(row) in self._gasping(at),
                answers=at - last > LIMIT_S and self._answers(controller, row, last, at),
                clean_beats=self._clean(row, at),
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


_STALL_S: Final = 0.9
_FREEZE_S: Final = 8.0
_STORAGE_S: Final = 9.5
_ISOLATED_S: Final = 25.0
_BEARABLE: Final = (
    ((0,), 40.0),
    ((1,), 40.0),
    ((2,), _STORAGE_S),
    ((0, 1), _ISOLATED_S),
    ((1, 2), _STORAGE_S),
)
"""Networks that may be lost for so long without anything being ended."""


def gray(seed: int) -> World:
    """Return a scenario in which every host is in truth fine."""
    dice = random.Random(seed)
    while True:
        world = _new(dice)
        for _ in range(dice.randint(1, 4)):
            dice.choice(_GRAY)(world, dice)
        if all(_is_fine(world, row) for each in world.silences for row in each.hosts):
            return world.ready()


def _is_fine(world: World, row: int) -> bool:
    """Whether a host is fine in truth, though several faults meet: the bounds hold together."""
    mine = [s for s in world.silences if row in s.hosts and s.controllers[world.whole]]
    if len(mine) < 2 or row in world.storms:
        return len(mine) < 2
    cut = [s for s in mine if not s.answers]
    return (
        _longest(cut, (0, 1, 2)) <= _STALL_S
        and _longest(mine, (0, 1, 2)) <= _FREEZE_S
        and _longest(mine, (2,)) <= _STORAGE_S
        and _longest(mine, (0, 1)) <= _ISOLATED_S
    )


def _longest(silences: Sequence[Silence], networks: tuple[int, ...]) -> float:
    """Return for how long at a stretch all of these networks are silent; short gaps count."""
    edges = sorted({edge for s in silences for edge in (s.begin, s.end)})
    longest, stretch_s = 0.0, 0.0
    for begin, end in pairwise(edges):
        covered = all(
            any(s.networks[n] and s.begin <= begin < s.end for s in silences) for n in networks
        )
        stretch_s = stretch_s + end - begin if covered else stretch_s * (end - begin < 2 * BEAT_S)
        longest = max(longest, stretch_s)
    return longest


def deadly(seed: int) -> World:
    """Return a scenario in which one host dies, with a fault of an observer or of another host."""
    dice = random.Random(seed)
    world = _new(dice)
    power, cuttable, lease_s = dice.choice(
        [(Power.OFF, True, 0.0), (Power.ON, True, 0.0), (Power.UNKNOWN, False, LEASE_S)]
    )
    world.death = Death(
        host=dice.randrange(HOSTS),
        at=dice.uniform(1.0, 40.0),
        power=power,
        cuttable=cuttable,
        lease_s=lease_s,
        answers=power is Power.ON and dice.random() < 0.3,
        gasps=dice.random() < 0.2,
    )
    for _ in range(dice.randint(0, 2)):
        dice.choice(_BESIDE)(world, dice)
    return world.ready()


def _new(dice: random.Random) -> World:
    phases = np.array([dice.uniform(0, BEAT_S) for _ in range(HOSTS)])
    whole = dice.randrange(CONTROLLERS)
    return World(phases, whole=whole, bmc_s=dice.uniform(0.2, 5.0), age_s=dice.uniform(0.02, 0.15))


def _some(dice: random.Random, world: World) -> frozenset[int]:
    living = [row for row in range(HOSTS) if world.death is None or world.death.host != row]
    return frozenset({dice.choice(living)})


def _hit(world: World, dice: random.Random) -> set[int]:
    """Return one or two controllers, never the whole one."""
    others = [each for each in range(CONTROLLERS) if each != world.whole]
    return set(dice.sample(others, dice.randint(1, 2)))


def _span(dice: random.Random, least_s: float, most_s: float) -> tuple[float, float]:
    begin = dice.uniform(1.0, LASTS_S - 15.0)
    return begin, begin + dice.uniform(least_s, most_s)


def _networks(dice: random.Random, *which: int) -> tuple[bool, ...]:
    chosen = which or tuple(dice.sample(range(3), dice.randint(1, 3)))
    return tuple(n in chosen for n in range(3))


def loss(world: World, dice: random.Random) -> None:
    """Lose packets both ways: each controller and network waits for what is sent again."""
    hosts, share = _some(dice, world), dice.uniform(0.05, 0.6)
    begin, end = _span(dice, 3.0, 30.0)
    for controller in range(CONTROLLERS):
        for network in range(len(NETWORKS)):
            at = begin
            while at < end:
                tries = 0
                while dice.random() < share and tries < 5:
                    tries += 1
                gap_s = BEAT_S * (2**tries - 1)
                if gap_s > LIMIT_S:
                    alone = tuple(each == controller for each in range(CONTROLLERS))
                    one = _networks(dice, network)
                    world.silences.append(Silence(alone, hosts, one, at, at + gap_s, answers=True))
                at += BEAT_S + gap_s


def freeze(world: World, dice: random.Random) -> None:
    """Stop the agent, or all processes of a host, for up to eight seconds."""
    begin, end = _span(dice, 0.5, _FREEZE_S)
    world.silences.append(Silence(ALL, _some(dice, world), ALL, begin, end, answers=True))


def stall(world: World, dice: random.Random) -> None:
    """Hold up a whole machine, kernel and all, for nearly a second."""
    begin, end = _span(dice, 0.1, _STALL_S)
    world.silences.append(Silence(ALL, _some(dice, world), ALL, begin, end))


def path(world: World, dice: random.Random) -> None:
    """Lose some of a host's networks for shorter than what is waited for them."""
    lost, most_s = dice.choice(
        [((0,), 40.0), ((1,), 40.0), ((2,), 9.5), ((0, 1), 25.0), ((1, 2), 9.5)]
    )
    begin, end = _span(dice, 0.5, most_s)
    world.silences.append(Silence(ALL, _some(dice, world), _networks(dice, *lost), begin, end))


def deaf(world: World, dice: random.Random) -> None:
    """Break the cards of one or two controllers: they hear nobody there."""
    hit = _hit(world, dice)
    begin, end = _span(dice, 1.0, 40.0)
    which = tuple(each in hit for each in range(CONTROLLERS))
    world.silences.append(Silence(which, frozenset(range(HOSTS)), _networks(dice), begin, end))


def torn(world: World, dice: random.Random) -> None:
    """Cut one or two controllers off from some hosts that the others still hear."""
    hit = _hit(world, dice)
    begin, end = _span(dice, 1.0, 40.0)
    rows = frozenset(dice.sample(range(HOSTS), dice.randint(1, 8)))
    which = tuple(each in hit for each in range(CONTROLLERS))
    world.silences.append(Silence(which, rows, _networks(dice), begin, end))


def switch(world: World, dice: random.Random) -> None:
    """Restart a switch, or a rack's: its hosts lose a network, or all, for up to 40 seconds."""
    rack, begin = dice.randrange(HOSTS // PER_SWITCH), dice.uniform(1.0, 40.0)
    end, networks = begin + dice.uniform(2.0, 40.0), _networks(dice)
    world.storms |= frozenset(range(rack * PER_SWITCH, (rack + 1) * PER_SWITCH))
    for row in range(rack * PER_SWITCH, (rack + 1) * PER_SWITCH):
        late_s = dice.uniform(0.0, 0.1)
        world.silences.append(Silence(ALL, frozenset({row}), networks, begin + late_s, end))


def pause(world: World, dice: random.Random) -> None:
    """Hold up one or two controllers."""
    for controller in _hit(world, dice):
        world.pauses.append(Pause(controller, *_span(dice, 0.3, 20.0)))


def jump(world: World, dice: random.Random) -> None:
    """Set a controller's clock wrong."""
    off_s = dice.choice([-1, 1]) * 10 ** dice.uniform(-1, 3.6)
    world.offsets[dice.randrange(CONTROLLERS)] = (off_s, dice.uniform(0.0, LASTS_S))


def lie(world: World, dice: random.Random) -> None:
    """Let a management controller say off of a running host, of which a network is lost."""
    hosts = _some(dice, world)
    lost, most_s = dice.choice(_BEARABLE)
    begin, end = _span(dice, 2.0, most_s)
    world.lies |= hosts
    world.silences.append(Silence(ALL, hosts, _networks(dice, *lost), begin, end))


_GRAY: Final = (loss, freeze, stall, path, deaf, torn, switch, pause, jump, lie)
_BESIDE: Final = (loss, freeze, stall, path, deaf, pause, jump)
