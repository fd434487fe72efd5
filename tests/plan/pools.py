# SPDX-License-Identifier: Apache-2.0
"""Small random pools and moves for the planner's properties."""

from hypothesis import strategies as st

from billow.model.action import Migrate
from billow.model.group import Group
from billow.model.host import Host, Node
from billow.model.instance import Instance, nodes_of
from billow.model.instances import NOWHERE
from billow.model.kinds import Rule, Scope, State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.draft import Draft

SHAPES = (
    Shape("s", 1000, 1024),
    Shape("m", 2000, 2048, numa_nodes=1),
    Shape("w", 4000, 4096, numa_nodes=2),
    Shape("l", 3000, 6144),
)
GROUPS = (
    Group("apart", Rule.ANTI_AFFINITY),
    Group("spread", Rule.ANTI_AFFINITY, Scope.RACK),
    Group("near", Rule.AFFINITY, Scope.ZONE),
)


@st.composite
def pools(draw: st.DrawFn, most_hosts: int = 5, most_instances: int = 14) -> Pool:
    """Draw a pool in which no host or node is over capacity and every group's rule holds."""
    hosts = [
        Host(
            f"h{number}",
            (Node(4000, 8192),) * draw(st.integers(1, 2)),
            rack=f"r{number // 2}",
            zone=f"z{number // 3}",
        )
        for number in range(draw(st.integers(2, most_hosts)))
    ]
    wanted = [
        Instance(
            f"i{number:02}",
            draw(st.sampled_from(SHAPES)),
            group=draw(st.sampled_from(["", "", "", *(group.name for group in GROUPS)])),
        )
        for number in range(draw(st.integers(0, most_instances)))
    ]
    empty = Pool.build(hosts, groups=GROUPS).with_requests(wanted)
    draft = Draft(empty)
    for row in range(len(wanted)):
        _try_places(draw, draft, row)
    return draft.freeze()


def _try_places(draw: st.DrawFn, draft: Draft, row: int) -> None:
    for _ in range(3):
        host = draw(st.integers(0, len(draft.pool.hosts) - 1))
        if draft.assign(row, host, draw(st.integers(0, 3))):
            return


@st.composite
def reachable(draw: st.DrawFn) -> tuple[Pool, list[Migrate]]:
    """Draw a pool and the moves to another arrangement of it that is within capacity."""
    pool = draw(pools())
    draft = Draft(pool)
    placed = [row for row in range(len(pool.instances)) if pool.instances.host[row] != NOWHERE]
    for row in placed:
        draft.assign(row, NOWHERE)
    for row in draw(st.permutations(placed)):
        _try_places(draw, draft, row)
        if draft.where(row)[0] == NOWHERE and not draft.assign(row, *_home(pool, row)):
            return pool, []
    return pool, [_move(pool, draft, row) for row in draft.changed()]


def _home(pool: Pool, row: int) -> tuple[int, int]:
    return int(pool.instances.host[row]), int(pool.instances.nodes[row])


def _move(pool: Pool, draft: Draft, row: int) -> Migrate:
    (source, before), (target, after) = _home(pool, row), draft.where(row)
    return Migrate(
        instance=pool.instances.id[row],
        source=pool.hosts.id[source],
        target=pool.hosts.id[target],
        source_nodes=nodes_of(before),
        target_nodes=nodes_of(after),
    )


def running(pool: Pool) -> int:
    """Return how many instances run."""
    return sum(instance.state is State.RUNNING for instance in pool.instance_views())
