# SPDX-License-Identifier: Apache-2.0
"""Faults by script: what goes wrong in a simulated world, when, and to whom.

    # seconds of the world since it began
    at 120 host h3 dies
    at 300 host h3 returns
    at 60 away for 20               the engine answers nobody
    at 90 stale for 30              sensing shows the pool as it was at 90
    on migrate fails at 0.5         every migration fails half-way
    on 2nd place web-* hangs for 30 the second place of such an instance waits first
    on 3rd start is lost            it is done, but its caller never hears of it
    on any h7 fails at 0            whatever is done to h7
    at 30 rack r1 loses storage     and all else that `fault` knows

A script is a value; the world counts and strikes.
"""

import math
import re
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Self

from billow.engines.sim.fault import Fault
from billow.engines.sim.operation import Strike
from billow.errors import Invalid
from billow.model.action import VERBS, Action

ANY = "any"
"""The verb that stands for all."""


class Mishap(StrEnum):
    """What happens at a moment."""

    DIES = "dies"
    RETURNS = "returns"
    AWAY = "away"
    STALE = "stale"
    BEFALLS = "befalls"
    """A fault of the field (`fault`) befalls hosts."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that goes wrong (or well again) at a moment.

    Attributes:
        at: Seconds since the world began.
        host: Whom it concerns; empty when it is the engine's answers.
        lasts_s: How long the engine is away or stale.
    """

    at: float
    mishap: Mishap
    host: str = ""
    lasts_s: float = 0.0
    fault: Fault | None = None

    def holds(self, now: float) -> bool:
        """Return whether it is under way."""
        return self.at <= now < self.at + self.lasts_s


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done to actions of a kind.

    Attributes:
        verb: Whose actions, or `any`.
        name: A pattern for the instance's or host's name.
        nth: Only to the nth that is accepted, from 1; 0 for every one.
    """

    strike: Strike
    verb: str = ANY
    name: str = "*"
    nth: int = 0

    def concerns(self, action: Action) -> bool:
        """Return whether an action is of the kind, whatever its turn."""
        name = action.subject.partition("/")[2]
        return self.verb in (ANY, action.name) and fnmatchcase(name, self.name)


@dataclass(frozen=True, slots=True)
class Script:
    """All that goes wrong in a world."""

    moments: tuple[Moment, ...] = ()
    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a script. Raises Invalid that names the line."""
        moments, rules = [], []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].strip()
            if moment := _AT.fullmatch(words):
                moments.append(_moment(moment))
            elif befalls := _befalls(words):
                moments.append(befalls)
            elif rule := _ON.fullmatch(words):
                rules.append(_rule(rule))
            elif words:
                raise Invalid(
                    f"line {number} of the script is not understood: {words!a}",
                    fix='write "at 120 host h3 dies" or "on 2nd migrate vm-* fails at 0.5"',
                    code="invalid-script",
                )
        return cls(tuple(moments), tuple(rules))

    def away(self, now: float) -> bool:
        """Return whether the engine answers nobody."""
        return any(m.mishap is Mishap.AWAY and m.holds(now) for m in self.moments)


_NUMBER = r"(\d+(?:\.\d+)?)"
_VERB = "|".join([*VERBS, ANY])
_AT = re.compile(rf"at {_NUMBER} (?:host (\S+) (dies|returns)|(away|stale) for {_NUMBER})")
_FAULT = re.compile(rf"at {_NUMBER} ((?:host|rack|zone|all|observer) .+)")
_ON = re.compile(
    rf"on (?:(\d+)(?:st|nd|rd|th) )?({_VERB})(?: (?!fails|hangs|is )(\S+))? "
    rf"(?:fails at {_NUMBER}|hangs for {_NUMBER}|is (lost))"
)


def _moment(found: re.Match[str]) -> Moment:
    at, host, mishap, answer, lasts = found.groups()
    return Moment(float(at), Mishap(mishap or answer), host or "", float(lasts or 0))


def _befalls(words: str) -> Moment | None:
    """Return the fault that a line tells of; None when it tells of none."""
    found = _FAULT.fullmatch(words)
    if found is None:
        return None
    with suppress(Invalid):
        return Moment(float(found[1]), Mishap.BEFALLS, fault=Fault.parse(found[2]))
    return None


def _rule(found: re.Match[str]) -> Rule:
    nth, verb, name, fails_at, hangs, lost = found.groups()
    strike = Strike(
        hang_s=float(hangs or 0),
        fails_at=math.nan if fails_at is None else _share(float(fails_at)),
        lost=lost is not None,
    )
    return Rule(strike, verb, name or "*", int(nth or 0))


def _share(number: float) -> float:
    if number <= 1:
        return number
    raise Invalid(f"an action cannot fail at {number:g}", fix="give a share from 0 to 1")
