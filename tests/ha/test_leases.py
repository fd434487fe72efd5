# SPDX-License-Identifier: Apache-2.0
"""Leases: who is armed and with which peers, and when a lease that is over proves a death."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.errors import Unavailable
from billow.ha.leases import PEERS, Leases
from billow.model.ha.evidence import NETWORKS, AgentReport, Network
from billow.model.ha.view import View

NAMES = ("h1", "h2", "h3", "h4", "h5")


class Agents:
    """Agents that obey, refuse, or are not there."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, Network, Mapping[str, object]]] = []
        self.answers: dict[str, object] = {}
        self.cut: set[Network] = set()

    async def order(
        self, host: str, network: Network, body: Mapping[str, object]
    ) -> Mapping[str, object]:
        """Take an order."""
        self.orders.append((host, network, body))
        answer = self.answers.get(host, True)
        if answer is None or network in self.cut:
            raise Unavailable("it is not there")
        return {"ok": answer}

    def told(self, do: str) -> list[str]:
        """Return who was told to do something."""
        return [host for host, _, body in self.orders if body["do"] == do]


class Moment:
    """A clock that is set."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        """Return where it stands."""
        return self.at


def report(host: str, peers: tuple[str, ...] = (), lease_s: float = 0.0) -> AgentReport:
    """Return what an agent with a watchdog says."""
    asked_at = dict.fromkeys(NETWORKS, "10.0.0.1:8523")
    return AgentReport(
        host=host, at=0, lease_s=lease_s, lease_possible_s=10.0, peers=peers, asked_at=asked_at
    )


def seen(leases: Leases, reports: Mapping[str, AgentReport], silent: tuple[str, ...] = ()) -> View:
    """Show leases a view in which some hosts are silent; return what is told of it."""
    ages = np.array([[9.0] * 3 if name in silent else [0.1] * 3 for name in reports])
    view = View("c1", 100.0, tuple(reports), 100 - ages, np.ones(3), reports=reports)
    return leases.marked(view)


def armed() -> dict[str, AgentReport]:
    """Return hosts of which the first is armed."""
    return {
        each: report(each, NAMES[1:4] if each == "h1" else (), 10.0 if each == "h1" else 0.0)
        for each in NAMES
    }


@pytest.mark.anyio
async def test_a_host_is_armed_with_three_peers_that_can_be_asked() -> None:
    agents, clock = Agents(), Moment()
    leases = Leases(agents, clock)
    reports = {each: report(each) for each in NAMES}
    seen(leases, reports, silent=("h5",))
    await leases.turn(7)
    assert sorted(agents.told("arm")) == ["h1", "h2", "h3", "h4"]
    for host, _, body in agents.orders:
        peers = body["peers"]
        assert isinstance(peers, dict)
        assert set(peers) == {"h1", "h2", "h3", "h4"} - {host}
        assert body["fence"] == 7
    await leases.turn(7)
    assert len(agents.orders) == 4  # it is not told again at once


@pytest.mark.anyio
async def test_nobody_is_armed_whose_peers_are_too_few() -> None:
    agents = Agents()
    leases = Leases(agents, Moment())
    seen(leases, {each: report(each) for each in NAMES[:PEERS]})
    await leases.turn(1)
    assert not agents.orders


@pytest.mark.anyio
async def test_a_lease_proves_nothing_before_a_majority_of_peers_refused() -> None:
    agents, clock = Agents(), Moment()
    leases, reports = Leases(agents, clock), armed()
    assert seen(leases, reports, silent=("h1",)).reports["h1"].lease_excused
    agents.answers = {"h2": False, "h3": None, "h4": True}
    await leases.turn(1)
    assert {"h2", "h3", "h4"} <= set(agents.told("refuse"))
    assert seen(leases, reports, silent=("h1",)).reports["h1"].lease_excused  # one of three
    agents.answers["h2"] = True
    await leases.turn(1)
    assert not seen(leases, reports, silent=("h1",)).reports["h1"].lease_excused
    clock.at += 50  # promises end
    assert seen(leases, reports, silent=("h1",)).reports["h1"].lease_excused


@pytest.mark.anyio
async def test_promises_are_renewed_before_they_end_and_forgotten_when_the_host_is_heard() -> None:
    agents, clock = Agents(), Moment()
    leases, reports = Leases(agents, clock), armed()
    for _ in range(20):
        seen(leases, reports, silent=("h1",))
        await leases.turn(1)
        clock.at += 10
        assert not seen(leases, reports, silent=("h1",)).reports["h1"].lease_excused
    seen(leases, reports)
    assert seen(leases, reports, silent=("h1",)).reports["h1"].lease_excused


@pytest.mark.anyio
async def test_an_order_goes_over_the_networks_that_work() -> None:
    agents = Agents()
    agents.cut = {Network.MANAGEMENT}
    leases, reports = Leases(agents, Moment()), armed()
    seen(leases, reports, silent=("h1",))
    await leases.turn(1)
    assert not seen(leases, reports, silent=("h1",)).reports["h1"].lease_excused


def test_a_lease_without_peers_has_no_excuse() -> None:
    leases = Leases(Agents(), Moment())
    alone = {"h1": report("h1", (), 10.0)}
    assert not seen(leases, alone, silent=("h1",)).reports["h1"].lease_excused


@given(count=st.integers(1, 9))
def test_those_who_excuse_and_those_who_refuse_are_never_both_a_majority(count: int) -> None:
    peers = tuple(f"p{each}" for each in range(count))
    for refusing in range(count + 1):
        for some in list(combinations(peers, refusing))[:20]:
            leases = Leases(Agents(), Moment())
            leases._refused = {"h1": dict.fromkeys(some, 2000.0)}
            excusing = count - len(some)
            proved = leases.proves(report("h1", peers, 10.0))
            assert not (proved and 2 * excusing > count)
