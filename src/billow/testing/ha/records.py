# SPDX-License-Identifier: Apache-2.0
"""The production protocol as tables: each incident and each turn gets a number.

The checker walks over many millions of states, but these hold few distinct incidents. So the
production functions `opened` and `advance` are called once for each incident and facts, and their
answer is kept. This module must not decide anything itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from billow.errors import Bug
from billow.model.ha.evidence import NETWORKS, Network, Sight
from billow.model.ha.incident import (
    Attempt,
    Fate,
    Incident,
    Method,
    Phase,
    Proof,
    Recovery,
    Victim,
)
from billow.model.ha.response import (
    Answer,
    AskAgent,
    Clean,
    CutPower,
    StartElsewhere,
    Turn,
)
from billow.model.kinds import Power
from billow.plan.ha import protocol
from billow.plan.ha.facts import Facts, Terms
from billow.plan.ha.recovery import NO_ROOM
from billow.plan.ha.table import respond
from billow.testing.ha.states import Cells

Numbers: TypeAlias = NDArray[np.uint16]
Advance: TypeAlias = Callable[[Incident, Facts, Terms], Turn | None]

NOW: Final = 100.0
HOSTS: Final = ("a", "b", "spare")
INSTANCES: Final = ("x", "y")
TERMS: Final = Terms(
    settle_s=0,
    storage_grace_s=0,
    isolation_grace_s=0,
    hung_grace_s=0,
    agent_s=0,
    bmc_s=0,
    again_s=0,
    margin_s=1,
    starts=2,
    clean_beats=1,
)
"""A controller may act at any time or never, so a limit of no seconds stands for every limit: it
can be over at once, and nobody must make use of that. Only the lease's time binds the world."""
POWERS: Final = (Power.UNKNOWN, Power.ON, Power.OFF)
_BEFORE: Final = frozenset({Phase.NOTED, Phase.MOVING, Phase.WAITING})
CLEAN: Final = "clean/1"
"""How an incident notes that the one who leads now asked the host to clean itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a controller knows of one host, in the small numbers of the checker.

    Attributes:
        lost: 1 for management and tenant network, 2 for storage, 3 for all.
        heard: Its age, seconds.
        power: Position in POWERS.
        agent: What it answered: by management network plus 3 x by storage network.
        starts: What became of the start of each instance.
        rooms: Where each could be started now; 0 nowhere, else 1 + position in HOSTS.
        there: Which have their home there, as a mask.
        (Answers: 0 none, 1 done, 2 not done.)
    """

    host: int
    lost: int
    heard: int
    power: int
    bmc: int
    agent: int
    clean: int
    starts: tuple[int, ...]
    rooms: tuple[int, ...]
    there: int


@dataclass(frozen=True, slots=True)
class Launch:
    """A turn as numbers: the incident that is to be, and what is done then, as masks."""

    record: int
    cut: int = 0
    ask: int = 0
    clean: int = 0
    starts: int = 0
    left: int = 0


class Lookup:
    """A number of each incident, by the incident's number; 0 for none."""

    def __init__(self, records: "Records", of: Callable[[Incident], int]) -> None:
        self._records = records
        self._of = of
        self._found: Numbers = np.zeros(1, dtype=np.uint16)

    def __getitem__(self, numbers: Cells) -> Numbers:
        if numbers.size and int(numbers.max()) >= len(self._found):
            known = range(len(self._found), len(self._records))
            more = [self._of(self._records.the(number)) for number in known]
            self._found = np.concatenate([self._found, np.array(more, dtype=np.uint16)])
        return self._found[numbers]


class Records:
    """Incidents and turns by number; 0 is none.

    Attributes:
        lease_s: The lease that agents say they have; 0 for none.
    """

    def __init__(
        self, lease_s: float, terms: Terms = TERMS, advance: Advance | None = None
    ) -> None:
        self.lease_s = lease_s
        self._terms = terms
        self._advance = advance or protocol.advance
        self._known: list[Incident | None] = [None]
        self._full: list[Incident | None] = [None]
        self._number: dict[Incident | None, int] = {None: 0}
        self.launches: list[Launch] = [Launch(0)]  # number 0 is no turn, and Launch(0) a closing
        self._launch: dict[Launch, int] = {}
        self._turns: dict[tuple[int, Known], int] = {}

    def __len__(self) -> int:
        return len(self._known)

    def turns(self) -> int:
        """Return how many times the production functions were asked."""
        return len(self._turns)

    def incident(self, number: int) -> Incident | None:
        """Return an incident in its short form; None for 0."""
        return self._known[number]

    def the(self, number: int) -> Incident:
        """Return an incident that there is."""
        incident = self._known[number]
        assert incident is not None
        return incident

    def lookup(self, of: Callable[[Incident], int]) -> Lookup:
        """Return a small number of each incident."""
        return Lookup(self, of)

    def becoming(self, of: Callable[[Incident], Incident]) -> Lookup:
        """Return which incident each becomes."""
        return Lookup(self, lambda incident: self.number(of(incident)))

    def turn(self, number: int, known: Known) -> int:
        """Return the number of the turn that is due; 0 while there is nothing but to wait."""
        key = number, known
        if key not in self._turns:
            self._turns[key] = self._asked(number, known)
        return self._turns[key]

    def number(self, incident: Incident | None) -> int:
        """Return the number of an incident; a new one gets the next."""
        if incident not in self._number:
            short = shortened(incident) if incident else None
            if short not in self._number:
                self._number[short] = len(self._known)
                self._known.append(short)
                self._full.append(incident)
            self._number[incident] = self._number[short]
        return self._number[incident]

    def launch_number(self, launch: Launch) -> int:
        """Return the number of a turn; a new one gets the next."""
        if launch not in self._launch:
            self._launch[launch] = len(self.launches)
            self.launches.append(launch)
        return self._launch[launch]

    def _asked(self, number: int, known: Known) -> int:
        incident, facts = self._known[number], self._facts(number, known)
        if incident is None:
            quiet = facts.response.severity in protocol.WELL
            turn = None if quiet else protocol.opened("i", facts)
        else:
            turn = self._advance(incident, facts, self._terms)
            self._check(number, facts, turn)
        return 0 if turn is None else self._numbered(number, turn)

    def _check(self, number: int, facts: Facts, turn: Turn | None) -> None:
        """Raise Bug when a step depends on what the short form of an incident leaves out."""
        full = self._full[number]
        assert full is not None
        said = self._advance(full, facts, self._terms)
        if (said and self._launched(said)) != (turn and self._launched(turn)):
            raise Bug(f"a step depends on what the checker cuts off: {full}, {facts}")

    def _numbered(self, number: int, turn: Turn) -> int:
        launch = self._launched(turn)
        same = launch.record == number and not (launch.cut or launch.ask or launch.clean)
        return 0 if same and not launch.starts else self.launch_number(launch)

    def _launched(self, turn: Turn) -> Launch:
        cut = ask = clean = starts = 0
        for deed in turn.deeds:
            match deed:
                case CutPower():
                    cut = 1
                case AskAgent():
                    ask |= 2 if deed.over is Network.STORAGE else 1
                case Clean():
                    clean = 1
                case StartElsewhere():
                    starts |= 1 << INSTANCES.index(deed.instance)
        left = sum(
            1 << INSTANCES.index(each.instance)
            for each in turn.incident.victims
            if each.fate is Fate.LEFT
        )
        return Launch(self.number(turn.incident), cut, ask, clean, starts, left)

    def _facts(self, number: int, known: Known) -> Facts:
        lost = _lost(known.lost)
        power = POWERS[known.power]
        sight = Sight(
            host=HOSTS[known.host],
            lost=dict.fromkeys(lost, NOW),
            heard_at=NOW - known.heard,
            power=power,
            lease_s=self.lease_s,
            clean_beats=0 if lost else 1,
        )
        victims = [Victim(each) for i, each in enumerate(INSTANCES) if known.there >> i & 1]
        return Facts(
            now=NOW,
            fence=1,
            sight=sight,
            response=respond(sight),
            answers=tuple(self._answers(number, known)),
            victims=tuple(victims),
            rooms=_rooms(known),
            nowhere={INSTANCES[i]: NO_ROOM for i, room in enumerate(known.rooms) if not room},
        )

    def _answers(self, number: int, known: Known) -> list[Answer]:
        host = HOSTS[known.host]
        found = []
        if known.bmc:
            found.append(Answer(CutPower(host), known.bmc == 1, NOW))
        for network, said in zip(
            (Network.MANAGEMENT, Network.STORAGE), (known.agent % 3, known.agent // 3), strict=True
        ):
            if said:
                found.append(Answer(AskAgent(host, network, 1), said == 1, NOW))
        if known.clean:
            found += [Answer(Clean(host, each, 1), known.clean == 1, NOW) for each in NETWORKS]
        incident = self._known[number]
        for victim in incident.victims if incident else ():
            if said := known.starts[INSTANCES.index(victim.instance)]:
                deed = StartElsewhere(victim.instance, host, victim.target, victim.epoch)
                found.append(Answer(deed, said == 1, NOW))
        return found


def shortened(incident: Incident) -> Incident | None:
    """Return an incident without what no later step depends on; None for a closed one."""
    if incident.phase is Phase.CLOSED:
        return None
    short = replace(
        incident,
        opened_at=NOW,
        since=NOW,
        held="",
        version=1,
        attempts=_short_attempts(incident.attempts),
        proof=incident.proof and Proof(Method.BMC, NOW, ""),
        suspected_at=NOW,
        victims=tuple(sorted(map(_short_victim, incident.victims), key=lambda v: v.instance)),
        noticed=tuple(each for each in incident.noticed if each == CLEAN),
    )
    if incident.phase in _BEFORE:
        return replace(short, victims=(), attempts=(), cut=False, asked=False, proof=None)
    short = replace(short, recovery=Recovery.RESTART, cordoned=True)
    if incident.phase is Phase.FENCING:
        return replace(short, cut=bool(incident.attempts))
    short = replace(short, row=0, attempts=(), cut=True, asked=True)
    return replace(short, victims=()) if incident.phase is Phase.QUARANTINE else short


def _short_attempts(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Return the last attempt, and of those before it each kind once."""
    if not attempts:
        return ()
    *before, last = (
        replace(each, began_at=NOW, failed=each.failed and "failed") for each in attempts
    )
    kinds = {(each.method, each.over or "", each.fence, each.failed): each for each in before}
    return (*(kinds[kind] for kind in sorted(kinds)), last)


def orphaned(incident: Incident) -> Incident:
    """Return an incident as the next controller sees it: nothing was begun under its own fence."""
    return replace(
        incident,
        attempts=tuple(replace(each, fence=0) for each in incident.attempts),
        victims=tuple(replace(each, fence=0) for each in incident.victims),
        noticed=(),
    )


def target_of(instance: int) -> Callable[[Incident], int]:
    """Return what tells where an instance is being started: a position in HOSTS."""

    def of(incident: Incident) -> int:
        for each in incident.victims:
            if each.instance == INSTANCES[instance] and each.target:
                return HOSTS.index(each.target)
        return 0

    return of


def matters(incident: Incident) -> int:
    """Return which answers this incident still waits for, as a mask.

    1 of the management controller, 2 and 4 of the agent over management and storage network, 8
    that the host is clean, 16 and 32 that an instance was started.
    """
    mask = 0
    for each in incident.attempts:
        if each.fence == 1 and incident.phase is Phase.FENCING:
            over = 4 if each.over is Network.STORAGE else 2
            mask |= 1 if each.method is Method.BMC else over
    if incident.phase is Phase.QUARANTINE and CLEAN in incident.noticed:
        mask |= 8
    for victim in incident.victims:
        if victim.fate is Fate.STARTING and victim.fence == 1:
            mask |= 16 << INSTANCES.index(victim.instance)
    return mask


def sees(incident: Incident) -> int:
    """Return which facts the next step of an incident depends on, as a mask.

    1 the host itself, 2 what runs there, 4 rooms.
    """
    if incident.phase is Phase.RECOVERING:
        return 4
    return 3 if incident.phase in {Phase.WAITING, Phase.FENCING} else 1


def _short_victim(victim: Victim) -> Victim:
    return replace(victim, band=0, began_at=NOW, why="")


def _lost(mask: int) -> tuple[Network, ...]:
    front = (Network.MANAGEMENT, Network.TENANT) if mask & 1 else ()
    return (*front, Network.STORAGE) if mask & 2 else front


def _rooms(known: Known) -> Mapping[str, str]:
    return {INSTANCES[i]: HOSTS[room - 1] for i, room in enumerate(known.rooms) if room}
