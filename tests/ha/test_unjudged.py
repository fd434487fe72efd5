# SPDX-License-Identifier: Apache-2.0
"""Hosts that nobody may judge are told of: once, when it lasts, and again when it is over."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
from structlog.testing import capture_logs

from billow.ha.hearing import Hearing
from billow.ha.power import NoBmc, PowerWatch
from billow.ha.unjudged import LASTS_S, UNJUDGED, Unjudged
from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.view import View
from billow.plan.ha.agree import Agreement, Fault
from billow.plan.ha.fleet import Layout, Place
from billow.testing.clock import VirtualClock

STORAGE = Network.STORAGE


def shown() -> float:
    """Return how many hosts the metric shows."""
    return next(iter(UNJUDGED.collect())).samples[0].value


def said(told: Unjudged, now: float, agreed: Agreement) -> list[Any]:
    """Return what is logged when people are told at an instant."""
    with capture_logs() as logged:
        told.look(agreed, now)
    return logged


def test_it_is_told_once_for_each_host_and_change() -> None:
    told = Unjudged()
    fault = Fault("c1", STORAGE, "it hears too few witnesses")
    one = Agreement(unjudged={"h2": (STORAGE,)}, faults=(fault,))
    both = Agreement(unjudged={"h2": NETWORKS, "h3": (STORAGE,)}, faults=(fault,))
    assert said(told, 0.0, one) == []
    assert said(told, LASTS_S - 1, one) == []
    assert shown() == 0
    first = said(told, LASTS_S, one)
    assert [each["log_level"] for each in first] == ["warning"]
    assert (first[0]["hosts"], first[0]["networks"]) == (["h2"], ["storage"])
    assert first[0]["why"] == ["c1, storage: it hears too few witnesses"]
    assert shown() == 1
    assert said(told, LASTS_S + 1, one) == []
    assert said(told, LASTS_S + 2, both) == []
    more = said(told, 2 * LASTS_S + 2, both)
    assert [(each["count"], each["networks"]) for each in more] == [
        (2, ["management", "storage", "tenant"])
    ]
    assert shown() == 2
    over = said(told, 2 * LASTS_S + 3, Agreement())
    assert [(each["log_level"], each["hosts"]) for each in over] == [("info", ["h2", "h3"])]
    assert shown() == 0


def test_what_is_over_sooner_is_told_to_nobody() -> None:
    told = Unjudged()
    lost = Agreement(unjudged={"h2": NETWORKS})
    for now in range(0, 600, 20):
        assert said(told, now, lost if now % 40 else Agreement()) == []
    assert shown() == 0


class _Alone:
    """A controller that hears nobody of two hosts, and the board on which nobody else writes."""

    def view(self, now: float) -> View:
        """Return that nobody is heard."""
        limit_s = np.full(3, 1.0)
        return View("c1", now, ("h1", "h2"), np.full((2, 3), now - 50), limit_s, sound=(False,) * 3)

    async def publish(self, view: View) -> None:
        """Take no heed."""

    async def views(self) -> Sequence[View]:
        """Return nothing."""
        return ()


@pytest.mark.anyio
async def test_a_controller_that_hears_nobody_tells_it() -> None:
    alone = _Alone()
    power = PowerWatch(NoBmc(), VirtualClock())
    hearing = Hearing([alone], cast("Any", alone), power, lambda _: None, 1)
    layout = Layout({host: Place("z", "") for host in ("h1", "h2")})
    with capture_logs() as logged:
        for now in (1000.0, 1000.0 + LASTS_S):
            heard = await hearing.look(lambda *_: layout, (), now)
            assert not heard.sights
    await hearing.aclose()
    assert [each["hosts"] for each in logged] == [["h1", "h2"]]
    assert shown() == 2
