# SPDX-License-Identifier: Apache-2.0
"""CPUs as QEMU names them: what a host has, what a machine is given, what a guest then needs.

Guests that are translated (TCG) see a CPU that QEMU plays, and need nothing of their host's.
"""

from typing import Final

from billow.engines.qemu.machine import Accelerator, Platform
from billow.engines.qemu.monitor import Monitor
from billow.errors import Invalid
from billow.model.cpu.models import (
    VENDORS,
    changes_of,
    described,
    features_of,
    model_of,
    vendor_of,
    with_changes,
)
from billow.model.kinds import Arch
from billow.plan.reach import lacking, without

HOST: Final = "host"
"""All that the host has."""
REDUCED_HOST: Final = f"{HOST},arch-capabilities=off"
"""All but Intel's word on its faults, which KVM plays on AMD, too, and does not always take back.

QEMU ends where KVM refuses it; from QEMU 10.1 on it is not among what AMD's `host` has.
"""
TRANSLATED: Final = "max"
"""All that QEMU can play."""
_ALWAYS: Final = frozenset({"hypervisor", "topoext"})
"""What QEMU gives whatever the host is."""
_VENDORS: Final = {
    "GenuineIntel": "intel",
    "AuthenticAMD": "amd",
    "HygonGenuine": "hygon",
    "CentaurHauls": "zhaoxin",
    "  Shanghai  ": "zhaoxin",
}


async def host_cpu(monitor: Monitor) -> str:
    """Ask a QEMU that runs under KVM what this machine's CPUs have. Raises Refused, Lost.

    One that was started with `REDUCED_HOST` says less.
    """
    question = {"type": "static", "model": {"name": HOST}}
    answer = await monitor.mapping("query-cpu-model-expansion", question)
    model = answer.get("model")
    properties = model.get("props") if isinstance(model, dict) else None
    return cpu_of(properties) if isinstance(properties, dict) else ""


def cpu_of(properties: dict[str, object]) -> str:
    """Return a CPU by the properties that QEMU gives it."""
    flags = {flag for flag, value in properties.items() if value is True} - _ALWAYS
    has = {flag for flag in flags if not flag.startswith(("kvm", "hv-", "x-"))}
    vendor = _VENDORS.get(str(properties.get("vendor")))
    return described(frozenset(has | ({vendor} if vendor else set())), Arch.X86_64)


def option_of(platform: Platform) -> str:
    """Return what `-cpu` is told; a named model must be there to the last feature."""
    cpu = platform.cpu
    if cpu in {HOST, REDUCED_HOST, TRANSLATED}:
        return cpu
    on = {"+": "on", "-": "off"}
    changes = [each for each in changes_of(cpu) if each[1:] not in VENDORS]
    options = [f"{each[1:]}={on[each[0]]}" for each in changes]
    return ",".join([model_of(cpu).name, *options, "enforce=on"])


def needed_by(platform: Platform, here: str, *, live: bool) -> str:
    """Return the CPU that a machine needs of a host.

    Args:
        platform: How it runs.
        here: What this machine's CPUs have.
        live: Whether its guest has seen a CPU that it must not lose.
    """
    if platform.accelerator is not Accelerator.KVM:
        return ""
    if platform.cpu in {HOST, REDUCED_HOST}:
        return here if live else ""
    return _of_vendor(platform.cpu, here) if live and here else platform.cpu


def check_wanted(wanted: str, here: str) -> None:
    """Check that this machine can give its guests the CPU that is set. Raises Invalid."""
    missing = lacking(wanted, here)
    if missing:
        raise Invalid(
            f"this machine cannot give its guests the CPU {wanted}: it {without(missing)}",
            (f"it has {here}",),
            fix="set BILLOW_CPU_MODEL to one that `billow pool cpu-baseline` names, or leave it "
            "empty for all that the host has",
        )


def _of_vendor(cpu: str, here: str) -> str:
    """Return a named CPU as a guest sees it: under KVM always of the host's vendor."""
    mine = vendor_of(features_of(here) or ())
    has = (features_of(cpu) or frozenset()) - VENDORS
    return with_changes(model_of(cpu), has | {mine} if mine else has)
