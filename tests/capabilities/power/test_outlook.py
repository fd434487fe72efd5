# SPDX-License-Identifier: Apache-2.0
"""Of a large pool the report tells what a plan among some of its hosts foretells, and says so."""

import numpy as np
import pytest

from billow.capabilities.power import Power, PowerPolicy, outlook
from billow.capabilities.power.scene import Scene
from billow.engines.sim.generate import generate
from billow.model.action import Migrate, PowerOff
from billow.model.pool import Pool
from billow.testing.pools import pool as pool_of
from tests.capabilities.power.test_plan import CALM, with_use


def used(hosts: int, seed: int) -> Pool:
    """Return a generated pool whose instances are seen to use about a quarter of what is theirs."""
    pool = generate(hosts, seed=seed)
    size = pool.demand[pool.instances.shape, 0]
    shares = np.random.default_rng(seed).beta(2, 6, len(size))
    return with_use(pool, *(size * shares).tolist())


@pytest.mark.parametrize("seed", [1, 2])
def test_an_estimate_is_near_the_plan(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, policy = used(300, seed), PowerPolicy()
    monkeypatch.setattr(outlook, "MOST_HOSTS", 150)
    report, proposal = Power().report(pool, policy), Power().propose(pool, policy)
    off = sum(isinstance(each, PowerOff) for each in proposal.actions)
    moves = sum(isinstance(each, Migrate) for each in proposal.actions)
    assert report.figures["hosts_could_sleep"] == pytest.approx(off, rel=0.15)
    assert report.figures["moves"] == pytest.approx(moves, rel=0.25)
    energy = report.measures[0]
    saved = proposal.gain["energy_saved_kwh_per_day"]
    assert energy.bound is not None
    assert energy.value - energy.bound == pytest.approx(saved, rel=0.15)


def test_an_estimate_says_so_and_the_plan_of_a_small_pool_does_not() -> None:
    small = Power().report(
        with_use(pool_of("8 hosts x 64GiB 16c; 8 vms x 4GiB 2c spread"), 9.0), CALM
    )
    assert "about" not in small.summary
    count = outlook.MOST_HOSTS + 100
    large = Power().report(pool_of(f"{count} hosts x 64GiB 16c; 1 vm x 4GiB 2c on=h1"), CALM)
    assert "about 899 hosts could sleep" in large.summary
    sleep = next(each for each in large.measures if each.key == "hosts_could_sleep")
    assert sleep.note == "about: scaled from a plan tried on 800 of 900 hosts"
    assert {row[-1] for row in large.grids[0].rows} == {"sleep"}


def test_a_sample_holds_its_share_of_what_is_on_off_and_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twelve hosts on and twelve off, of which six each are drawn; two of four requests wait."""
    monkeypatch.setattr(outlook, "MOST_HOSTS", 12)
    pool = pool_of(
        "12 hosts x 8GiB 4c; 12 hosts x 8GiB 4c off; v: 12 vms x 8GiB 4c spread; r: 4 vms x 8GiB 4c"
    )
    waiting = int((pool.instances.host < 0).sum())
    told = outlook.outlook(Scene(pool, CALM))
    assert waiting == 4
    assert told.about
    assert (told.planned, told.wake, told.sleep) == (12, 4, 0)
