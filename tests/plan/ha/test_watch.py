# SPDX-License-Identifier: Apache-2.0
"""How high availability itself is told: who watches, who is left alone, who is ready."""

from dataclasses import replace

import numpy as np

from billow.model.ha.care import Drill, Maintenance, Reach
from billow.model.ha.evidence import NETWORKS, AgentReport, Network
from billow.model.ha.incident import Incident, Method, Phase
from billow.model.ha.packing import pack_view, unpack_view
from billow.model.ha.view import MOST_CLEAN, View
from billow.plan.ha.watch import REHEARSED_S, status_of, worst_first

NOW = 1_790_000_000.0
HOSTS = ("h1", "h2", "h3")


def a_view(name: str = "c1", *, age_s: float = 0.1, hosts: tuple[str, ...] = HOSTS) -> View:
    """Return a view in which the second host is heard on management only, the third nowhere."""
    heard_at = np.full((len(hosts), len(NETWORKS)), NOW - 0.1)
    heard_at[1:2, 1:] = NOW - 10
    heard_at[2:] = NOW - 10
    return View(name, NOW, hosts, heard_at, np.ones(3), age_s=age_s)


def bmc(host: str, *, ok: bool = True, at: float = NOW - 60) -> Drill:
    """Return a rehearsal."""
    return Drill(host=host, method=Method.BMC, ok=ok, at=at, text="" if ok else "no session")


def test_proofs_are_counted_host_by_host() -> None:
    armed = AgentReport(host="h1", at=NOW, lease_s=10.0)
    idle = AgentReport(host="h2", at=NOW, lease_possible_s=10.0)
    view = replace(a_view(), reports={"h1": armed, "h2": idle})
    drills = [bmc("h1"), bmc("h2", ok=False), bmc("h3", at=NOW - REHEARSED_S - 3600)]
    status = status_of([view], (), drills, (), NOW)
    first, second, third = status.hosts
    assert first.proofs == (Method.AGENT, Method.BMC, Method.LEASE)
    assert (first.ready, first.lacking) == (True, ())
    assert second.heard == (Network.MANAGEMENT,)
    assert second.proofs == ()
    assert second.lacking == (
        "its agent is heard on management only",
        "its management controller failed a rehearsal: no session",
        "its watchdog is not armed",
    )
    assert third.lacking == (
        "its agent is not heard",
        "its management controller was rehearsed 26 h ago",
        "no watchdog lease binds",
    )
    assert status.ready_share == 1 / 3
    assert [each.host for each in worst_first(status.hosts)] == ["h3", "h2", "h1"]


def test_a_host_that_is_well_keeps_its_lease_though_no_report_of_it_is_told() -> None:
    reports = {
        "h1": AgentReport(host="h1", at=NOW, lease_s=10.0, clean_beats=MOST_CLEAN),
        "h2": AgentReport(host="h2", at=NOW, lease_possible_s=10.0, clean_beats=MOST_CLEAN),
        "h3": AgentReport(host="h3", at=NOW, clean_beats=MOST_CLEAN),
    }
    well = replace(a_view(), heard_at=np.full((3, 3), NOW), reports=reports)
    read = unpack_view(pack_view(well), HOSTS)
    assert read.reports == {}
    lacking = [each.lacking[-1] for each in status_of([read], (), (), (), NOW).hosts]
    assert lacking[1:] == ["its watchdog is not armed", "no watchdog lease binds"]
    assert Method.LEASE in status_of([read], (), (), (), NOW).hosts[0].proofs
    assert unpack_view(pack_view(read), HOSTS).watchdogs == {"h1": True, "h2": False}


def test_the_newest_report_counts_whoever_heard_it() -> None:
    old = replace(a_view("c1"), reports={"h1": AgentReport(host="h1", at=NOW - 9, lease_s=10.0)})
    new = replace(a_view("c2"), reports={"h1": AgentReport(host="h1", at=NOW)})
    for views in ([old, new], [new, old]):
        assert Method.LEASE not in status_of(views, (), (), (), NOW).hosts[0].proofs


def test_a_stale_observer_says_nothing() -> None:
    status = status_of([a_view(age_s=2.5)], (), (), (), NOW)
    assert [each.heard for each in status.hosts] == [(), (), ()]
    assert (status.observers[0].fresh, status.watching) == (False, False)
    both = status_of([a_view(age_s=2.5), a_view("c2")], (), (), (), NOW)
    assert both.hosts[0].heard == NETWORKS
    assert both.observers[1].missed == {"management": 1, "tenant": 2, "storage": 2}
    assert both.watching


def test_what_is_left_alone_and_open_is_counted() -> None:
    held = Incident(id="i", host="h3", opened_at=1, row=1, since=1, phase=Phase.WAITING, held="x")
    pool = Maintenance(
        id="m", reach=Reach.POOL, name="", owner="ada", why="core", since=NOW, until=NOW + 9
    )
    status = status_of([], [pool], (), [held, replace(held, id="j", held="")], NOW)
    assert (status.incidents, status.held) == (2, 1)
    assert (status.armed, status.disarmed) == (False, pool)
    assert status.ready_share == 1.0
    assert status_of([], (), (), (), NOW).armed
