# SPDX-License-Identifier: Apache-2.0
"""Which faults meet in a gray scenario, by its seed; bounded: all hosts are fine in truth."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from benchmarks.ha_gray_world import (
    ALL,
    BEAT_S,
    CONTROLLERS,
    HOSTS,
    LASTS_S,
    LEASE_S,
    LIMIT_S,
    PER_SWITCH,
    Death,
    Pause,
    Silence,
    World,
)
from billow.model.ha.evidence import NETWORKS
from billow.model.kinds import Power

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
