# SPDX-License-Identifier: Apache-2.0
"""The rebuilt pools say what the white paper says, figure by figure."""

import numpy as np
import pytest
from benchmarks.whitepaper_pools import (
    HOT_WANTED,
    S6_WANTED,
    pool_hot,
    pool_s6,
)

from billow.model.resources import CPU, MEMORY
from billow.plan.fragmentation import of_shapes, sale
from billow.plan.mix import Wanted
from billow.plan.slots import Room


def test_pool_s6() -> None:
    pool = pool_s6()
    assert len(pool.hosts) == 87
    assert pool.free.sum(axis=0)[[CPU, MEMORY]].tolist() == [10_234_000, 28_327 * 1024]
    (found,) = of_shapes(pool, [Wanted(S6_WANTED, 1.0)])
    assert (found.fit, found.theoretical) == (406, 442)
    assert f"{found.share:.2%}" == "8.14%"
    sold = sale(Room.of(pool), [S6_WANTED])
    assert f"{sold.of_resource(CPU).of_all:.2%}" == "19.89%"
    assert f"{sold.of_resource(MEMORY).of_all:.0%}" == "4%"
    assert (pool.free >= 0).all()


def test_what_the_paper_found_after_its_defragmentation() -> None:
    sold = sale(Room.of(pool_s6()), [S6_WANTED])
    cores, memory = sold.of_resource(CPU), sold.of_resource(MEMORY)
    assert f"{(cores.free / 1000 - 16 * 439) / (cores.sellable / 1000):.2%}" == "17.08%"
    assert f"{(memory.free / 1024 - 64 * 439) / (memory.sellable / 1024):.3%}" == "0.393%"
    assert f"{1 - 439 / 442:.2%}" == "0.68%"


def test_pool_hot() -> None:
    pool = pool_hot()
    assert len(pool.hosts) == 12
    cores = pool.hosts.capacity[..., CPU].sum() / 1000
    assert (cores, pool.hosts.capacity[..., MEMORY].sum() / 1024) == (984, 9_200)
    assert len(pool.instances) == 1_476 == Room.emptied(pool).fit(HOT_WANTED)
    assert Room.of(pool).fit(HOT_WANTED) == 0
    assert Room.of(pool_hot(servers=0)).fit(HOT_WANTED) == 1_476
    assert pool.reserved[:, CPU].sum() / 1000 / cores == pytest.approx(3.0)
    assert (pool.reserved[:, MEMORY] <= pool.hosts.capacity[..., MEMORY].sum(axis=1)).all()
    assert f"{np.nansum(pool.instances.cpu_used) / 1000 / cores:.2%}" == "39.99%"
    assert (pool.hosts.cpu_used <= pool.hosts.capacity[..., CPU].sum(axis=1)).all()
