# SPDX-License-Identifier: Apache-2.0
"""What can befall hosts of a simulated world beside their death, each as one line of text.

    host h3 loses storage tenant      rack r1 loses everything       zone z1 regains storage
    host h3 freezes                   host h3 thaws                  host h3 crashes
    host h3 gasps                     rack r2 goes dark              host h3 comes up
    host h3 agent hangs               host h3 agent dies             host h3 agent starts
    host h3 hardware hurting          host h3 bmc dies               host h3 bmc lies
    host h3 bmc is another's          host h3 bmc answers after 5    host h3 lease 4
    host h3 heals                     all heals                      observer c1 loses storage

A fault is a value; the field strikes.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from billow.errors import Invalid
from billow.model.ha.evidence import NETWORKS, Hardware, Network

EVERYTHING: Final = "everything"


class Whom(StrEnum):
    """What a fault befalls."""

    HOST = "host"
    RACK = "rack"
    ZONE = "zone"
    ALL = "all"
    OBSERVER = "observer"


class Blow(StrEnum):
    """What happens."""

    LOSES = "loses"
    REGAINS = "regains"
    FREEZES = "freezes"
    THAWS = "thaws"
    CRASHES = "crashes"
    """Its kernel is dead, and says nothing; it has power."""
    GASPS = "gasps"
    """Its kernel dies, and says so with its last message."""
    DARK = "goes dark"
    """It has no power; its management controller lives."""
    UP = "comes up"
    """It boots: power, a new kernel, an agent; nothing else starts by itself."""
    AGENT_DIES = "agent dies"
    """Its kernel answers in its place, and says so at once."""
    AGENT_HANGS = "agent hangs"
    """It says nothing; its kernel answers whoever asks."""
    AGENT_STARTS = "agent starts"
    HARDWARE = "hardware"
    LEASE = "lease"
    BMC_DIES = "bmc dies"
    BMC_LIES = "bmc lies"
    """It reads off, and says that it turned the host off, whatever is true."""
    BMC_SWAPPED = "bmc is another's"
    BMC_ANSWERS = "bmc answers"
    HEALS = "heals"
    """All that was broken is mended; what runs runs on, what is dead stays so until it comes up."""
    BMC_ON = "bmc on"
    """Its management controller gives it power, and it boots."""
    FENCED = "is fenced"
    """Its agent ends what runs there."""
    CLEANED = "is cleaned"
    """Its agent ends what runs elsewhere by now, and it counts again."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that befalls some hosts, or one observer.

    Attributes:
        name: The host, rack, zone or observer; empty for all.
        networks: For LOSES and REGAINS, which.
        grade: For HARDWARE, how ill its agent says that it is.
        number: Seconds for LEASE and BMC_ANSWERS, the controller's fence for FENCED and CLEANED.
    """

    whom: Whom
    name: str
    blow: Blow
    networks: tuple[Network, ...] = ()
    grade: Hardware = Hardware.SOUND
    number: float = 0.0

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line. Raises Invalid."""
        try:
            return cls._parsed(line.split())
        except (ValueError, IndexError, KeyError) as error:
            raise Invalid(
                f"the fault {line!a:.80} is not understood",
                fix='say "host h3 loses storage", "rack r1 goes dark" or "host h3 bmc dies"',
                code="invalid-fault",
            ) from error

    @classmethod
    def _parsed(cls, words: list[str]) -> Self:
        whom = Whom(words[0])
        name, rest = ("", words[1:]) if whom is Whom.ALL else (words[1], words[2:])
        text = " ".join(rest)
        blow = max(each for each in Blow if f"{text} ".startswith(f"{each} "))
        more = text.removeprefix(blow).split()
        if whom is Whom.OBSERVER and blow not in _NETWORKED:
            raise ValueError("an observer only loses and regains networks")
        if blow in _NETWORKED:
            return cls(whom, name, blow, _networks(more))
        if blow is Blow.HARDWARE:
            (grade,) = more
            return cls(whom, name, blow, grade=Hardware[grade.upper()])
        if blow in _NUMBERED:
            more = [word for word in more if word != "after"] or ["0"]
            (number,) = more
            return cls(whom, name, blow, number=_number(number))
        if more:
            raise ValueError("words are left over")
        return cls(whom, name, blow)

    def __str__(self) -> str:
        words = [self.whom, self.name, self.blow]
        if self.blow in _NETWORKED:
            words += self.networks
        elif self.blow is Blow.HARDWARE:
            words.append(self.grade.name.lower())
        elif self.blow in _NUMBERED:
            after = "after " if self.blow is Blow.BMC_ANSWERS else ""
            words.append(f"{after}{self.number:g}")
        return " ".join(word for word in words if word)


_NETWORKED: Final = frozenset({Blow.LOSES, Blow.REGAINS})
_NUMBERED: Final = frozenset({Blow.LEASE, Blow.BMC_ANSWERS, Blow.FENCED, Blow.CLEANED})


def _networks(words: list[str]) -> tuple[Network, ...]:
    named = NETWORKS if words == [EVERYTHING] else tuple(Network(word) for word in words)
    if not named:
        raise ValueError("no network is named")
    return tuple(each for each in NETWORKS if each in named)


def _number(word: str) -> float:
    number = float(word)
    if not 0 <= number < 1e9:
        raise ValueError("not a number of seconds")
    return number
