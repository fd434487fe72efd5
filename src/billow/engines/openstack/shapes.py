# SPDX-License-Identifier: Apache-2.0
"""Flavors as shapes: extra specs and image properties in the planners' terms. Pure.

What has no place in a shape, but keeps a server on its host, is a reason why it is immovable.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from billow.engines.openstack.answers import Flavor
from billow.engines.openstack.names import plain
from billow.model.kinds import Arch
from billow.model.shape import Shape

PINNED: Final = "PCPU"
"""What a host must have, as a trait, whose guests pin CPUs."""
_RESOURCE: Final = re.compile(r"resources[A-Za-z0-9_-]*:([A-Z0-9_]+)")
_TRAIT: Final = re.compile(r"trait[A-Za-z0-9_-]*:([A-Z0-9_]+)")
_GPU: Final = re.compile(r"P?V?GPU|CUSTOM_.*GPU.*|CUSTOM_PCI_.*|PCI_DEVICE")
_SCOPED: Final = "aggregate_instance_extra_specs:"
_OPERATOR: Final = re.compile(r"<\w+>|[<>=!]|s[=<>!]|\{")
_SMALL_PAGES: Final = frozenset({"", "small", "any"})
_TRUE: Final = frozenset({"true", "1", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What a cloud's aggregates and providers make of extra specs.

    Attributes:
        keys: Metadata that its aggregates have.
        pins: Whether any host has CPUs set aside for pinning.
        devices: Whether Placement counts PCI devices.
    """

    keys: frozenset[str] = frozenset()
    pins: bool = False
    devices: bool = False


class Shapes:
    """Shapes of flavors, each made once, two that differ never under one name."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._made: dict[object, Shape] = {}
        self._named: dict[str, Shape] = {}

    def of(self, flavor: Flavor, properties: Mapping[str, str]) -> Shape:
        """Return the shape of a flavor with an image."""
        wanted = {name: each for name, each in properties.items() if name in _PROPERTIES}
        key = flavor.key, tuple(sorted(wanted.items()))
        if key not in self._made:
            self._made[key] = self._kept(shape_of(flavor, wanted, self._rules))
        return self._made[key]

    def floating(self, shape: Shape) -> Shape:
        """Return the like of a shape that is bound to no NUMA node."""
        return self._kept(replace(shape, name=f"{shape.name}~floating", numa_nodes=0))

    def _kept(self, shape: Shape) -> Shape:
        known = self._named.setdefault(shape.name, shape)
        if known == shape:
            return known
        sign = hashlib.blake2b(shape.canonical.encode(), digest_size=3).hexdigest()
        other = replace(shape, name=f"{shape.name}~{sign}")
        return self._named.setdefault(other.name, other)


def shape_of(flavor: Flavor, properties: Mapping[str, str], rules: Rules) -> Shape:
    """Return what a server of a flavor takes and needs."""
    specs = flavor.specs
    amounts = resources(specs)
    pinned = dedicated(specs, properties)
    huge = _value(specs, properties, "mem_page_size").lower() not in _SMALL_PAGES
    vcpus = flavor.vcpus
    if "VCPU" in amounts or "PCPU" in amounts:
        vcpus = amounts.get("VCPU", 0) + amounts.get("PCPU", 0) or flavor.vcpus
    return Shape(
        name=plain(flavor.name) or plain(flavor.uuid) or "unnamed",
        cpu_milli=1000 * vcpus,
        memory_mib=amounts.get("MEMORY_MB") or flavor.memory_mib,
        numa_nodes=min(32, numa_nodes(specs, properties, bound=pinned or huge)),
        huge_pages=huge,
        gpus=min(4096, gpus(specs, amounts, rules)),
        arch=_arch(properties),
        traits=frozenset(needed(specs, amounts, rules, pinned=pinned)),
        dedicated=pinned,
    )


def resources(specs: Mapping[str, str]) -> dict[str, int]:
    """Return what extra specs ask of Placement, by resource class."""
    found: dict[str, int] = {}
    for name, value in specs.items():
        match = _RESOURCE.fullmatch(name)
        if match:
            found[match[1]] = found.get(match[1], 0) + _whole(value)
    return found


def dedicated(specs: Mapping[str, str], properties: Mapping[str, str]) -> bool:
    """Return whether CPUs are pinned, some of them at least."""
    policy = _value(specs, properties, "cpu_policy").lower()
    return policy in {"dedicated", "mixed"} or resources(specs).get("PCPU", 0) > 0


def numa_nodes(specs: Mapping[str, str], properties: Mapping[str, str], *, bound: bool) -> int:
    """Return how many NUMA nodes a guest has; Nova gives one to whoever pins or has huge pages."""
    asked = _whole(_value(specs, properties, "numa_nodes"))
    return max(asked, 1) if bound else asked


def gpus(specs: Mapping[str, str], amounts: Mapping[str, int], rules: Rules) -> int:
    """Return how many devices of hosts a guest gets: virtual GPUs, and PCI devices by alias.

    The latter only where hosts, too, are counted with them.
    """
    own = sum(count for name, count in amounts.items() if is_device(name))
    return own + (sum(count for _, count in aliases(specs)) if rules.devices else 0)


def is_device(resource_class: str) -> bool:
    """Return whether a resource class counts GPUs or PCI devices."""
    return _GPU.fullmatch(resource_class) is not None


def aliases(specs: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Yield the PCI devices that a flavor asks for: `gpu:2,nic:1`."""
    for each in filter(None, specs.get("pci_passthrough:alias", "").split(",")):
        name, _, count = each.strip().partition(":")
        yield name, max(1, _whole(count or "1"))


def needed(
    specs: Mapping[str, str], amounts: Mapping[str, int], rules: Rules, *, pinned: bool
) -> Iterator[str]:
    """Yield the traits that a host must have."""
    if pinned and rules.pins:
        yield PINNED
    yield from required(specs)
    for name, value in specs.items():
        key = name.removeprefix(_SCOPED)
        scoped = name.startswith(_SCOPED) or (":" not in name and key in rules.keys)
        if scoped and not _OPERATOR.match(value):
            yield aggregate_trait(key, value)
    yield from (n for n, count in amounts.items() if count and _is_own(n))


def _is_own(resource_class: str) -> bool:
    """Return whether hosts differ by having a resource class or not."""
    return resource_class.startswith("CUSTOM_") or is_device(resource_class)


def aggregate_trait(key: str, value: str) -> str:
    """Return the trait by which hosts of an aggregate with that metadata are known."""
    return plain(f"aggregate:{key}:{value}")


def required(specs: Mapping[str, str]) -> Iterator[str]:
    """Yield the traits of providers that extra specs demand."""
    yield from _traits(specs, "required")


def forbidden(specs: Mapping[str, str]) -> Iterator[str]:
    """Yield the traits that a host must not have: planners cannot be told."""
    yield from _traits(specs, "forbidden")


def _traits(specs: Mapping[str, str], how: str) -> Iterator[str]:
    for name, value in specs.items():
        match = _TRAIT.fullmatch(name)
        if match and value == how:
            yield match[1]


def bound_by(specs: Mapping[str, str], properties: Mapping[str, str]) -> str:
    """Return what in a flavor or an image forbids live migration; empty when nothing does."""
    if specs.get("pci_passthrough:alias"):
        return "a PCI device of its host is passed through to it"
    if _value(specs, properties, "tpm_version"):
        return "it has a virtual TPM, whose state stays on its host"
    if _value(specs, properties, "mem_encryption").lower() in _TRUE:
        return "its memory is encrypted by its host"
    if specs.get("accel:device_profile"):
        return "an accelerator of its host is attached to it"
    return ""


_PROPERTIES: Final = frozenset(
    f"hw_{name}"
    for name in (
        *("cpu_policy", "numa_nodes", "mem_page_size", "tpm_version", "mem_encryption"),
        "architecture",
    )
)


def _value(specs: Mapping[str, str], properties: Mapping[str, str], name: str) -> str:
    return specs.get(f"hw:{name}") or properties.get(f"hw_{name}", "")


def _arch(properties: Mapping[str, str]) -> Arch | None:
    asked = properties.get("hw_architecture", "")
    return Arch(asked) if asked in set(Arch) else None


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
