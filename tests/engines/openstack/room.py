# SPDX-License-Identifier: Apache-2.0
"""Placement's part of the double: who holds how much room of which host."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.engines.openstack.memory import (
    FLAVORS,
    HOST_CPUS,
    HOST_MIB,
    HOSTS,
    Cloud,
    Fault,
    id_of,
)

Body = dict[str, Any]
TRAITS = ["HW_CPU_X86_SSE"]


@dataclass(frozen=True)
class Call:
    """A request: what its path named, what it asked, what it brought."""

    words: tuple[str, ...]
    query: dict[str, str]
    body: Body
    version: str = ""


Handler = Callable[[Cloud, Call], Body]


def allocated(cloud: Cloud, call: Call) -> Body:
    (consumer,) = call.words
    if consumer not in cloud.allocations:
        return {"allocations": {}}
    host, flavor = cloud.allocations[consumer]
    return {
        "allocations": {cloud.provider(host): {"resources": _resources(flavor)}},
        "consumer_generation": 1,
        "consumer_type": cloud.kinds.get(consumer, "INSTANCE"),
        "project_id": "tenant",
        "user_id": "user",
    }


def allot(cloud: Cloud, call: Call) -> Body:
    (consumer,) = call.words
    assert set(call.body) == {
        *("allocations", "consumer_generation", "consumer_type", "project_id", "user_id")
    }
    if consumer in cloud.stale:
        raise Fault(409, "consumer generation conflict")
    assert not call.body["allocations"], "the double keeps one provider for each consumer"
    cloud.allocations.pop(consumer, None)
    return {}


def on_provider(cloud: Cloud, call: Call) -> Body:
    (provider,) = call.words
    rows = {
        consumer: {"resources": _resources(flavor)}
        for consumer, (host, flavor) in cloud.allocations.items()
        if cloud.provider(host) == provider
    }
    return {"allocations": rows, "resource_provider_generation": 1}


def _resources(flavor: str) -> dict[str, int]:
    cpus, mib = FLAVORS[flavor]
    return {"VCPU": cpus, "MEMORY_MB": mib}


def summaries(cloud: Cloud, _: Call) -> Body:
    found = {}
    for host in HOSTS:
        used = _used(cloud, host)
        have = {"VCPU": HOST_CPUS, "MEMORY_MB": HOST_MIB}
        found[id_of(host)] = {
            "resources": {name: {"capacity": have[name], "used": used[name]} for name in have},
            "traits": TRAITS,
        }
    return {"provider_summaries": found, "allocation_requests": []}


def _used(cloud: Cloud, host: str) -> dict[str, int]:
    held = [flavor for at, flavor in cloud.allocations.values() if at == host]
    return {kind: sum(_resources(each)[kind] for each in held) for kind in ("VCPU", "MEMORY_MB")}


def usages(cloud: Cloud, call: Call) -> Body:
    (provider,) = call.words
    host = next(each for each in cloud.homes() if cloud.provider(each) == provider)
    return {"usages": _used(cloud, host), "resource_provider_generation": 1}


def providers(cloud: Cloud, _: Call) -> Body:
    rows = [
        {
            "uuid": cloud.provider(host),
            "name": cloud.hypervisor(host),
            "generation": hash(tuple(sorted(cloud.allocations.items()))) % 2**31,
            "parent_provider_uuid": None,
            "root_provider_uuid": cloud.provider(host),
        }
        for host in cloud.homes()
    ]
    return {"resource_providers": rows}
