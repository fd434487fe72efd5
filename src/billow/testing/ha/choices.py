# SPDX-License-Identifier: Apache-2.0
"""What a controller may do next about a host, as far as one instance is concerned.

The production functions are asked for every incident that can come to be, with everything that can
be known of it. Then all is forgotten that does not concern the instance: incidents that look alike
to it are one, and may do what any of them may. So more may happen here than in truth, never less.

This module must not decide anything that the protocol decides.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

from billow.errors import Bug
from billow.model.ha.incident import Phase
from billow.testing.ha.records import (
    INSTANCES,
    Known,
    Launch,
    Records,
    matters,
    orphaned,
    sees,
    target_of,
)
from billow.testing.ha.world import LOST, OLDEST, SPARE

HOST: Final = 0
"""The host that is asked about; the protocol knows hosts by name only, so the other is like it."""
OTHER: Final = 1
_BEFORE: Final = frozenset({Phase.NOTED, Phase.MOVING, Phase.WAITING})
_STARTS: Final = 16
"""What an incident waits for (`records.matters`): the first of the bits that are of instances."""


class Look(NamedTuple):
    """What of an incident concerns one instance.

    Attributes:
        phase: Empty where there is none; all that comes before the search for a proof is one.
        awaits: Which answers count, as `records.matters` says; the bit of instance 0 is the one's.
        fate, target: Of the instance, where the incident knows it: OTHER, SPARE, or 0.
    """

    phase: str = ""
    awaits: int = 0
    fate: str = ""
    target: int = 0


class Seen(NamedTuple):
    """What a step depends on that is not as it likes; None where it does not depend on it.

    Attributes:
        on, age: Whether the host has power, and for how long nobody has heard it.
        cut, clean: Whether it was told that the order was carried out.
        agent: The same of its agent, a bit for each of the two networks.
        start: What became of the start: 0 nothing yet, 1 done, 2 not done.
        there: Whether the instance has its home on the host.
        well: Whether the other host takes in what starts elsewhere.
    """

    on: bool | None
    age: int | None
    cut: int
    agent: int
    clean: int
    start: int
    there: bool | None
    well: bool | None


class Choice(NamedTuple):
    """A step: how the incident looks then, and which orders are given."""

    look: Look
    cut: int
    ask: int
    clean: int
    start: int


@dataclass(frozen=True, slots=True)
class Choices:
    """All that may be done about a host.

    Attributes:
        steps: By how its incident looks and what is seen of it.
        orphans: How an incident looks to the next controller.
    """

    steps: Mapping[tuple[Look, Seen], frozenset[Choice]]
    orphans: Mapping[Look, Look]

    def looks(self) -> list[Look]:
        """Return every look that an incident can have, in order."""
        after = {each.look for choices in self.steps.values() for each in choices}
        return sorted(after | self.orphans.keys() | {Look()})


def look_of(records: Records, number: int, instance: int, host: int = HOST) -> Look:
    """Return what of an incident concerns an instance; `host` is where the incident is."""
    if not number:
        return Look()
    incident = records.the(number)
    if incident.phase in _BEFORE:
        return Look("before")
    awaits = matters(incident)
    mine = [each for each in incident.victims if each.instance == INSTANCES[instance]]
    fate = f"{mine[0].fate} {mine[0].epoch}" if mine else ""
    target = target_of(instance)(incident) if mine and mine[0].target else host
    return Look(
        incident.phase.value,
        awaits % _STARTS + _STARTS * (awaits // (_STARTS << instance) & 1),
        fate,
        SPARE if target == SPARE else int(target != host),
    )


def choices_of(records: Records) -> Choices:
    """Ask for every incident that can come to be, and all that can be known of it."""
    steps: dict[tuple[Look, Seen], set[Choice]] = defaultdict(set)
    orphans: dict[Look, set[Look]] = defaultdict(set)
    todo, found = [0], {0}
    while todo:
        number = todo.pop()
        look, after = look_of(records, number, 0), {0}
        if number:
            after.add(orphan := records.number(orphaned(records.the(number))))
            orphans[look].add(look_of(records, orphan, 0))
        for seen, known in _facts(records, number):
            if turn := records.turn(number, known):
                launch = records.launches[turn]
                steps[look, seen].add(_choice(records, launch))
                after.add(launch.record)
        todo += after - found
        found |= after
    return Choices(
        {key: frozenset(each) for key, each in steps.items()},
        {look: _only(each) for look, each in orphans.items()},
    )


def _only(looks: set[Look]) -> Look:
    if len(looks) != 1:
        raise Bug(f"incidents that look alike do not to the next controller: {looks}")
    return next(iter(looks))


def _choice(records: Records, launch: Launch) -> Choice:
    look = look_of(records, launch.record, 0)
    return Choice(look, launch.cut, launch.ask, launch.clean, launch.starts & 1)


def _facts(records: Records, number: int) -> Iterator[tuple[Seen, Known]]:
    """Yield all that can be known when a step is made, and what of it is not as it likes."""
    incident = records.incident(number)
    sight, waits = (sees(incident), matters(incident)) if incident else (1, 0)
    bodies = _BODIES if sight & 1 else ((None, None, 0, 0),)
    homes = range(4) if sight & 2 else (None,)
    rooms = _ROOMS if sight & 4 else ((None, 0),)
    for (on, age, lost, power), there, (well, room), said in product(
        bodies, homes, rooms, _answers(waits)
    ):
        cut, over_management, over_storage, clean, *starts = said
        agent = over_management + 2 * over_storage
        mine = None if there is None else bool(there & 1)
        known = Known(
            host=HOST,
            lost=lost,
            heard=(age or 0) if lost == LOST else 0,
            power=power,
            bmc=cut,
            agent=over_management + 3 * over_storage,
            clean=clean,
            starts=tuple(starts),
            rooms=(room, room),
            there=there or 0,
        )
        yield Seen(on, age, cut, agent, clean, starts[0], mine, well), known


def _answers(waits: int) -> Iterator[tuple[int, ...]]:
    """Yield what may have been said to orders: that it is done, and of starts that it is not."""
    orders = [range(1 + (waits >> bit & 1)) for bit in range(4)]
    starts = [range(1 + 2 * (waits >> bit & 1)) for bit in (4, 5)]
    yield from product(*orders, *starts)


def _bodies() -> Iterator[tuple[bool, int, int, int]]:
    """Yield how a host can look: power, age, networks lost, power as it is read."""
    for on, age in product((False, True), range(OLDEST + 1)):
        for lost in range(LOST + 1) if on else (LOST,):
            for power in (0, 1 if on else 2):
                yield on, age, lost, power


_BODIES: Final = tuple(_bodies())
_ROOMS: Final = ((False, SPARE + 1), (True, SPARE + 1), (True, OTHER + 1))
