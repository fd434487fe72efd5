# SPDX-License-Identifier: Apache-2.0
"""Load: the same for a seed, exact for a trace, and never part of what plans depend on."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from tests.engines.sim.lab import Lab

from billow.engines.sim.arrivals import read_arrivals
from billow.engines.sim.setting import Setting
from billow.engines.sim.trace import Recorded
from billow.engines.sim.usage import Diurnal, Usage
from billow.engines.sim.world import World
from billow.errors import Invalid
from billow.model.action import Place, Stop
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.testing.pools import pool

POOL = pool("2 hosts x 64GiB 16c; a: 6 vms x 4GiB 2c spread; b: 1 vm x 4GiB 2c on=h1 stopped")


def day(base: Pool, usage: Usage) -> Iterator[Pool]:
    """Yield what sensing shows, hour by hour."""
    world = World(base, Setting(usage=usage))
    for hour in range(24):
        world.advance(hour * 3600.0)
        yield world.seen()[0]


def test_a_seed_makes_one_day() -> None:
    def hours(seed: int) -> list[list[float]]:
        return [seen.instances.cpu_used.tolist() for seen in day(POOL, Diurnal(seed))]

    assert hours(1) == hours(1)
    assert hours(1) != hours(2)


def test_a_day_is_plausible() -> None:
    for seen in day(POOL, Diurnal(3)):
        for each in seen.instance_views():
            runs = each.state is State.RUNNING
            assert (0 < each.cpu_used_milli <= each.shape.cpu_milli) is runs
            assert (0 < each.memory_used_mib <= each.shape.memory_mib) is runs
        for host in seen.host_views():
            assert 0 < host.cpu_used_milli < host.cpu_milli
            assert 0 < host.memory_used_mib < host.memory_mib


def test_load_changes_over_the_day_but_never_the_digest() -> None:
    hours = list(day(POOL, Diurnal(3)))
    totals = [float(seen.instances.cpu_used.sum()) for seen in hours]
    assert max(totals) > 1.1 * min(totals)
    assert {seen.digest for seen in hours} == {POOL.digest}


def test_a_name_keeps_its_day_whoever_comes_and_goes() -> None:
    few = next(day(POOL, Diurnal(3)))
    more = pool("2 hosts x 64GiB 16c; a: 6 vms x 4GiB 2c spread; c: 2 vms x 4GiB 2c spread")
    assert next(day(more, Diurnal(3))).instance("a3").cpu_used_milli == pytest.approx(
        few.instance("a3").cpu_used_milli
    )


def test_a_stopped_instance_uses_nothing_from_the_next_look() -> None:
    lab = Lab(POOL, usage=Diurnal(1))

    async def story() -> None:
        assert (await lab.engine.sense()).instance("a1").cpu_used_milli > 0
        await lab.do(Stop(id="s", instance="a1", host="h1"))
        assert (await lab.engine.sense()).instance("a1").cpu_used_milli == 0

    lab.run(story())


TRACE = """time,instance,cpu_milli,memory_mib
0,a1,100,1000
60,a1,200,
120,a2,50,512
""".splitlines()


def at(usage: Usage, now: float) -> Pool:
    world = World(POOL, Setting(usage=usage))
    world.advance(now)
    return world.seen()[0]


def test_a_trace_is_replayed() -> None:
    trace = Recorded.read_csv(TRACE)
    first, second = at(trace, 59.0), at(trace, 61.0)
    assert first.instance("a1").cpu_used_milli == 100
    assert first.instance("a1").memory_used_mib == 1000
    assert second.instance("a1").cpu_used_milli == 200
    assert math.isnan(second.instance("a1").memory_used_mib)
    assert math.isnan(first.instance("a2").cpu_used_milli)  # before its first sample
    assert at(trace, 125.0).instance("a2").cpu_used_milli == 50
    assert math.isnan(first.instance("a3").cpu_used_milli)  # not in the trace
    assert first.host("h1").cpu_used_milli == pytest.approx(100 + 500)


def test_a_trace_starts_anew() -> None:
    trace = Recorded.read_csv(TRACE)
    assert trace.length_s == 180.0
    assert at(trace, 185.0).instance("a1").cpu_used_milli == 100


@pytest.mark.parametrize(
    "lines",
    [
        ["time,instance,cpu_milli,memory_mib"],
        ["time,instance", "0,a1"],
        ["time,instance,cpu_milli,memory_mib", "0,a1,many,1"],
        ["time,instance,cpu_milli,memory_mib", "-5,a1,1,1"],
        ["time,instance,cpu_milli,memory_mib", "nan,a1,1,1"],
    ],
)
def test_a_broken_trace_is_refused(lines: list[str]) -> None:
    with pytest.raises(Invalid):
        Recorded.read_csv(lines)


def test_a_planetlab_day_is_a_share_of_each_instance() -> None:
    lines = ["host_one,10,20,30", "host_two,50,60,100", "host_three,1,2,3"]
    trace = Recorded.read_planetlab(lines, ["a1", "a2"])
    assert trace.names == ("a1", "a2")
    assert at(trace, 0.0).instance("a1").cpu_used_milli == pytest.approx(200)
    assert at(trace, 301.0).instance("a2").cpu_used_milli == pytest.approx(1200)
    assert at(trace, 700.0).instance("a2").cpu_used_milli == pytest.approx(2000)
    with pytest.raises(Invalid, match="percentage"):
        Recorded.read_planetlab(["name,101"], ["a1"])


def test_a_bitbrains_table_is_read() -> None:
    lines = [
        "id,t_s,dur_s,cpu_count,cap_mhz,cpu_mhz",
        "1019,0,300,1,2000.0,500.0",
        "1019,300,300,1,2000.0,1000.0",
        "1020,0,300,2,4000.0,4000.0",
        "1021,0,300,2,4000.0,1.0",
    ]
    trace = Recorded.read_bitbrains(lines, ["a1", "a2"])
    assert at(trace, 10.0).instance("a1").cpu_used_milli == pytest.approx(500)
    assert at(trace, 310.0).instance("a1").cpu_used_milli == pytest.approx(1000)
    assert at(trace, 310.0).instance("a2").cpu_used_milli == pytest.approx(2000)


ARRIVALS = """time,instance,cpu_milli,memory_mib,lifetime_s
30,late,1000,1024,
10,early,1000,1024,50
""".splitlines()


def test_requests_arrive_and_leave() -> None:
    world = World(POOL, Setting(arrivals=read_arrivals(ARRIVALS)))
    world.advance(11.0)
    request = world.pool().instance("early")
    assert (request.state, request.host) == (State.REQUESTED, "")
    world.submit(Place(id="p", instance=request, host="h1"), 1)
    world.advance(59.0)
    assert world.pool().instance("early").host == "h1"
    world.advance(61.0)
    assert "early" not in world.pool().instances.row
    assert world.pool().instance("late").state is State.REQUESTED
    assert (world.pool().free[0] == World(POOL).pool().free[0]).all()


def test_who_is_being_moved_leaves_afterwards() -> None:
    world = World(POOL, Setting(arrivals=read_arrivals(ARRIVALS)))
    world.advance(59.0)
    request = world.pool().instance("early")
    world.submit(Place(id="p", instance=request, host="h1"), 1)
    world.advance(60.5)
    assert "p" not in {each.action.id for each in world.operations.values() if each.error}
    world.advance(70.0)
    assert "early" not in world.pool().instances.row
    assert world.rests


@pytest.mark.parametrize("line", ["x,a,1,1,1", "1,a,1,1,-1", "-1,a,1,1,1", "1,a,one,1,1"])
def test_broken_arrivals_are_refused(line: str) -> None:
    with pytest.raises(Invalid):
        read_arrivals(["time,instance,cpu_milli,memory_mib,lifetime_s", line])


def test_measures_fit_any_pool() -> None:
    empty = pool("1 host x 1GiB 1c off")
    seen = at_empty(empty)
    assert np.array_equal(seen.hosts.cpu_used, [0.0])


def at_empty(base: Pool) -> Pool:
    return World(base, Setting(usage=Diurnal())).seen()[0]
