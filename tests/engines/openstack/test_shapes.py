# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN401 (fields of records, whatever they are)
"""Flavors and images as shapes: what takes which resource, what needs which host."""

from dataclasses import replace
from typing import Any

import pytest

from billow.engines.openstack.answers import Flavor
from billow.engines.openstack.shapes import Rules, bound_by, shape_of

FLAVOR = Flavor(name="m1", vcpus=4, memory_mib=8192, disk_gib=20, specs={})


def shape_with(
    specs: dict[str, str], properties: dict[str, str] | None = None, **rules: Any
) -> Any:
    return shape_of(replace(FLAVOR, specs=specs), properties or {}, Rules(**rules))


def test_a_plain_flavor() -> None:
    shape = shape_with({})
    assert (shape.name, shape.cpu_milli, shape.memory_mib) == ("m1", 4000, 8192)
    assert (shape.numa_nodes, shape.huge_pages, shape.gpus, shape.traits) == (0, False, 0, set())


@pytest.mark.parametrize(
    ("specs", "properties", "numa", "huge", "pinned"),
    [
        ({"hw:numa_nodes": "2"}, {}, 2, False, False),
        ({"hw:cpu_policy": "dedicated"}, {}, 1, False, True),
        ({"hw:cpu_policy": "mixed", "hw:numa_nodes": "2"}, {}, 2, False, True),
        ({"resources:PCPU": "4"}, {}, 1, False, True),
        ({"hw:mem_page_size": "1GB"}, {}, 1, True, False),
        ({"hw:mem_page_size": "small"}, {}, 0, False, False),
        ({"hw:mem_page_size": "any"}, {}, 0, False, False),
        ({}, {"hw_numa_nodes": "2"}, 2, False, False),
        ({}, {"hw_mem_page_size": "large"}, 1, True, False),
        ({"hw:numa_nodes": "what?"}, {}, 0, False, False),
    ],
)
def test_numa_pinning_and_huge_pages(
    specs: dict[str, str], properties: dict[str, str], numa: int, *, huge: bool, pinned: bool
) -> None:
    shape = shape_with(specs, properties)
    assert (shape.numa_nodes, shape.huge_pages, shape.dedicated) == (numa, huge, pinned)


def test_what_a_host_must_have() -> None:
    specs = {
        "trait:CUSTOM_SSD": "required",
        "trait:HW_X": "forbidden",
        "aggregate_instance_extra_specs:pool": "gold",
        "aggregate_instance_extra_specs:size": "<in> big",
        "ssd": "true",
        "hw:cpu_policy": "dedicated",
        "resources:CUSTOM_LICENSE": "1",
        "quota:cpu_shares": "10",
    }
    assert shape_with(specs, keys=frozenset({"ssd"}), pins=True).traits == {
        "CUSTOM_SSD",
        "CUSTOM_LICENSE",
        "PCPU",
        "aggregate:pool:gold",
        "aggregate:ssd:true",
    }
    assert "aggregate:ssd:true" not in shape_with(specs).traits


def test_devices_count_where_placement_counts_them() -> None:
    specs = {"resources:VGPU": "1", "pci_passthrough:alias": "a100:2,nic:1"}
    assert shape_with(specs).gpus == 1
    assert shape_with(specs, devices=True).gpus == 4
    assert shape_with({"resources2:VGPU": "2"}).gpus == 2


def test_what_placement_is_asked_wins_over_the_flavor() -> None:
    shape = shape_with({"resources:VCPU": "0", "resources:MEMORY_MB": "512"})
    assert (shape.cpu_milli, shape.memory_mib) == (4000, 512)


@pytest.mark.parametrize(
    ("specs", "properties", "word"),
    [
        ({"pci_passthrough:alias": "gpu:1"}, {}, "PCI"),
        ({"hw:tpm_version": "2.0"}, {}, "TPM"),
        ({}, {"hw_tpm_version": "2.0"}, "TPM"),
        ({"hw:mem_encryption": "True"}, {}, "encrypted"),
        ({"accel:device_profile": "fpga"}, {}, "accelerator"),
    ],
)
def test_what_forbids_live_migration(
    specs: dict[str, str], properties: dict[str, str], word: str
) -> None:
    assert word in bound_by(specs, properties)
    assert bound_by({}, {}) == ""
