# SPDX-License-Identifier: Apache-2.0
"""Empty hosts for maintenance by one plan: close them all, then move what is on them elsewhere.

All are closed before a home is chosen for anything, so nothing goes from one that is drained to the
next. It does no I/O, and places nothing itself: who chooses homes is given.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from billow.errors import Blocked, Invalid, NotFound
from billow.model.action import Action, Cordon, Migrate
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Power, State
from billow.model.plan import Proposal, Rejection
from billow.model.pool import Pool
from billow.plan.replay import replay

AGGREGATE: Final = "aggregate"
"""The key of the facts that name an aggregate of a host; a host may be in several."""
_MOVABLE: Final = frozenset({State.RUNNING, State.PAUSED, State.STOPPED})

Home: TypeAlias = Callable[[str], tuple[str, tuple[int, ...]]]
"""Chooses a host and nodes for an instance; each choice counts for the next. Raises Blocked."""


@dataclass(frozen=True, slots=True)
class Drain:
    """What is to be empty.

    Attributes:
        hosts: By name; all of these and of the groups that are named.
        zone, rack, aggregate: All hosts of it; empty for none.
        why: The reason that the plan gives, and the hosts' cordon.
    """

    hosts: tuple[str, ...] = ()
    zone: str = ""
    rack: str = ""
    aggregate: str = ""
    why: str = ""

    def __str__(self) -> str:
        groups = {"zone": self.zone, "rack": self.rack, "aggregate": self.aggregate}
        named = [f"{kind} {name}" for kind, name in groups.items() if name]
        return ", ".join([*self.hosts[:3], *named]) + (", ..." if len(self.hosts) > 3 else "")


def hosts_of(pool: Pool, drain: Drain) -> list[str]:
    """Return the names of the hosts that are to be empty, in the pool's order.

    Raises:
        Invalid: nothing is named.
        NotFound: a host, or a group with hosts, that is not in the pool.
    """
    wanted = {pool.host(name).id for name in drain.hosts}
    facts = {
        f.subject: None for f in pool.facts if (f.key, f.value) == (AGGREGATE, drain.aggregate)
    }
    groups = (
        ("zone", drain.zone, _in_column(pool, pool.hosts.zone.values(), drain.zone)),
        ("rack", drain.rack, _in_column(pool, pool.hosts.rack.values(), drain.rack)),
        (AGGREGATE, drain.aggregate, [h for h in pool.hosts.id if f"host/{h}" in facts]),
    )
    for kind, name, found in groups:
        if name and not found:
            raise NotFound(f"no host of the pool is in {kind} {name!a}", fix=_KNOWN.get(kind, ""))
        wanted.update(found if name else ())
    if not wanted:
        raise Invalid("no host is named", fix="name hosts, or --zone, --rack or --aggregate")
    return [name for name in pool.hosts.id if name in wanted]


_KNOWN: Final = {
    "zone": "billow host list shows each host's zone",
    "rack": "billow host show HOST shows its rack",
    AGGREGATE: "billow host show HOST shows its aggregates among the facts",
}


def drained(pool: Pool, drain: Drain, homes: Callable[[Pool], Home]) -> Proposal:
    """Return the proposal that empties hosts, the most important instances first.

    Args:
        pool: As it is.
        drain: What is to be empty.
        homes: Gives who chooses homes in a pool in which the hosts are closed.

    Raises:
        Invalid, NotFound: as `hosts_of`.
    """
    names = hosts_of(pool, drain)
    why = drain.why or "maintenance"
    hosts = [pool.host(name) for name in names]
    closing: list[Action] = [
        Cordon(host=each.id, why=why, reason="it is to be empty")
        for each in hosts
        if not each.cordon
    ]
    home = homes(replay(pool, closing) if closing else pool)
    moves: list[Action] = []
    rejections: list[Rejection] = []
    for host, instance in _leaving(pool, hosts):
        try:
            moves.append(_move(host, instance, home, why))
        except Blocked as no:
            subject = f"instance/{instance.id}"
            rejections.append(
                Rejection(subject, f"stays on {host.id}: {no.brief}", no.details, no.fix)
            )
    return Proposal("drain", (*closing, *moves), rejections=tuple(rejections))


def _in_column(pool: Pool, values: Sequence[str], wanted: str) -> list[str]:
    return [name for name, value in zip(pool.hosts.id, values, strict=True) if value == wanted]


def _leaving(pool: Pool, hosts: Iterable[Host]) -> Iterator[tuple[Host, Instance]]:
    """Yield what is on hosts, the most important first. Linear in instances for each host."""
    found = [
        (host, each)
        for host in hosts
        for each in pool.views(
            (pool.instances.host == pool.host_row(host.id)).nonzero()[0].tolist()
        )
    ]
    return iter(sorted(found, key=lambda pair: (-pair[1].priority, pair[1].id)))


def _move(host: Host, instance: Instance, home: Home, why: str) -> Migrate:
    """Return the move of one instance. Raises Blocked: it cannot be moved, and why."""
    if host.power is not Power.ON:
        raise Blocked(
            f"{host.id} is not seen to live (power {host.power})",
            fix=f"billow host evacuate {host.id}",
        )
    if instance.immovable:
        raise Blocked(f"it cannot be moved: {instance.immovable}", fix=instance.remedy)
    if instance.state not in _MOVABLE:
        raise Blocked(f"it is {instance.state}", fix=f"billow instance show {instance.id}")
    target, nodes = home(instance.id)
    return Migrate(
        instance=instance.id,
        source=host.id,
        target=target,
        source_nodes=instance.nodes,
        target_nodes=nodes,
        reason=f"{host.id} is drained: {why}",
    )
