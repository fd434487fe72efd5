# SPDX-License-Identifier: Apache-2.0
"""CPUs as libvirt names them: what a host can give its guests, what a machine was given. Pure.

libvirt's names of models are QEMU's, and its names of features nearly so. What it says of a model
that Billow does not know is not guessed: then nothing is known of that CPU, and nothing stands in
anybody's way.
"""

from typing import Final
from xml.etree import ElementTree as ET

from billow.errors import Invalid
from billow.model.cpu.models import VENDORS, described, features_of, vendor_of
from billow.model.kinds import Arch

HOST: Final = "host"
"""All that the host has."""
ARCH_CAPABILITIES: Final = "arch-capabilities"
"""Intel's word on its faults, which KVM plays on AMD, too, and does not always take back: QEMU ends
where KVM refuses it; from QEMU 10.1 on AMD's CPUs do not have it."""
_VENDORS: Final = {"Intel": "intel", "AMD": "amd", "Hygon": "hygon", "Zhaoxin": "zhaoxin"}
_NAMES: Final = {"pclmuldq": "pclmulqdq"}
_ALWAYS: Final = frozenset({"hypervisor", "topoext"})
"""What QEMU gives whatever the host is."""
_LACKING: Final = frozenset({"disable", "forbid"})


def host_cpu(domain_capabilities: ET.Element, arch: str) -> str:
    """Return what a host's CPUs have for guests under KVM; empty where that is not known."""
    for mode in domain_capabilities.findall("cpu/mode"):
        if mode.get("name") == "host-model" and mode.get("supported") == "yes":
            return _cpu_of(mode, arch)
    return ""


def is_amd(cpu: str) -> bool:
    """Return whether a host's CPUs, as Billow names them, are of AMD's."""
    return bool(cpu) and vendor_of(features_of(cpu) or ()) == "amd"


def machine_cpu(domain: ET.Element) -> str:
    """Return the CPU that a machine was given; `HOST` for its host's own, empty if not known.

    libvirt writes out what a model like the host's came to when the machine was started.
    """
    cpu = domain.find("cpu")
    if cpu is None or domain.get("type") != "kvm":
        return ""
    if cpu.get("mode") in {"host-passthrough", "maximum"}:
        return HOST
    kind = domain.find("os/type")
    arch = "x86_64" if kind is None else kind.get("arch", "x86_64")
    return _cpu_of(cpu, arch)


def needed(given: str, host: str, *, runs: bool) -> str:
    """Return the CPU that a machine needs of a host, by its own and its host's."""
    if given == HOST:
        return host if runs else ""
    return given


def _cpu_of(element: ET.Element, arch: str) -> str:
    """Return a CPU by its model, and by what libvirt says that it has more and less."""
    model = (element.findtext("model") or "").strip()
    if not model or arch not in set(Arch):
        return ""
    try:
        has = set(features_of(model) or ())
    except Invalid:
        return ""
    for feature in element.findall("feature"):
        name = feature.get("name", "").replace("_", "-")
        name = _NAMES.get(name, name)
        (set.discard if feature.get("policy") in _LACKING else set.add)(has, name)
    vendor = _VENDORS.get((element.findtext("vendor") or "").strip())
    if vendor:
        has = has - VENDORS | {vendor}
    return described(frozenset(has - _ALWAYS), Arch(arch))
