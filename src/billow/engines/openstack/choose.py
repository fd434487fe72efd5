# SPDX-License-Identifier: Apache-2.0
"""Ask Placement where new servers would go. Nothing is taken there.

Placement is asked once for all requests of one flavor. Its candidates are taken in its own order,
each while it has room left for what this call has given it. Nova's weighers would order them anew,
and are not asked; what only Nova knows (groups, images) is for the planner to check.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from billow.engines.openstack.answers import Flavor
from billow.engines.openstack.cloud import Body, Cloud
from billow.engines.openstack.decode import summaries_of
from billow.engines.openstack.read.hosts import PLACEMENT
from billow.engines.openstack.shapes import dedicated, forbidden, required, resources
from billow.engines.openstack.sight import Sight
from billow.model.instance import Instance

MOST: Final = 1000
"""Candidates that are asked for at once: as many as Nova asks for unless told otherwise."""
_DISABLED: Final = "COMPUTE_STATUS_DISABLED"
"""A trait of providers whose compute service takes nothing new."""
_Needs = Mapping[str, Mapping[str, int]]
"""What a candidate takes: amounts by resource class, by provider."""


@dataclass(slots=True)
class _Room:
    """What providers have left, after what was given away here."""

    left: dict[str, Counter[str]] = field(default_factory=dict)

    def learn(self, answer: Body) -> None:
        """Note what an answer says of providers that are not known yet."""
        for uuid, told in summaries_of(answer).items():
            free = {name: most - told.used.get(name, 0) for name, most in told.capacity.items()}
            self.left.setdefault(uuid, Counter(free))

    def take(self, needs: _Needs) -> bool:
        """Take what a candidate needs, if it is there."""
        rooms = [(self.left.get(uuid, Counter()), wanted) for uuid, wanted in needs.items()]
        if any(room[name] < amount for room, wanted in rooms for name, amount in wanted.items()):
            return False
        for room, wanted in rooms:
            room.subtract(wanted)
        return True


async def choose(cloud: Cloud, sight: Sight, requests: Sequence[Instance]) -> dict[str, str]:
    """Return the host of each request, by name; one that Placement has no room for is left out.

    Raises as `Cloud.call`.
    """
    room, asked, found = _Room(), dict[str, list[tuple[str, _Needs]]](), dict[str, str]()
    homes, hosts = sight.providers, sight.view.pool.hosts
    zones = {name: hosts.zone[row] for name, row in hosts.row.items()}
    for request in requests:
        shape = request.shape.name
        if shape not in asked:
            flavor = sight.flavor(shape)
            answer = await _candidates(cloud, flavor) if flavor else {}
            room.learn(answer)
            asked[shape] = list(_needs(answer, homes))
        for host, needs in asked[shape]:
            if request.zone in {"", zones.get(host)} and room.take(needs):
                found[request.id] = host
                break
    return found


async def _candidates(cloud: Cloud, flavor: Flavor) -> Body:
    version = await cloud.microversion("placement", PLACEMENT)
    wanted = ",".join(f"{name}:{amount}" for name, amount in sorted(amounts(flavor).items()))
    traits = [*sorted(required(flavor.specs)), *sorted(f"!{t}" for t in forbidden(flavor.specs))]
    query = {"resources": wanted, "required": ",".join([*traits, f"!{_DISABLED}"]), "limit": MOST}
    return await cloud.get("placement", f"/allocation_candidates?{urlencode(query)}", version)


def amounts(flavor: Flavor) -> dict[str, int]:
    """Return what a flavor asks of Placement, by resource class; extra specs count."""
    cpus = "PCPU" if dedicated(flavor.specs, {}) else "VCPU"
    usual = {cpus: flavor.vcpus, "MEMORY_MB": flavor.memory_mib, "DISK_GB": flavor.disk_gib}
    return {name: amount for name, amount in {**usual, **resources(flavor.specs)}.items() if amount}


def _needs(answer: Body, homes: Mapping[str, str]) -> Iterator[tuple[str, _Needs]]:
    """Yield each candidate's host and what it takes there, in Placement's order."""
    roots = {
        uuid: str(row.get("root_provider_uuid") or uuid)
        for uuid, row in (answer.get("provider_summaries") or {}).items()
    }
    for candidate in answer.get("allocation_requests") or ():
        needs = {uuid: _whole(row) for uuid, row in candidate.get("allocations", {}).items()}
        hosts = {homes.get(roots.get(uuid, uuid), "") for uuid in needs}
        for host in hosts - {""}:
            yield host, needs


def _whole(row: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(amount) for name, amount in (row.get("resources") or {}).items()}
