# SPDX-License-Identifier: Apache-2.0
"""What one controller knows of one incident at one instant, and the times that bind it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Self

from billow.model.ha.evidence import Sight
from billow.model.ha.incident import Victim
from billow.model.ha.policy import HaPolicy
from billow.model.ha.response import Answer, Grace, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The times and counts of an incident, in seconds where they end on `_s`.

    Attributes:
        settle_s: The least time that a row must hold before anything is ended or moved for it: a
            switch that fails takes all of its hosts in that time, and the storm gate sees them.
        agent_s: How long an agent may take to end its instances and say so.
        bmc_s: How long a management controller may take to turn a host off and read off twice.
        again_s: After all ways to a proof were tried, how long until they are tried again.
        margin_s: What is added to a lease: drift of clocks and the slack of a kernel's timer.
        starts: Tries on as many hosts before an instance is left to a person.
        clean_beats: Rounds of clean beats before a host counts again.
    """

    settle_s: float = 0.5
    storage_grace_s: float = 10.0
    isolation_grace_s: float = 30.0
    hung_grace_s: float = 10.0
    agent_s: float = 5.0
    bmc_s: float = 30.0
    again_s: float = 10.0
    margin_s: float = 2.0
    starts: int = 3
    clean_beats: int = 10

    @classmethod
    def of(cls, policy: HaPolicy) -> Self:
        """Return the times that a policy sets."""
        return cls(**{each.name: getattr(policy, each.name) for each in fields(cls)})

    def grace_s(self, grace: Grace) -> float:
        """Return how long a row that gives a grace must hold."""
        asked_s = {
            Grace.NONE: 0.0,
            Grace.STORAGE: self.storage_grace_s,
            Grace.ISOLATION: self.isolation_grace_s,
            Grace.HUNG: self.hung_grace_s,
        }[grace]
        return max(asked_s, self.settle_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known.

    Attributes:
        now: Seconds since the epoch.
        fence: This controller's; it rises with each change of the writer.
        response: What the row asks for that holds now.
        shut: Why nothing may be ended or moved now (storm, maintenance, disarmed, no quorum); the
            same sentence while the reason is the same; empty when it may.
        storm: Which storm its host stands in, a key; empty for none. People are then told of the
            storm once, and nothing is closed off host by host.
        answers: How this controller's own deeds for this incident ended.
        victims: What runs on the host as far as is known, in the order of recovery; those that
            cannot be started elsewhere are LEFT, with why.
        unseen: Whether its host is proved dead, and the pool was not looked at since.
        rooms: Where an instance can be started now; one without a room waits.
        nowhere: Why an instance has no room, as far as that was looked for; one that is in neither
            waits for its turn, or for a host to be chosen.
    """

    now: float
    fence: int
    sight: Sight
    response: Response
    shut: str = ""
    storm: str = ""
    answers: tuple[Answer, ...] = ()
    victims: tuple[Victim, ...] = ()
    unseen: bool = False
    rooms: Mapping[str, str] = field(default_factory=dict)
    nowhere: Mapping[str, str] = field(default_factory=dict)

    def is_over(self, since: float, limit_s: float) -> bool:
        """Whether a time limit is over; so is one from later than now: a clock was put back."""
        return not 0.0 <= self.now - since < limit_s

    def answer(self, deed: object, since: float) -> Answer | None:
        """Return how a deed ended that was begun at `since`; None while it is under way."""
        found = (each for each in self.answers if each.deed == deed and each.at >= since)
        return next(found, None)
