# SPDX-License-Identifier: Apache-2.0
"""The ground against the slow truth: whatever happens to rows, folding equals building anew."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.engines.sim.ground import Ground
from billow.errors import BillowError
from billow.model.group import Group
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Health, Power, Rule, State
from billow.model.pool import Pool
from billow.model.shape import Shape

HOSTS = [Host(f"h{number}", (Node(8000, 8192), Node(8000, 8192))) for number in range(3)]
SHAPES = [Shape("a", 1000, 1024), Shape("b", 500, 512, numa_nodes=1), Shape("c", 100, 10, 2)]
NODES = {0: (), 1: (1,), 2: (0, 1)}


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """Draw an instance of few names, on a host or on none."""
    shape = draw(st.sampled_from(SHAPES))
    host = draw(st.sampled_from(["", "h0", "h1", "h2"]))
    return Instance(
        f"i{draw(st.integers(0, 9))}",
        shape,
        host=host,
        nodes=NODES[shape.numa_nodes] if host else (),
        state=State.RUNNING if host else State.REQUESTED,
        tenant=draw(st.sampled_from(["", "t1", "t2"])),
    )


changes = st.lists(
    st.one_of(
        instances(),
        st.integers(0, 9).map(lambda number: f"i{number}"),
        st.builds(
            replace,
            st.sampled_from(HOSTS),
            power=st.sampled_from(Power),
            health=st.sampled_from(Health),
            cordon=st.sampled_from(["", "disk", "fan"]),
        ),
        st.just(None),
    ),
    max_size=30,
)


@given(st.lists(instances(), max_size=10, unique_by=lambda each: each.id), changes)
def test_folding_equals_building(
    first: list[Instance], steps: list[Instance | str | Host | None]
) -> None:
    rows = {each.id: each for each in first}
    hosts = {host.id: host for host in HOSTS}
    ground = Ground(Pool.build(HOSTS, first))
    for step in steps:
        match step:
            case Instance():
                rows[step.id] = step
                ground.put(step)
            case Host():
                hosts[step.id] = step
                ground.put_host(step)
            case str():
                rows.pop(step, None)
                ground.remove(step)
            case None:
                ground.fold()
    truth = Pool.build(hosts.values(), rows.values())
    folded = ground.fold()
    assert folded.digest == truth.digest
    assert list(folded.instance_views()) == list(truth.instance_views())
    assert list(folded.host_views()) == list(truth.host_views())
    assert (ground._free == truth.free).all()
    assert (ground._free_nodes == truth.free_nodes).all()
    for name in hosts:
        assert ground.residents(name) == [
            r for r, each in sorted(rows.items()) if each.host == name
        ]


def test_a_fold_without_change_is_the_same_pool() -> None:
    ground = Ground(Pool.build(HOSTS))
    assert ground.fold() is ground.fold()


def test_a_group_comes_once() -> None:
    ground = Ground(Pool.build(HOSTS))
    ground.put_group(Group("g", Rule.AFFINITY))
    ground.put_group(Group("g", Rule.AFFINITY))
    assert ground.fold().groups == (Group("g", Rule.AFFINITY),)
    with pytest.raises(BillowError):
        ground.put_group(Group("g", Rule.ANTI_AFFINITY))


def test_a_shortage_is_told_in_words() -> None:
    ground = Ground(Pool.build(HOSTS))
    vast = Shape("vast", 16_001, 1)
    assert ground.shortage(vast, "h0", ()) == "h0 has 16000 cpu_milli free, 16001 needed"
    wide = Shape("wide", 9000, 10, 1)
    assert ground.shortage(wide, "h0", (1,)) == "h0 node 1 has 8000 cpu_milli free, 9000 needed"
    assert ground.shortage(SHAPES[0], "h0", ()) == ""
