# SPDX-License-Identifier: Apache-2.0
"""Whether the boundless world may stand for the counted one: each step of this is one of that.

Where this holds, and no state of the boundless world is bad, none of the counted one is, with any
number of faults: what was checked for some states of the counted world says so for all, as far as
its steps are alike everywhere. A clock that may still lose a second can do all that one can that
lost it, so a state stands for the same one with less to come, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.model.ha.incident import Incident
from billow.testing.ha.boundless import Boundless
from billow.testing.ha.choices import look_of
from billow.testing.ha.codes import ALL, MARK_BITS, MARKS, Codes, blank, mask_of, put
from billow.testing.ha.search import Found, Search
from billow.testing.ha.states import Mask, States
from billow.testing.ha.world import DONE, HOSTS, INSTANCES, NOT_DONE

SECOND: Final = "a second passes"
CHUNK: Final = 1 << 15
_ALIKE: Final = (("on", "on"), ("heard", "age"), ("lease", "lease"), ("quarantine", "quarantine"))


@dataclass(slots=True)
class Compared:
    """What a comparison came to.

    Attributes:
        steps: Different steps of the counted world, as the boundless one sees them.
        strange: How many of these are none of its steps.
        example: One of them, in words.
    """

    steps: int = 0
    strange: int = 0
    example: str = ""


def compare(search: Search, world: Boundless) -> tuple[Found, Compared]:
    """Compare all steps of a search of the counted world, as they are from either instance."""
    compared = Compared()
    seen = [Likeness(search, world, instance) for instance in INSTANCES]

    def watch(level: States) -> None:
        for each in seen:
            each.compare(level, compared)

    return search.run(watch=watch), compared


class Likeness:
    """Sees the counted world as the boundless one does, from one instance."""

    def __init__(self, search: Search, world: Boundless, instance: int) -> None:
        self._search = search
        self._world = world
        self._instance = instance
        self._looks = [search.records.lookup(self._look(host)) for host in HOSTS]
        self._none = world.number(look_of(search.records, 0, instance))

    def codes(self, states: States) -> Codes:
        """Return what the boundless world knows of states."""
        codes, instance = blank(len(states)), self._instance
        for host in HOSTS:
            said, start = states[f"said_agent{host}"], states[f"start{host}{instance}"]
            record = states[f"record{host}"]
            looks = np.where(record > 0, self._looks[host][record], self._none)
            obeys = states[f"obeyed{host}"] == 0
            cells = {ours: states[f"{name}{host}"] for name, ours in _ALIKE}
            cells |= {
                "look": looks,
                "cut": states[f"cut{host}"] == DONE,
                "agent": (said % 3 == 1) + 2 * (said // 3 == 1),
                "clean": states[f"clean{host}"] == DONE,
                "start": (start == DONE) + 2 * (start == NOT_DONE),
                "lag": states[f"lag{host}"] == 2,
                "old_clean": states[f"old_clean{host}"] * obeys,
            }
            codes = put(codes, **{f"{name}{host}": value for name, value in cells.items()})
        names = ("home", "runs", "old_start")
        return put(codes, **{name: states[f"{name}{instance}"] for name in names})

    def compare(self, level: States, compared: Compared) -> None:
        """Compare all steps from some states."""
        for at in range(0, len(level), CHUNK):
            self._compare(States(level.rows[at : at + CHUNK].copy()), compared)

    def _compare(self, states: States, compared: Compared) -> None:
        states["mark"] = np.arange(len(states))
        before = self.codes(states)
        pairs: dict[str, list[tuple[Codes, Codes]]] = {}
        for what, after in self._search.steps(states):
            word = what if what == SECOND else ""
            pairs.setdefault(word, []).append((before[after["mark"]], self.codes(after)))
        for word, some in pairs.items():
            was, now = (np.concatenate(each) for each in zip(*some, strict=True))
            self._check(word, was, now, compared)

    def _check(self, word: str, was: Codes, now: Codes, compared: Compared) -> None:
        """Compare steps, some sources at a time: each is marked, and so is what comes of it."""
        known, place = np.unique(was, return_inverse=True)
        for at in range(0, len(known), 1 << MARK_BITS):
            sources = known[at : at + (1 << MARK_BITS)]
            sources |= np.arange(len(sources), dtype=np.uint64) << np.uint64(MARKS)
            mine = (place >= at) & (place < at + len(sources))
            steps = now[mine] | (place[mine] - at).astype(np.uint64) << np.uint64(MARKS)
            steps = np.unique(steps)
            strange = steps[~self._can(word, sources, steps)]
            compared.steps += len(steps)
            compared.strange += len(strange)
            if strange.size and not compared.example:
                before = sources[strange[:1] >> np.uint64(MARKS) & np.uint64((1 << MARK_BITS) - 1)]
                compared.example = self._world.differences(before, strange)

    def _can(self, word: str, sources: Codes, steps: Codes) -> Mask:
        """Return which steps the boundless world can take; to stay is always possible."""
        if word == SECOND:
            first = (codes for _, codes in self._world.second(sources, 0))
            after = [codes for each in first for _, codes in self._world.second(each, 1)]
        else:
            after = [sources, *(codes for _, codes in self._world.steps(sources))]
        able = np.unique(np.concatenate(after))
        lags = [mask_of(f"lag{host}") for host in HOSTS]
        like = (steps & np.uint64(ALL & ~less) for less in (0, lags[0], lags[1], sum(lags)))
        return np.asarray(np.any([np.isin(each, able) for each in like], axis=0))

    def _look(self, host: int) -> Callable[[Incident], int]:
        records, world, instance = self._search.records, self._world, self._instance

        def number(incident: Incident) -> int:
            return world.number(look_of(records, records.number(incident), instance, host))

        return number
