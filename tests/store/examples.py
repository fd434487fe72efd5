# SPDX-License-Identifier: Apache-2.0
"""Small pools, plans and runs for the tests of the store."""

from billow.model.action import Cordon
from billow.model.host import Host, Node
from billow.model.plan import Plan, Step
from billow.model.pool import Pool
from billow.model.run import Run
from billow.plan.replay import replay
from billow.ports import Lease
from billow.store import Store


def a_pool(hosts: int = 3) -> Pool:
    """Return a pool of equal, empty hosts."""
    node = Node(cpu_milli=8000, memory_mib=16384)
    return Pool.build([Host(id=f"h{number}", nodes=(node,)) for number in range(hosts)])


def a_plan(pool: Pool, name: str = "p", *, title: str = "") -> Plan:
    """Return a plan that cordons every host; its actions are NAME-0, NAME-1 and so on."""
    actions = [
        Cordon(id=f"{name}-{row}", host=host, why="test") for row, host in enumerate(pool.hosts.id)
    ]
    return Plan(
        id=name,
        based_on=pool.digest,
        steps=tuple(Step(action, wave=0) for action in actions),
        predicted=replay(pool, actions),
        capabilities=("placement",),
        created_at=1.0,
        title=title,
    )


def a_run(plan: Plan, fence: int, name: str = "") -> Run:
    """Return the beginning of a plan's run; its id is that of the plan with an r before it."""
    return Run(id=name or f"r-{plan.id}", plan_id=plan.id, actor="ada", fence=fence, started_at=2.0)


async def begun(store: Store, name: str = "p", hosts: int = 3) -> tuple[Run, Lease]:
    """Take the lease, save a plan and begin its run."""
    lease = await store.acquire("one", ttl_s=1e6, now=0.0)
    assert lease is not None
    pool = a_pool(hosts)
    plan = a_plan(pool, name)
    await store.save_plan(plan, pool, actor="ada")
    run = a_run(plan, lease.fence)
    await store.begin(run, plan)
    return run, lease
