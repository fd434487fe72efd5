# SPDX-License-Identifier: Apache-2.0
"""Whether what an action expects or achieves holds in a pool. Pure reading, no I/O."""

from collections.abc import Callable, Iterable

from billow.model.instance import Instance
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.verb import Expect, ratio_text, spelled


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
        case "power" | "health":
            return str(getattr(pool.host(name), expect.field))
        case "cordon":
            return pool.hosts.cordon[row]
        case "ratio":
            return ratio_text(pool.hosts.cpu_ratio[row], pool.hosts.memory_ratio[row])
        case "empty":
            return "no" if (pool.instances.host == row).any() else "yes"
        case _:
            return "yes"


def _of_instance(pool: Pool, name: str, expect: Expect) -> str:
    if name not in pool.instances.row:
        return "no" if expect.field == "present" else "missing"
    instance = pool.instance(name)
    if expect.field == "present":
        return "requested" if instance.state is State.REQUESTED else "yes"
    return _READ[expect.field](instance)


_READ: dict[str, Callable[[Instance], str]] = {
    "host": lambda instance: instance.host,
    "nodes": lambda instance: spelled(instance.nodes),
    "state": lambda instance: str(instance.state),
    "shape": lambda instance: instance.shape.name,
    "cpu_limit": lambda instance: str(instance.cpu_limit_milli),
}
