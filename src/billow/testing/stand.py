# SPDX-License-Identifier: Apache-2.0
"""What an engine's tests must bring to the engine contract, and a scenario for each verb.

A stand is a small world of the engine under test: at least two empty, alike hosts that take
instances, and a way to open a new engine object on the same world, as a restarted controller does.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from billow.errors import Bug
from billow.model.action import (
    Action,
    Allot,
    Cordon,
    Delete,
    Evacuate,
    Fence,
    Migrate,
    Place,
    PowerOff,
    PowerOn,
    Repair,
    Resize,
    Resume,
    Start,
    Stop,
    Suspend,
    Throttle,
    Uncordon,
)
from billow.model.instance import Instance
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.model.shape import Shape
from billow.ports import Clock, Engine, Trace

PATIENCE_S = 120.0
"""How long an action may take to end on its own, seconds of the stand's clock."""


class EngineStand(ABC):
    """A world of the engine under test; its fixture clears it away.

    Attributes:
        clock: The clock that the engine lives by.
        first, second: Two hosts that are alike, empty, on and healthy.
    """

    clock: Clock
    first: str
    second: str

    @abstractmethod
    async def open(self) -> Engine:
        """Return a new engine object on this world, as a restarted controller would."""

    @abstractmethod
    def instance(self, name: str, *, immovable: str = "") -> Instance:
        """Return a request for a small instance that either host can run several times."""

    @abstractmethod
    def larger(self) -> Shape:
        """Return another shape that an instance of `instance` can be resized to."""

    @abstractmethod
    def too_large(self) -> Shape:
        """Return a shape that no host has room for."""


@dataclass(frozen=True)
class Scenario:
    """An action of one verb, and what must be done before it."""

    before: tuple[Action, ...]
    action: Action


def scenario(stand: EngineStand, verb: type[Action]) -> Scenario:
    """Return a scenario in which an action of this verb is possible. Raises Bug for a new verb."""
    if verb not in _SCENARIOS:
        raise Bug(f"the engine contract has no scenario for {verb.__name__}")
    before, action = _SCENARIOS[verb](stand)
    return Scenario(tuple(before), action)


def place(stand: EngineStand, name: str, host: str = "", *, immovable: str = "") -> Place:
    """Return the action that places a small instance, on the first host by default."""
    wanted = stand.instance(name, immovable=immovable)
    return Place(id=f"place-{name}", instance=wanted, host=host or stand.first)


def migrate(stand: EngineStand, name: str) -> Migrate:
    """Return the action that moves an instance from the first host to the second."""
    return Migrate(id=f"migrate-{name}", instance=name, source=stand.first, target=stand.second)


def evacuate(stand: EngineStand, name: str, incident: str = "i-1", epoch: int = 1) -> Evacuate:
    """Return the action that gives an instance of the first host, which is dead, the second."""
    return Evacuate(
        id=f"{incident}.{name}.{epoch}",
        instance=name,
        source=stand.first,
        target=stand.second,
        epoch=epoch,
        incident=incident,
    )


async def do(engine: Engine, *actions: Action, fence: int = 1) -> list[Progress]:
    """Perform actions one after the other; return all that was reported."""
    return [each for action in actions async for each in engine.perform(action, fence=fence)]


async def ended(stand: EngineStand, engine: Engine, action_id: str) -> Trace:
    """Wait until an action is no longer under way; return what became of it."""
    until = stand.clock.now() + PATIENCE_S
    while (trace := await engine.find(action_id)) is Trace.RUNNING:
        assert stand.clock.now() < until, f"{action_id} did not end within {PATIENCE_S} s"
        await stand.clock.sleep(0.2)
    return trace


async def digest(engine: Engine) -> str:
    """Return the digest of the pool as it is now."""
    return (await engine.sense()).digest


def homes(pool: Pool) -> dict[str, str]:
    """Return where each instance is."""
    return {instance.id: instance.host for instance in pool.instance_views()}


_Made = tuple[Sequence[Action], Action]


def _on_instance(
    make: Callable[[EngineStand], Action], *, stopped: bool = False
) -> Callable[[EngineStand], _Made]:
    """Return a scenario for an action on an instance `x` on the first host."""

    def made(stand: EngineStand) -> _Made:
        stop = [Stop(id="stop-x", instance="x", host=stand.first)] if stopped else []
        return [place(stand, "x"), *stop], make(stand)

    return made


def _resize(stand: EngineStand) -> Action:
    old = stand.instance("x").shape
    return Resize(id="resize-x", instance="x", host=stand.first, old=old, new=stand.larger())


_SCENARIOS: dict[type[Action], Callable[[EngineStand], _Made]] = {
    Place: lambda stand: ([], place(stand, "x")),
    Migrate: _on_instance(lambda stand: migrate(stand, "x")),
    Start: _on_instance(
        lambda stand: Start(id="start-x", instance="x", host=stand.first), stopped=True
    ),
    Stop: _on_instance(lambda stand: Stop(id="stop-x", instance="x", host=stand.first)),
    Delete: _on_instance(lambda stand: Delete(id="delete-x", instance="x", host=stand.first)),
    Resize: _on_instance(_resize),
    Throttle: _on_instance(
        lambda stand: Throttle(id="throttle-x", instance="x", host=stand.first, cpu_limit_milli=500)
    ),
    Suspend: _on_instance(lambda stand: Suspend(id="suspend-x", instance="x", host=stand.first)),
    Resume: lambda stand: (
        [place(stand, "x"), Suspend(id="suspend-x", instance="x", host=stand.first)],
        Resume(id="resume-x", instance="x", host=stand.first),
    ),
    Allot: lambda stand: (
        [],
        Allot(id="allot", host=stand.second, cpu_ratio=2.0, memory_ratio=1.5),
    ),
    Cordon: lambda stand: ([], Cordon(id="cordon", host=stand.second)),
    Uncordon: lambda stand: (
        [Cordon(id="cordon", host=stand.second)],
        Uncordon(id="uncordon", host=stand.second),
    ),
    PowerOff: lambda stand: ([], PowerOff(id="off", host=stand.second)),
    PowerOn: lambda stand: (
        [PowerOff(id="off", host=stand.second)],
        PowerOn(id="on", host=stand.second),
    ),
    Evacuate: lambda stand: (
        [place(stand, "x"), Fence(id="fence", host=stand.first)],
        evacuate(stand, "x"),
    ),
    Repair: lambda stand: ([], Repair(id="repair", host=stand.second)),
    Fence: _on_instance(lambda stand: Fence(id="fence", host=stand.first)),
}  # fmt: skip
SCENARIOS = frozenset(_SCENARIOS)
"""The verbs that have a scenario."""
