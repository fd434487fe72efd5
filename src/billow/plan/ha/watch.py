# SPDX-License-Identifier: Apache-2.0
"""How high availability itself is, from what observers told and how rehearsals went. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from billow.model.ha.care import Drill, Maintenance
from billow.model.ha.evidence import NETWORKS, AgentReport, Network
from billow.model.ha.incident import Incident, Method
from billow.model.ha.status import Observer, Readiness, Status
from billow.model.ha.view import VIEW_S, View, watchdogs_of
from billow.model.resources import BoolArray
from billow.plan.ha.agree import MOST_WITNESSES

REHEARSED_S: Final = 25 * 3600.0
"""A rehearsal is believed for so long: they are daily at least."""


def sound_on(
    heard: BoolArray, hosts: Sequence[str], reports: Mapping[str, AgentReport]
) -> tuple[bool, ...]:
    """Return per network whether an observer hears enough witnesses there.

    As many as `agree` wants: two, or half of a lost host's neighbours where there are fewer than
    four, but one at least. A lone witness may be the agent of the observer's own machine, which is
    heard whatever becomes of the card; so one does not count that says itself that its path is
    broken.

    Args:
        heard: Whom it hears on which network, `(hosts, 3) bool`.
        hosts: The rows of the array.
        reports: What agents said last.
    """
    needed = min(max((len(hosts) - 1) // 2, 1), MOST_WITNESSES, len(hosts))
    if needed < MOST_WITNESSES:
        heard = heard & ~_broken(hosts, reports)
    return tuple(bool(count >= needed) for count in heard.sum(axis=0))


def _broken(hosts: Sequence[str], reports: Mapping[str, AgentReport]) -> BoolArray:
    """Return which hosts say on which networks that their own path is broken, `(hosts, 3) bool`."""
    broken = np.zeros((len(hosts), len(NETWORKS)), bool)
    for row, host in enumerate(hosts):
        report = reports.get(host)
        for symptom in report.symptoms if report is not None else ():
            if symptom.network is not None:
                broken[row, NETWORKS.index(symptom.network)] = True
    return broken


def status_of(
    views: Sequence[View],
    maintenances: Sequence[Maintenance],
    drills: Sequence[Drill],
    incidents: Sequence[Incident],
    now: float,
) -> Status:
    """Return how high availability is. Linear in the hosts that are watched."""
    rehearsed: dict[str, dict[Method, Drill]] = defaultdict(dict)
    for drill in drills:
        rehearsed[drill.host][drill.method] = drill
    heard, watchdogs = _heard(views), _watchdogs(views)
    hosts = (
        _readiness(
            host,
            heard[host],
            {
                Method.AGENT: _agent(heard[host]),
                Method.BMC: _bmc(rehearsed.get(host, {}).get(Method.BMC), now),
                Method.LEASE: _lease(armed=watchdogs.get(host)),
            },
        )
        for host in sorted(heard)
    )
    return Status(
        observers=tuple(map(_observer, views)),
        maintenances=tuple(maintenances),
        hosts=tuple(hosts),
        incidents=len(incidents),
        held=sum(1 for each in incidents if each.held),
    )


def _observer(view: View) -> Observer:
    missed = view.missed(view.at).sum(axis=0).tolist()
    return Observer(
        name=view.observer,
        age_s=view.age_s,
        fresh=view.age_s <= VIEW_S,
        hosts=len(view.hosts),
        missed={network.value: count for network, count in zip(NETWORKS, missed, strict=True)},
        sound=tuple(each for each, ok in zip(NETWORKS, view.sound, strict=True) if ok),
    )


def _heard(views: Sequence[View]) -> Mapping[str, tuple[Network, ...]]:
    """Return on which networks each host is heard by anybody who still counts."""
    found: dict[str, set[Network]] = {}
    for view in views:
        missed = view.missed(view.at) if view.age_s <= VIEW_S else None
        for row, host in enumerate(view.hosts):
            networks = found.setdefault(host, set())
            if missed is not None:
                lost = missed[row].tolist()
                networks.update(n for n, gone in zip(NETWORKS, lost, strict=True) if not gone)
    return {
        host: tuple(each for each in NETWORKS if each in networks)
        for host, networks in found.items()
    }


def _watchdogs(views: Sequence[View]) -> Mapping[str, bool]:
    """Return whether the watchdogs that can hold a lease do, of hosts that have such a one.

    The newest that an agent said counts, whoever heard it; of hosts of which no view has a report,
    for they are well, the newest view.
    """
    newest: dict[str, AgentReport] = {}
    known: dict[str, bool] = {}
    for view in sorted(views, key=lambda each: each.at):
        if view.age_s > VIEW_S:
            continue
        known |= view.watchdogs
        for host, report in view.reports.items():
            if host not in newest or report.at > newest[host].at:
                newest[host] = report
    others = {host: armed for host, armed in known.items() if host not in newest}
    return others | watchdogs_of(newest)


def _readiness(host: str, heard: tuple[Network, ...], lacking: Mapping[Method, str]) -> Readiness:
    """Return it from what keeps each way to a proof from working; empty where nothing does."""
    proofs = tuple(method for method, why in lacking.items() if not why)
    return Readiness(
        host=host, heard=heard, proofs=proofs, lacking=tuple(filter(None, lacking.values()))
    )


def _agent(heard: tuple[Network, ...]) -> str:
    if not heard:
        return "its agent is not heard"
    missing = [each for each in NETWORKS if each not in heard]
    return f"its agent is heard on {heard[0]} only" if len(missing) == 2 else ""


def _lease(*, armed: bool | None) -> str:
    if armed is None:
        return "no watchdog lease binds"
    return "" if armed else "its watchdog is not armed"


def _bmc(drill: Drill | None, now: float) -> str:
    if drill is None:
        return "its management controller was never rehearsed"
    if not drill.ok:
        return f"its management controller failed a rehearsal: {drill.text or 'no reason given'}"
    if now - drill.at > REHEARSED_S:
        return f"its management controller was rehearsed {(now - drill.at) / 3600:.0f} h ago"
    return ""


def worst_first(hosts: Sequence[Readiness]) -> Iterator[Readiness]:
    """Yield hosts, those first whose death could be proved least."""
    yield from sorted(hosts, key=lambda each: (len(each.proofs), len(each.heard), each.host))
