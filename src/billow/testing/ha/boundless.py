# SPDX-License-Identifier: Apache-2.0
"""The world without a bound on faults: two hosts that fail in every way, and one instance.

Networks, machines that stand still and management controllers are not remembered: whoever speaks
is heard or not, whatever is ordered is carried out, refused, answered or not, at each moment anew.
The seconds of the hosts pass apart. So more may happen here than in the counted world (`world`),
and never less; `stands` checks that step by step.

This module must not decide anything that a controller decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from billow.testing.ha.choices import OTHER, Choice, Choices, Look, Seen
from billow.testing.ha.codes import (
    ALL,
    BODY,
    BODY_BITS,
    CELLS,
    PLACE,
    Codes,
    blank,
    cell,
    mask_of,
    put,
)
from billow.testing.ha.states import Mask
from billow.testing.ha.world import HOSTS, LEASE, OLDEST, SPARE

Step: TypeAlias = tuple[str, Codes]
"""What happened, and the states after it."""
_BMC, _CLEAN, _START = 1, 8, 16
"""Which answers an incident waits for: `Look.awaits`."""
_TABLE: Final = {"there": BODY_BITS, "well": BODY_BITS + 1}
"""What is seen beside the host's own cells, and its place."""
_POWERED: Final = ("on", "lease", "lag", "quarantine")
_WELL: Final = {"on": 1, "lease": LEASE}
_SIZES: Final = {"on": 2, "age": OLDEST + 1, "there": 2, "well": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """Parts of the design, each of which can be left out to see whether that is found.

    Attributes:
        quarantined: A host that was fenced or booted starts nothing before it was cleaned.
        home_first: The record of homes is asked and changed before a start.
        refuses: A host refuses an old order to clean: of another boot, or older than one obeyed.
    """

    quarantined: bool = True
    home_first: bool = True
    refuses: bool = True


class Boundless:
    """What may happen next."""

    def __init__(self, choices: Choices, care: Care | None = None) -> None:
        self.looks = choices.looks()
        self.care = care or Care()
        self._number = {look: number for number, look in enumerate(self.looks)}
        self._awaits = _numbers(look.awaits for look in self.looks)
        self._orphan = _numbers(
            self._number[choices.orphans.get(look, look)] for look in self.looks
        )
        self._target = [
            _numbers(1 - host if look.target == OTHER else look.target for look in self.looks)
            for host in HOSTS
        ]
        self._deeds = [self._table(choices, host) for host in HOSTS]

    def number(self, look: Look) -> int:
        """Return the number of a look; one that no incident can have has none of its own."""
        return self._number.get(look, len(self.looks))

    def beginning(self) -> Codes:
        """Return the state in which all is well, and the instance runs on host 0."""
        cells = {f"{name}{host}": value for host in HOSTS for name, value in _WELL.items()}
        return put(blank(1), runs=1, **cells)

    def steps(self, codes: Codes) -> Iterator[Step]:
        """Yield all that may happen next."""
        for host in HOSTS:
            yield from self.second(codes, host)
            yield from self._power(codes, host)
            yield from self._agent(codes, host)
            yield from self._cleaning(codes, host)
            yield from self._start(codes, host)
            yield from self._old_start(codes, host)
            yield f"the leader decides for {host}, and writes it", self._decided(codes, host)
        yield "another controller leads", self._led_anew(codes)
        yield "whoever starts instances obeys a newer controller", put(codes, old_start=0)

    def differences(self, was: Codes, now: Codes) -> str:
        """Return which cells of the first state differ, as words."""
        cells = ((name, int(cell(was, name)[0]), int(cell(now, name)[0])) for name in CELLS)
        return "; ".join(
            f"{name} {self._word(name, before)} -> {self._word(name, after)}"
            for name, before, after in cells
            if before != after
        )

    def _word(self, name: str, value: int) -> str:
        if not name.startswith("look") or value >= len(self.looks):
            return str(value)
        look = self.looks[value]
        return f"({look.phase or 'none'}, awaits {look.awaits}, {look.fate or 'not known'})"

    def second(self, codes: Codes, host: int) -> Iterator[Step]:
        """Yield the passing of a second on a host; its watchdog may fire in it."""
        on, age, lease = (cell(codes, f"{name}{host}") for name in ("on", "age", "lease"))
        on_air = put(codes[on > 0], **{f"age{host}": 0, f"lease{host}": LEASE, f"lag{host}": 0})
        yield f"{host} is heard", on_air
        after = put(codes, **{f"age{host}": np.minimum(age + np.uint64(1), np.uint64(OLDEST))})
        slow = after[(on > 0) & (cell(codes, f"lag{host}") == 0)]
        yield f"{host} is not heard, and its clock loses the second", put(slow, **{f"lag{host}": 1})
        after = put(after, **{f"lease{host}": lease - (lease > 0)})
        fired = (on > 0) & (lease == 1)
        after[fired] = _out(after[fired], host)
        yield f"{host} is not heard", after

    def _power(self, codes: Codes, host: int) -> Iterator[Step]:
        on = cell(codes, f"on{host}") > 0
        yield f"{host} loses its power", _out(codes[on], host)
        cut = _out(codes[self._awaited(codes, host, _BMC)], host)
        yield f"{host} is turned off, and its controller is told", put(cut, **{f"cut{host}": 1})
        off = codes[~on & (cell(codes, f"age{host}") > 1)]
        up = {"on": 1, "lease": LEASE, "quarantine": self.care.quarantined}
        booted = put(off, **{f"{name}{host}": value for name, value in up.items()})
        yield f"{host} boots", self._refusing(booted, host)

    def _agent(self, codes: Codes, host: int) -> Iterator[Step]:
        """Yield that an agent ends all, for whatever controller; nothing starts there then."""
        on = cell(codes, f"on{host}") > 0
        ended = put(_ended(codes[on], host), **{f"quarantine{host}": self.care.quarantined})
        yield f"{host} ends all for an older controller", ended
        for bit in (1, 2):
            asked = self._refusing(ended[self._awaited(ended, host, 2 * bit)], host)
            yield f"{host} ends all, and its answer is lost", asked
            said = cell(asked, f"agent{host}") | np.uint64(bit)
            yield f"{host} ends all, and says so", put(asked, **{f"agent{host}": said})

    def _cleaning(self, codes: Codes, host: int) -> Iterator[Step]:
        on = cell(codes, f"on{host}") > 0
        begun = self._begun(codes, host, _CLEAN, "clean")
        asked = self._refusing(_cleaned(codes[on & begun], host), host)
        yield f"{host} cleans itself, and says so", put(asked, **{f"clean{host}": 1})
        old = _cleaned(codes[on & (cell(codes, f"old_clean{host}") > 0)], host)
        yield f"{host} cleans itself for an older controller", put(old, **{f"old_clean{host}": 0})

    def _start(self, codes: Codes, host: int) -> Iterator[Step]:
        """Yield what becomes of a start; no older controller is obeyed after it."""
        some = put(codes[self._begun(codes, host, _START, "start")], old_start=0)
        target, home = self._target[host][cell(some, f"look{host}")], cell(some, "home")
        mine = home == host if self.care.home_first else np.ones(len(some), dtype=np.bool_)
        moves, there = mine & (home != target), home == target
        yield f"its home is moved from {host}", put(some[moves], home=target[moves])
        wrong = some[~mine & ~there]
        yield f"its start is refused: {host} is not its home", put(wrong, **{f"start{host}": 2})
        now = there & _takes(some, target)
        begins = _running(some[now], target[now])
        yield f"it starts elsewhere for {host}", put(begins, **{f"start{host}": 1})
        back = some[there & (cell(some, "runs") >> target & np.uint64(1) == 0)]
        yield f"its target refuses it for {host}", put(back, **{"home": host, f"start{host}": 2})

    def _old_start(self, codes: Codes, host: int) -> Iterator[Step]:
        home, old = cell(codes, "home"), cell(codes, "old_start")
        for number in {0, 1, SPARE} - {host}:
            bit = np.uint64(1 << (number + 3 * host))
            target = np.full(len(codes), number, dtype=np.uint64)
            given = old & bit > 0
            mine = home == host if self.care.home_first else home != target
            moved = put(codes[given & mine], home=number)
            yield f"an older controller moves its home from {host} to {number}", moved
            now = given & (home == target) & _takes(codes, target)
            after = put(_running(codes[now], target[now]), old_start=old[now] & ~bit)
            yield f"an older controller starts it on {number}", after

    def _led_anew(self, codes: Codes) -> Codes:
        """Return the states after another controller became the writer: all is an old order now."""
        after, old_start = codes, cell(codes, "old_start")
        for host in HOSTS:
            look = cell(codes, f"look{host}")
            bit = np.uint64(1) << (self._target[host][look] + np.uint64(3 * host))
            old_start |= np.where(self._begun(codes, host, _START, "start"), bit, np.uint64(0))
            old_clean = cell(codes, f"old_clean{host}") | self._begun(codes, host, _CLEAN, "clean")
            gone = {f"{name}{host}": 0 for name in ("cut", "agent", "clean", "start")}
            now = {f"old_clean{host}": old_clean, f"look{host}": self._orphan[look]}
            after = put(after, **gone, **now)
        return put(after, old_start=old_start)

    def _decided(self, codes: Codes, host: int) -> Codes:
        """Return the states after each step that the protocol may take for a host."""
        ends, keep, bits = self._deeds[host]
        other = 1 - host
        there = cell(codes, "home") == host
        well = (cell(codes, f"on{other}") > 0) & (
            cell(codes, f"look{other}") == self.number(Look())
        )
        key = codes >> np.uint64(PLACE[f"on{host}"]) & np.uint64((1 << BODY_BITS) - 1)
        for seen, name in ((there, "there"), (well, "well")):
            key |= seen.astype(np.uint64) << np.uint64(_TABLE[name])
        rows = key.astype(np.int64)
        counts = ends[rows + 1] - ends[rows]
        first = np.repeat(ends[rows] - (np.cumsum(counts) - counts), counts)
        at = np.arange(int(counts.sum())) + first
        return np.asarray((np.repeat(codes, counts) & keep[at]) | bits[at])

    def _table(self, choices: Choices, host: int) -> tuple[NDArray[np.int64], Codes, Codes]:
        """Return all choices by what is seen: where each row ends, bits to keep and bits to set."""
        rows: list[set[tuple[int, int]]] = [set() for _ in range(1 << (BODY_BITS + 2))]
        for (look, seen), some in choices.steps.items():
            deeds = {deed for each in some for deed in self._deed(each, look, seen, host)}
            for row in _rows(seen, self.number(look)):
                rows[row] |= deeds
        ends = np.cumsum([0, *map(len, rows)])
        flat = [deed for row in rows for deed in sorted(row)]
        return ends, _numbers(keep for keep, _ in flat), _numbers(bits for _, bits in flat)

    def _deed(self, choice: Choice, look: Look, seen: Seen, host: int) -> Iterator[tuple[int, int]]:
        """Yield which bits a choice keeps, and which it sets.

        What is ordered anew has no answer yet, and what nobody waits for any more is forgotten; an
        order to clean may still be on its way then.
        """
        awaits = choice.look.awaits
        gone = {
            "look": mask_of(f"look{host}"),
            "cut": (choice.cut or not awaits & _BMC) * mask_of(f"cut{host}"),
            "agent": (choice.ask | ~awaits >> 1) % 4 << PLACE[f"agent{host}"],
            "clean": (choice.clean or not awaits & _CLEAN) * mask_of(f"clean{host}"),
            "start": (choice.start or not awaits & _START) * mask_of(f"start{host}"),
        }
        keep = ALL & ~sum(gone.values())
        bits = self.number(choice.look) << PLACE[f"look{host}"]
        yield keep, bits
        if look.awaits & ~awaits & _CLEAN and not seen.clean:
            yield keep, bits | mask_of(f"old_clean{host}")

    def _awaited(self, codes: Codes, host: int, what: int) -> Mask:
        return np.asarray(self._awaits[cell(codes, f"look{host}")] & np.uint64(what) > 0)

    def _refusing(self, codes: Codes, host: int) -> Codes:
        """Return the states in which a host refuses what it was told to clean before."""
        return put(codes, **{f"old_clean{host}": 0}) if self.care.refuses else codes

    def _begun(self, codes: Codes, host: int, what: int, name: str) -> Mask:
        """Return where an order is under way: it is waited for, and nothing was said to it."""
        unsaid = cell(codes, f"{name}{host}") == 0
        return np.asarray(self._awaited(codes, host, what) & unsaid)


def running_twice(codes: Codes) -> Mask:
    """Return where the instance runs on two hosts."""
    runs = cell(codes, "runs")
    return np.asarray((runs & (runs - (runs > 0))) > 0)


def _out(codes: Codes, host: int) -> Codes:
    """Take the power from a host."""
    return put(_ended(codes, host), **{f"{name}{host}": 0 for name in _POWERED})


def _ended(codes: Codes, host: int) -> Codes:
    return put(codes, runs=cell(codes, "runs") & np.uint64(7 - (1 << host)))


def _running(codes: Codes, target: Codes) -> Codes:
    return put(codes, runs=cell(codes, "runs") | np.uint64(1) << target)


def _cleaned(codes: Codes, host: int) -> Codes:
    ended = np.where(cell(codes, "home") != host, _ended(codes, host), codes)
    return put(ended, **{f"quarantine{host}": 0, f"age{host}": 0})


def _takes(codes: Codes, target: Codes) -> Mask:
    takes = target == SPARE
    for host in HOSTS:
        up = (cell(codes, f"on{host}") > 0) & (cell(codes, f"quarantine{host}") == 0)
        takes |= (target == host) & up
    return np.asarray(takes)


def _rows(seen: Seen, look: int) -> Iterator[int]:
    """Yield each row of the table that a choice stands in: what it does not see may be anything."""
    shifts = {name: PLACE[f"{name}0"] for name in BODY} | _TABLE
    cells = {**seen._asdict(), "look": look}
    values = [
        range(_SIZES[name]) if value is None else (int(value),) for name, value in cells.items()
    ]
    for each in product(*values):
        yield sum(value << shifts[name] for name, value in zip(cells, each, strict=True))


def _numbers(numbers: Iterator[int]) -> Codes:
    return np.array(list(numbers), dtype=np.uint64)
