# SPDX-License-Identifier: Apache-2.0
"""Who gets what on a host that has too little, and what its host says of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.engines.sim.contention import SYSTEM_CPU_MILLI, seen_with, shared
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Power, Service, State
from billow.model.pool import Pool
from billow.model.resources import FloatArray
from billow.model.shape import Shape

CURVE = "/".join(str(50 + 15 * tenth) for tenth in range(11))
GIB = 1024


def instance(name: str, cpus: int, service: Service = Service.LATENCY, **more: object) -> Instance:
    shape = Shape(f"c{cpus}", cpus * 1000, 4 * GIB)
    fields = {"host": "h", "state": State.RUNNING, "service": service, **more}
    return Instance(name, shape, **fields)  # type: ignore[arg-type]  # fields of Instance


def host(cpus: float = 10.5, memory_gib: int = 64, **more: object) -> Host:
    node = Node(int(cpus * 1000), memory_gib * GIB)
    return Host("h", (node,), power_curve=CURVE, **more)  # type: ignore[arg-type]  # of Host


def wants(*amounts: float) -> FloatArray:
    return np.array(amounts, dtype=np.float64)


def test_latency_goes_first_and_batch_shares_what_is_left_by_size() -> None:
    pool = Pool.build(
        [host()],
        [instance("a", 4), instance("b1", 2, Service.BATCH), instance("b2", 6, Service.BATCH)],
    )
    found = shared(pool, wants(4000, 4000, 8000), wants(0, 0, 0))
    assert found.cpu.tolist() == pytest.approx([4000, 1500, 4500])
    assert found.wait[1:].tolist() == pytest.approx([1 - 1500 / 4000, 1 - 4500 / 8000])
    assert found.host_cpu.tolist() == [10_500]
    assert found.load.tolist() == pytest.approx([16.5])


def test_who_wants_little_gets_it_and_the_rest_goes_to_the_others() -> None:
    pool = Pool.build([host()], [instance(name, 4) for name in ("a", "b", "c")])
    found = shared(pool, wants(1000, 6000, 9000), wants(0, 0, 0))
    assert found.cpu.tolist() == pytest.approx([1000, 4500, 4500])


def test_bursts_wait_for_batch_a_little_and_not_without() -> None:
    pair = [instance("a", 4), instance("b", 8, Service.BATCH)]
    beside = shared(Pool.build([host()], pair), wants(2000, 8000), wants(0, 0))
    alone = shared(Pool.build([host()], pair[:1]), wants(2000), wants(0))
    assert 0.001 < beside.wait[0] < 0.02
    assert alone.wait[0] < 1e-9
    assert beside.cpu_pressure[0] > 0.3 > alone.cpu_pressure[0]


def test_a_limit_caps_makes_wait_and_is_no_pressure() -> None:
    pair = [instance("a", 4), instance("b", 8, Service.BATCH, cpu_limit_milli=2000)]
    found = shared(Pool.build([host()], pair), wants(2000, 8000), wants(0, 0))
    assert found.cpu.tolist() == [2000, 2000]
    assert found.wait[1] == pytest.approx(0.75)
    assert found.wait[0] < 1e-6
    assert found.cpu_pressure[0] < 1e-6


def test_who_stands_still_uses_no_cpu_and_keeps_its_memory() -> None:
    states = (State.PAUSED, State.STOPPED)
    pool = Pool.build([host()], [instance(f"i{n}", 4, state=s) for n, s in enumerate(states)])
    found = shared(pool, wants(4000, 4000), wants(1000, 1000))
    assert found.cpu.tolist() == [0, 0]
    assert found.wait.tolist() == [0, 0]
    assert found.memory.tolist() == [1000, 0]
    assert found.host_cpu.tolist() == [SYSTEM_CPU_MILLI]


def test_memory_sold_twice_is_taken_back_first_and_swapped_then() -> None:
    crowd = [instance(f"i{n}", 1) for n in range(4)]
    pool = Pool.build([host(memory_gib=12, memory_ratio=2.0)], crowd)
    mild = shared(pool, wants(0, 0, 0, 0), np.full(4, 2.0 * GIB))
    assert mild.ballooned.sum() == pytest.approx(4 * GIB)
    assert mild.swap[0] == mild.memory_pressure[0] == 0
    hard = shared(pool, wants(0, 0, 0, 0), np.full(4, 3.5 * GIB))
    assert hard.ballooned.sum() == pytest.approx(2 * GIB)
    assert hard.swap[0] == pytest.approx(2 * GIB / 30)
    assert 0.2 < hard.memory_pressure[0] < 1
    plenty = shared(Pool.build([host()], crowd), wants(0, 0, 0, 0), np.full(4, 3.5 * GIB))
    assert plenty.ballooned.sum() == plenty.swap[0] == 0


@pytest.mark.parametrize(
    ("power", "watts"), [(Power.ON, 50 + 150 * 0.5), (Power.OFF, 4.0), (Power.UNKNOWN, np.nan)]
)
def test_watts_follow_the_curve(power: Power, watts: float) -> None:
    pool = Pool.build([host(cpus=10, power=power)], [instance("a", 8)])
    found = shared(pool, wants(4500), wants(0))
    assert found.watts[0] == pytest.approx(watts, nan_ok=True)


def test_a_host_without_a_curve_has_unknown_watts() -> None:
    pool = Pool.build([Host("h", (Node(1000, 1000),))], [])
    assert np.isnan(shared(pool, wants(), wants()).watts[0])


def test_what_is_measured_is_no_part_of_the_digest() -> None:
    pool = Pool.build([host()], [instance("a", 4)])
    seen = seen_with(pool, wants(1000), wants(1000))
    assert seen.digest == pool.digest
    assert seen.instance("a").cpu_wait >= 0
    assert seen.host("h").watts > 50


amounts = st.lists(st.floats(0, 20_000), min_size=6, max_size=6).map(np.array)


@given(amounts, st.lists(st.sampled_from(Service), min_size=6, max_size=6), st.integers(1, 20))
def test_no_cpu_is_made_up_and_none_is_left_while_somebody_wants_it(
    wanted: FloatArray, classes: list[Service], cpus: int
) -> None:
    pool = Pool.build(
        [host(cpus=cpus)], [instance(f"i{n}", n + 1, each) for n, each in enumerate(classes)]
    )
    found = shared(pool, wanted, np.zeros(6))
    room = cpus * 1000 - SYSTEM_CPU_MILLI
    assert (found.cpu <= wanted + 1e-6).all()
    assert found.cpu.sum() == pytest.approx(min(room, wanted.sum()), abs=0.01)
    assert ((found.wait >= 0) & (found.wait <= 1)).all()
    batch = np.array([each is Service.BATCH for each in classes])
    if found.cpu[batch].sum() > 0.01:
        assert found.cpu[~batch].sum() == pytest.approx(wanted[~batch].sum(), abs=0.01)
