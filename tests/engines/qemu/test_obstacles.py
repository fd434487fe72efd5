# SPDX-License-Identifier: Apache-2.0
"""A dead host's instances are let through by the dozen on one look, and never more than fit."""

from dataclasses import dataclass
from typing import Any, cast

from billow.engines.qemu.obstacles import Obstacles
from billow.model.action import Action, Evacuate, Migrate
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.testing.clock import VirtualClock

SHAPE = Shape("tiny", 1000, 1024)
NAMES = tuple(f"vm{number}" for number in range(6))


@dataclass
class Eyes:
    """A pool in which nothing has changed yet, and how often it was looked at."""

    clock: VirtualClock
    looks: int = 0

    def pool(self, now: float) -> Pool:
        """Look."""
        self.looks += 1
        hosts = [Host("h1", (Node(8000, 65536),)), Host("h2", (Node(4000, 65536),))]
        there = [Instance(name, SHAPE, host="h1", state=State.FAILED) for name in NAMES]
        return Pool.build(hosts, there, taken_at=now)


def evacuated(name: str) -> Evacuate:
    """Return the evacuation of an instance."""
    return Evacuate(id=f"e-{name}", instance=name, source="h1", target="h2", incident="i")


def staged() -> tuple[Eyes, Obstacles]:
    """Return eyes, and who looks through them."""
    eyes, nobody = Eyes(VirtualClock()), cast("Any", None)
    return eyes, Obstacles(nobody, cast("Any", eyes), nobody, eyes.clock)


def test_a_rush_is_one_look_and_lets_no_more_through_than_fits() -> None:
    eyes, obstacles = staged()
    for name in NAMES[:4]:
        assert not obstacles._seen(evacuated(name), [])
        obstacles.look_again()  # one has ended, and the eyes do not see it yet
    assert eyes.looks == 1
    under_way: list[Action] = [evacuated(name) for name in NAMES[:4]]
    assert any("free" in each.reason for each in obstacles._seen(evacuated(NAMES[4]), under_way))
    assert eyes.looks == 2


def test_what_else_happens_is_looked_at_anew() -> None:
    eyes, obstacles = staged()
    assert not obstacles._seen(evacuated("vm0"), [])
    move = Migrate(id="m", instance="vm9", source="h2", target="h1")
    obstacles.look_again()
    assert not obstacles._seen(evacuated("vm1"), [move])
    assert eyes.looks == 2
    obstacles.look_again()
    again = Evacuate(id="e2", instance="vm1", source="h1", target="h2", epoch=2)
    obstacles._seen(again, [])
    assert eyes.looks == 3
    eyes.clock.advance(1.0)
    obstacles._seen(evacuated("vm2"), [])
    assert eyes.looks == 4
