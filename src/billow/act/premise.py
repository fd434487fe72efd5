# SPDX-License-Identifier: Apache-2.0
"""Whether what an action expects or achieves holds in a pool. Pure reading, no I/O."""

from collections.abc import Iterable

from billow.model.action import Expect, spelled
from billow.model.kinds import State
from billow.model.pool import Pool


def unmet(pool: Pool, expects: Iterable[Expect]) -> tuple[str, ...]:
    """Return what does not hold, in words; empty when all holds."""
    return tuple(
        f"{expect.subject}: {expect.field} is {found or 'empty'}, not {expect.value or 'empty'}"
        for expect in expects
        if (found := _found(pool, expect)) not in expect.value.split("|")
    )


def _found(pool: Pool, expect: Expect) -> str:
    kind, name = expect.subject.split("/", 1)
    return _of_host(pool, name, expect) if kind == "host" else _of_instance(pool, name, expect)


def _of_host(pool: Pool, name: str, expect: Expect) -> str:
    if name not in pool.hosts.row:
        return "no" if expect.field == "present" else "missing"
    row = pool.hosts.row[name]
    match expect.field:
        case "power":
            return str(pool.host(name).power)
        case "cordon":
            return pool.hosts.cordon[row]
        case "empty":
            return "no" if (pool.instances.host == row).any() else "yes"
        case _:
            return "yes"


def _of_instance(pool: Pool, name: str, expect: Expect) -> str:
    if name not in pool.instances.row:
        return "no" if expect.field == "present" else "missing"
    instance = pool.instance(name)
    match expect.field:
        case "host":
            return instance.host
        case "nodes":
            return spelled(instance.nodes)
        case "state":
            return str(instance.state)
        case "shape":
            return instance.shape.name
        case _:
            return "requested" if instance.state is State.REQUESTED else "yes"
