# SPDX-License-Identifier: Apache-2.0
"""`billow agent --check`: what can be looked at on this host, and what it lacks."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from billow.agent import privilege
from billow.agent.options import Options
from billow.agent.probes.register import all_probes
from billow.agent.trust import as_client
from billow.agent.watchdog import STAND_IN, no_way_out
from billow.errors import NotFound
from billow.model.ha.evidence import NETWORKS


@dataclass(frozen=True, slots=True)
class Line:
    """One thing.

    Attributes:
        well: Whether it is there; None for what is merely absent and harms nothing.
    """

    what: str
    well: bool | None
    text: str


def check(options: Options, *, as_json: bool) -> int:
    """Print every line; return 1 when something is missing that an agent needs."""
    lines = [*_papers(options), *_lines(options), *_watchdog(options), *_rights()]
    lines += [_probe(probe.name, probe.missing()) for probe in all_probes(options)]
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in lines]) + "\n")
    else:
        words = {True: "ok", False: "MISSING", None: "absent"}
        for each in lines:
            sys.stdout.write(f"{words[each.well]:8}{each.what:17}{each.text}\n")
    return 1 if any(each.well is False for each in lines) else 0


def _papers(options: Options) -> Iterator[Line]:
    try:
        as_client(options.state)
    except (NotFound, OSError) as error:
        yield Line("papers", well=False, text=str(error).splitlines()[0])
    else:
        yield Line("papers", well=True, text=f"in {options.state}")


def _lines(options: Options) -> Iterator[Line]:
    if not options.controllers:
        yield Line("controllers", well=False, text="none was named: --controller")
    for network in NETWORKS:
        address = options.local.get(network, "")
        text = f"from {address}" if address else f"no address of this host: --{network}"
        yield Line(network.value, well=bool(address), text=text)


def _watchdog(options: Options) -> Iterator[Line]:
    """Say what keeps a lease; the device is not opened, for then it would run."""
    name = options.watchdog
    if not name:
        yield Line("watchdog", well=None, text="no lease: --watchdog and --lease")
    elif name == STAND_IN:
        yield Line("watchdog", well=True, text="a process ends the guests: for labs only")
    elif not Path(name).exists():
        yield Line("watchdog", well=False, text=f"there is no {name}")
    else:
        stays = {True: "nowayout: it counts always", False: "it can be stopped", None: ""}
        yield Line("watchdog", well=True, text=f"{name} {stays[no_way_out(Path(name))]}".strip())


def _rights() -> Iterator[Line]:
    lacks = list(privilege.taken())
    for text in lacks:
        yield Line("rights", well=None, text=text)
    if not lacks:
        yield Line("rights", well=True, text="memory locked, real-time, not ended for memory")


def _probe(name: str, missing: str) -> Line:
    return Line(name, well=None if missing else True, text=missing or "looks")
