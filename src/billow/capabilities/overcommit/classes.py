# SPDX-License-Identifier: Apache-2.0
"""Which hosts are alike: one ratio for each class of hosts, since placement treats them alike."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from billow.capabilities.overcommit.policy import OvercommitPolicy
from billow.capabilities.overcommit.solve import Odds, Uses, odds
from billow.model.instances import NOWHERE
from billow.model.kinds import Arch, Health, Kind, Power, State, code_of, value_of
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY, BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class Allotment:
    """What one class of hosts sells of one resource, now and possibly.

    Attributes:
        now: Ratio of the class: sellable per physical unit.
        safe: Ratio at which the risk is as allowed.
        wanted: Ratio that its hosts should have; `now` where nothing changes.
        why: Why it is so, in one clause.
    """

    odds: Odds | None
    now: float
    safe: float
    wanted: float
    why: str


@dataclass(frozen=True, eq=False)
class Class:
    """Hosts of one arch, zone, size and set of traits, and what they may sell.

    Attributes:
        members: `(hosts,) bool`.
    """

    name: str
    members: BoolArray
    cpu: Allotment
    memory: Allotment


def classes(pool: Pool, policy: OvercommitPolicy) -> list[Class]:
    """Return every class of hosts that are on. Linear in instances times samples."""
    cpu, memory = _uses(pool, CPU), _uses(pool, MEMORY)
    hosts, found = pool.hosts, []
    for name, members in _groups(pool).items():
        traits = hosts.traits[int(members.argmax())]
        plain = bool(traits & policy.plain_traits)
        most = (1.0, 1.0) if plain else (policy.most_cpu_ratio, policy.most_memory_ratio)
        found.append(
            Class(
                name,
                members,
                _allotment(cpu, members, hosts.cpu_ratio, most[0], policy),
                _allotment(memory, members, hosts.memory_ratio, most[1], policy),
            )
        )
    return found


def _groups(pool: Pool) -> Mapping[str, BoolArray]:
    hosts = pool.hosts
    on = (hosts.power == code_of(Power.ON)) & (hosts.health == code_of(Health.OK))
    total = hosts.capacity.sum(axis=1)
    keys = np.column_stack(
        [hosts.arch, hosts.zone.codes, hosts.traits.codes, total[:, CPU], total[:, MEMORY]]
    )
    groups: dict[str, BoolArray] = {}
    if not on.any():
        return groups
    _, first, which = np.unique(keys[on], axis=0, return_index=True, return_inverse=True)
    rows = np.flatnonzero(on)
    for number, row in enumerate(rows[first].tolist()):
        members = np.zeros(len(hosts), dtype=np.bool_)
        members[rows[which.ravel() == number]] = True
        groups[_name(pool, row)] = members
    return groups


def _name(pool: Pool, row: int) -> str:
    hosts = pool.hosts
    cpus, mib = (int(amount) for amount in hosts.capacity[row].sum(axis=0)[[CPU, MEMORY]])
    words = [str(value_of(Arch, hosts.arch[row])), hosts.zone[row], *sorted(hosts.traits[row])]
    return " ".join([*filter(None, words), f"{cpus / 1000:g} CPUs", f"{mib / 1024:g} GiB"])


def _uses(pool: Pool, resource: int) -> Uses:
    ours = pool.instances
    bought = pool.demand[ours.shape, resource].astype(np.float64)
    counts = ours.state == code_of(State.RUNNING)
    if resource == MEMORY:
        counts |= ours.state == code_of(State.PAUSED)
    bought[~counts | (ours.kind == code_of(Kind.BARE_METAL))] = 0.0
    now = ours.cpu_used if resource == CPU else ours.memory_used + np.nan_to_num(ours.ballooned)
    samples = now[:, None].astype(np.float32)
    if pool.history is not None:
        past = pool.history
        samples = past.cpu_of(ours.id) if resource == CPU else past.memory_of(ours.id)
    capacity = pool.hosts.capacity[:, :, resource].sum(axis=1).astype(np.float64)
    return Uses(bought, samples, ours.host, capacity)


def _allotment(
    uses: Uses, members: BoolArray, ratios: FloatArray, most: float, policy: OvercommitPolicy
) -> Allotment:
    weights = np.maximum(uses.capacity[members], 1e-9)
    now = float(np.average(ratios[members], weights=weights))
    found = odds(uses, members, policy)
    if most <= 1.0:
        return Allotment(found, now, 1.0, min(now, 1.0), "sells what it has, by policy")
    if found is None:
        return Allotment(None, now, now, now, "nothing is sold there")
    safe = _rounded(found.safe_ratio(policy, most))
    return Allotment(found, now, safe, *_wanted(found, now, max(safe, 1.0), policy))


def _wanted(found: Odds, now: float, safe: float, policy: OvercommitPolicy) -> tuple[float, str]:
    """Return the ratio that a class should have, and why."""
    if found.known < policy.seen_share:
        few = f"the use of only {found.known:.0%} of what is sold was seen long enough"
        return now, f"{few} ({policy.least_samples} samples)"
    risk = found.risk(now, policy)
    if risk > policy.risk * policy.lower_at and safe < now:
        return (
            safe,
            f"a host over {policy.limit_share:.0%} has a chance of {risk:.2%} when sold out",
        )
    reach = _rounded(policy.reach * found.sold)
    wanted = min(safe, reach)
    if wanted >= now + policy.raise_by:
        after = found.risk(wanted, policy)
        return wanted, f"a host over {policy.limit_share:.0%} then has a chance of {after:.2%}"
    if safe >= now + policy.raise_by:
        return now, f"{now:.2f} is not sold out far enough to know what more would do"
    return now, "as the risk allows"


def _rounded(ratio: float) -> float:
    """Round down to a twentieth."""
    return float(np.floor(ratio * 20 + 1e-9)) / 20


def homes_of_dedicated(pool: Pool) -> BoolArray:
    """Return which hosts have an instance with CPUs of its own, `(hosts,) bool`."""
    ours = pool.instances
    alone = np.array([shape.dedicated for shape in pool.shapes], dtype=np.bool_)
    homes = np.zeros(len(pool.hosts), dtype=np.bool_)
    if len(alone):
        homes[ours.host[alone[ours.shape] & (ours.host != NOWHERE)]] = True
    return homes
