# SPDX-License-Identifier: Apache-2.0
"""No double run: every state of a small world under the production protocol of high availability.

What is searched: hosts that fail in every way, orders that arrive late or never, and controllers
that stop anywhere, in every order. The first search has no bound on the faults, and remembers less
of the world, so that more can happen in it; the others count the faults and name their bounds. That
the first stands for these is checked at each of their steps. A search that is not whole within
`--most` states is an error, not a figure. The last figures let nothing fail any more from every
visited state on: each must come to a good end.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from benchmarks.figure import Better, Figure
from billow.testing.ha.boundless import Boundless
from billow.testing.ha.choices import choices_of
from billow.testing.ha.healing import Mended
from billow.testing.ha.records import Records
from billow.testing.ha.search import Found, Search
from billow.testing.ha.stands import compare
from billow.testing.ha.sweep import swept
from billow.testing.ha.world import LEASE, SPARE, Rules

_ONE_HOST = Rules(failing=(0,))
_ONE_INSTANCE = Rules(placed=(0, SPARE))
_BOTH = Rules()


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the bounds."""
    parser.add_argument("--one-host", type=int, default=4, help="faults, one host can fail")
    parser.add_argument("--one-instance", type=int, default=3, help="faults, two hosts can fail")
    parser.add_argument("--both", type=int, default=2, help="faults, two hosts and two instances")
    parser.add_argument("--heals", type=int, default=3, help="faults, then all is mended")
    parser.add_argument("--most", type=float, default=1e8, help="states of one search")


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Search each world, the smaller ones first."""
    most = int(arguments.most)
    records = Records(LEASE)
    boundless = Boundless(choices_of(records))
    name = "two failing hosts, one instance among others, any number of faults"
    yield from _searched(name, lambda: _swept(boundless, most, records.turns()))
    worlds = (
        ("one failing host", replace(_ONE_HOST, faults=arguments.one_host)),
        ("two failing hosts, one instance", replace(_ONE_INSTANCE, faults=arguments.one_instance)),
        ("two failing hosts, two instances", replace(_BOTH, faults=arguments.both)),
    )
    for words, rules in worlds:
        name = f"{words}, {rules.faults} faults"
        yield from _searched(name, partial(Search(rules).run, most))
        yield from _alike(name, boundless, Search(rules))
    for words, mended in (("it returns", Mended()), ("it is off for good", Mended(boots=False))):
        rules = replace(_ONE_HOST, faults=arguments.heals, heals=True)
        name = f"one failing host, {rules.faults} faults, then all is mended and {words}"
        yield from _searched(name, partial(Search(rules, mended=mended).run, most))


def _swept(world: Boundless, most: int, asked: int) -> Found:
    return replace(swept(world, most), asked=asked)


def _alike(name: str, world: Boundless, search: Search) -> Iterator[Figure]:
    """Compare each step of a counted world with what the boundless one can do.

    In a walk of its own, so that the speed of the search is that of a search.
    """
    _, compared = compare(search, world)
    if compared.example:
        print(f"the boundless world lacks: {compared.example}", file=sys.stderr)
    words = f"{name}: steps of {compared.steps} that the boundless world lacks"
    yield Figure(words, compared.strange, "steps", goal=0)


def _searched(name: str, search: Callable[[], Found]) -> Iterator[Figure]:
    began = time.perf_counter()
    found = search()
    took_s = time.perf_counter() - began
    if not found.whole and not found.broken:
        raise SystemExit(f"{name}: not whole after {found.states:,} states; raise --most")
    yield Figure(f"{name}: ways to a state that must not be", _broken(found), "ways", goal=0)
    yield Figure(f"{name}: states visited", found.states, "states")
    yield Figure(f"{name}: transitions", found.transitions, "transitions")
    yield Figure(f"{name}: questions to the protocol", found.asked, "questions")
    yield Figure(f"{name}: speed", found.states / took_s, "states/s", better=Better.HIGHER)


def _broken(found: Found) -> int:
    if found.broken:
        print(f"{found.broken}:", *found.way, sep="\n  ", file=sys.stderr)
    return int(bool(found.broken))
