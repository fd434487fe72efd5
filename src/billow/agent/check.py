# SPDX-License-Identifier: Apache-2.0
"""`billow agent --check`: what can be looked at on this host, and what it lacks."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from billow.agent import autostart, privilege
from billow.agent.options import Options
from billow.agent.prober import blind_probes
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
        warns: Whether it is there and does harm, though an agent can do without its end.
    """

    what: str
    well: bool | None
    text: str
    warns: bool = False

    @property
    def word(self) -> str:
        """How it stands, in a word."""
        if self.warns:
            return "WARNING"
        return {True: "ok", False: "MISSING", None: "absent"}[self.well]


def check(options: Options, *, as_json: bool) -> int:
    """Print every line; return 1 when something is missing that an agent needs."""
    lines = [*_papers(options), *_lines(options), *_watchdog(options), *_rights()]
    lines += _autostart()
    blind = blind_probes(options.state)
    lines += [
        _probe(probe.name, probe.missing(), blind.get(probe.name, ""))
        for probe in all_probes(options)
    ]
    if as_json:
        sys.stdout.write(json.dumps([asdict(each) for each in lines]) + "\n")
    else:
        for each in lines:
            sys.stdout.write(f"{each.word:8}{each.what:17}{each.text}\n")
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


def _autostart() -> Iterator[Line]:
    """Say what starts guests when this host boots, before it is cleaned."""
    try:
        found = list(autostart.starters())
    except OSError as error:
        yield Line("autostart", well=None, text=f"cannot be seen: {error}")
        return
    for text in found:
        yield Line("autostart", well=None, text=text, warns=True)
    if not found:
        yield Line("autostart", well=True, text="neither libvirt nor nova starts guests at boot")


def _probe(name: str, missing: str, blind: str) -> Line:
    """Say whether a probe can look; `blind` is why that of the running agent cannot, if so."""
    if blind:
        return Line(name, well=None, text=f"the running agent cannot look: {blind}", warns=True)
    return Line(name, well=None if missing else True, text=missing or "looks")
