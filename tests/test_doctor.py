# SPDX-License-Identifier: Apache-2.0
"""What the doctor says of high availability."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest

from billow.act.turns import keep
from billow.doctor import of_hosts
from billow.ha.responder import Responder
from billow.incidents import Incidents
from billow.model.ha.evidence import NETWORKS
from billow.model.ha.incident import Method
from billow.model.ha.policy import HaPolicy
from billow.model.ha.status import Observer, Readiness, Status
from billow.testing.clock import VirtualClock

PROOFS = (Method.AGENT, Method.BMC)


def observed(silent: int = 0, *, incidents: int = 0, held: int = 0, failing: str = "") -> Status:
    """Return how it is with six hosts, of which some are heard nowhere."""
    hosts = tuple(
        Readiness(host=f"h{row}", heard=() if row < silent else NETWORKS, proofs=PROOFS)
        for row in range(6)
    )
    watcher = Observer(name="c1", age_s=0.1, fresh=True, hosts=6, missed={}, sound=NETWORKS)
    return Status(
        observers=(watcher,),
        maintenances=(),
        hosts=hosts,
        incidents=incidents,
        held=held,
        failing=failing,
    )


def test_nothing_is_said_where_nobody_watches() -> None:
    assert not list(of_hosts(Status(observers=(), maintenances=(), hosts=(), incidents=0, held=0)))


@pytest.mark.parametrize(
    ("status", "ok", "begins"),
    [
        (observed(), True, "6 hosts watched"),
        (observed(6), False, "6 of 6 hosts are heard nowhere: 6 hosts watched"),
        (observed(2, incidents=1), False, "2 of 6 hosts are heard nowhere"),
        (observed(1, incidents=1), True, "6 hosts watched"),
        (observed(incidents=1, held=1), False, "incidents wait"),
        (observed(failing="TypeError: no (9 times in a row)"), False, "deciding fails: TypeError"),
        (observed(6, failing="TypeError: no"), False, "deciding fails: TypeError: no"),
    ],
)
def test_it_says_what_is_wrong(status: Status, begins: str, *, ok: bool) -> None:
    (check,) = of_hosts(status)
    assert (check.name, check.ok) == ("high availability", ok)
    assert check.text.startswith(begins)
    assert check.fix or ok


def test_one_incident_is_one() -> None:
    (check,) = of_hosts(observed(incidents=1))
    assert check.text.endswith("; 1 incident open, 0 of them held")


@pytest.mark.anyio
async def test_a_responder_that_fails_in_each_turn_is_told_of() -> None:
    clock, nothing = VirtualClock(), cast(Any, SimpleNamespace(collector=None))
    store = AsyncMock()
    for name in ("views", "maintenances", "drills", "open_incidents"):
        getattr(store, name).return_value = ()
    incidents = Incidents(store, nothing, clock, lambda kind: kind)
    assert not (await incidents.status()).failing
    broken = Responder("c1", nothing, nothing, store, HaPolicy(), 1)
    task = asyncio.create_task(keep(broken.turn, 0.05, clock))
    await clock.sleep(1.0)
    why = (await incidents.status()).failing
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert why.startswith("AttributeError: "), why
    assert "times in a row" in why
