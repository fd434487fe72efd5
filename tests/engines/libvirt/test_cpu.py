# SPDX-License-Identifier: Apache-2.0
"""libvirt's words for CPUs, as Billow writes them: of hosts, and of machines."""

from xml.etree import ElementTree as ET

import pytest

from billow.engines.libvirt.cpu import HOST, host_cpu, is_amd, machine_cpu, needed
from billow.model.cpu.models import features_of

SAID = """
<domainCapabilities><cpu>
  <mode name='host-passthrough' supported='yes'/>
  <mode name='host-model' supported='{supported}'>
    <model fallback='forbid'>Skylake-Server-IBRS</model><vendor>Intel</vendor>
    <feature policy='require' name='hypervisor'/><feature policy='require' name='tsc_adjust'/>
    <feature policy='disable' name='hle'/><feature policy='disable' name='pclmuldq'/>
  </mode></cpu></domainCapabilities>
"""
MACHINE = """
<domain type='{kind}'><os><type arch='{arch}'>hvm</type></os>{cpu}</domain>
"""
CUSTOM = (
    "<cpu mode='custom'><model>EPYC-Rome</model><vendor>AMD</vendor>"
    "<feature policy='require' name='x2apic'/><feature policy='disable' name='svm'/></cpu>"
)


def parsed(text: str, **words: str) -> ET.Element:
    return ET.fromstring(text.format(**words))  # noqa: S314  # our own


def test_a_host_has_its_model_and_what_it_has_more_and_less() -> None:
    found = features_of(host_cpu(parsed(SAID, supported="yes"), "x86_64"))
    model = features_of("Skylake-Server-IBRS")
    assert found is not None
    assert model is not None
    assert found - model == {"tsc-adjust"}
    assert model - found == {"hle", "pclmulqdq"}
    assert "intel" in found


@pytest.mark.parametrize(
    ("text", "arch"),
    [
        (SAID.format(supported="no"), "x86_64"),
        (SAID.format(supported="yes").replace("Skylake-Server-IBRS", "Unheard-Of"), "x86_64"),
        (SAID.format(supported="yes"), "s390x"),
        ("<domainCapabilities/>", "x86_64"),
    ],
)
def test_what_is_not_known_of_a_cpu_is_not_guessed(text: str, arch: str) -> None:
    assert host_cpu(parsed(text), arch) == ""


@pytest.mark.parametrize(
    ("kind", "cpu", "given"),
    [
        ("kvm", "<cpu mode='host-passthrough'/>", HOST),
        ("kvm", "", ""),
        ("qemu", CUSTOM, ""),
        ("kvm", "<cpu mode='host-model'/>", ""),
    ],
)
def test_a_machine_says_what_it_was_given(kind: str, cpu: str, given: str) -> None:
    assert machine_cpu(parsed(MACHINE, kind=kind, arch="x86_64", cpu=cpu)) == given


def test_a_named_cpu_is_needed_whether_it_runs_or_not_and_the_hosts_own_while_it_runs() -> None:
    given = machine_cpu(parsed(MACHINE, kind="kvm", arch="x86_64", cpu=CUSTOM))
    found = features_of(given)
    assert found is not None
    assert {"amd", "x2apic"} <= found
    assert "svm" not in found
    assert needed(given, "EPYC-v1", runs=False) == given
    assert needed(HOST, "EPYC-v1", runs=True) == "EPYC-v1"
    assert needed(HOST, "EPYC-v1", runs=False) == ""


def test_amds_cpus_are_known_by_their_vendor() -> None:
    intel = host_cpu(parsed(SAID, supported="yes"), "x86_64")
    amd = host_cpu(parsed(SAID.replace("Intel", "AMD"), supported="yes"), "x86_64")
    assert [is_amd(each) for each in ("EPYC-v1", amd, intel, "")] == [True, True, False, False]
