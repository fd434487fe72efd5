# SPDX-License-Identifier: Apache-2.0
"""The command line: what a machine becomes, and that no name or path can add an option."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from billow.engines.qemu.command import Site, command_line
from billow.engines.qemu.machine import (
    Accelerator,
    Card,
    Disk,
    Firmware,
    Kernel,
    Machine,
    Platform,
    Wire,
)
from billow.errors import Invalid

KVM = Platform(accelerator=Accelerator.KVM, board="pc-i440fx-7.2", cpu="host", dirty_ring=1024)
TCG = Platform(accelerator=Accelerator.TCG, board="pc-i440fx-7.2", cpu="max")
UUID = "00000000-0000-4000-8000-000000000001"
SMALL = Machine(
    instance="a",
    uuid=UUID,
    cpus=1,
    memory_mib=64,
    platform=KVM,
    boot=Firmware(image="firmware.bin"),
)
TAP = Card(wire=Wire.TAP, mac="02:00:00:00:00:01", address="10.78.0.1/16", tap="t0")


def site(root: str = "/pool") -> Site:
    folder = Path(root)
    return Site(
        binary=Path("/usr/bin/qemu-system-x86_64"),
        qmp=7,
        cache=folder / "cache",
        pid=folder / "pid",
        serial=folder / "serial.log",
        disk=folder / "disk.qcow2",
        seed=folder / "seed.iso",
        orders=folder / "orders.bin",
    )


def after(line: tuple[str, ...], option: str) -> list[str]:
    """Return the values of an option."""
    return [value for name, value in pairwise(line) if name == option]


def test_a_firmware_machine_under_kvm() -> None:
    line = command_line(SMALL, site())
    assert after(line, "-accel") == ["kvm,dirty-ring-size=1024"]
    assert after(line, "-machine") == ["pc-i440fx-7.2,vmport=off,usb=off,pit=off"]
    assert after(line, "-bios") == ["/pool/cache/firmware.bin"]
    assert after(line, "-chardev")[0] == "socket,id=qmp,fd=7,server=on,wait=off"
    assert "-S" in line
    assert "-incoming" not in line
    assert "-netdev" not in line


def test_a_target_waits_and_is_otherwise_the_same() -> None:
    here, there = (command_line(SMALL, replace(site(), incoming=way)) for way in (False, True))
    assert [word for word in there if word not in here] == ["-incoming", "defer"]


def test_a_kernel_may_have_an_empty_disk_beside_it() -> None:
    boot = Kernel(kernel="vmlinuz", initrd="initrd", arguments="billow.writer=/dev/vda", disk=True)
    line = command_line(replace(SMALL, platform=TCG, boot=boot), site())
    (disk,) = (json.loads(text) for text in after(line, "-blockdev"))
    assert (disk["node-name"], disk["file"]["filename"]) == ("disk", "/pool/disk.qcow2")


def test_a_machine_with_a_disk_has_a_seed_that_it_cannot_change() -> None:
    machine = replace(SMALL, platform=TCG, boot=Disk(), card=TAP)
    line = command_line(machine, site())
    disk, seed = (json.loads(text) for text in after(line, "-blockdev"))
    assert (disk["driver"], disk["read-only"]) == ("qcow2", False)
    assert (seed["driver"], seed["read-only"]) == ("raw", True)
    assert after(line, "-netdev") == ["tap,id=net,ifname=t0,script=no,downscript=no"]
    assert after(line, "-accel") == ["tcg,thread=multi,tb-size=128"]


def test_a_kernel_gets_its_arguments_as_one_word() -> None:
    boot = Kernel(kernel="vmlinuz", initrd="initrd", arguments="console=ttyS0 a=b,c")
    line = command_line(replace(SMALL, boot=boot), site())
    assert after(line, "-append") == ["console=ttyS0 a=b,c"]


@pytest.mark.parametrize("root", ["/pool,readonly=on", "/po ol", '/po"ol', "/pool=,,", "/-pool"])
def test_a_path_cannot_become_an_option(root: str) -> None:
    machine = replace(SMALL, boot=Disk())
    line = command_line(machine, site(root))
    serial = after(line, "-chardev")[1]
    assert serial.replace(",,", "\0").count(",") == 3
    assert serial.split("path=")[1].split(",append=")[0].replace(",,", ",") == f"{root}/serial.log"
    disk = json.loads(after(line, "-blockdev")[0])
    assert disk["file"]["filename"] == f"{root}/disk.qcow2"


@pytest.mark.parametrize(
    "name", ["", "a,b", "a b", "../a", "a/b", "a\0b", "-a", "a=b", "Ä", "a" * 64, "a\n"]
)
def test_a_machine_has_no_name_that_is_more_than_a_name(name: str) -> None:
    with pytest.raises(Invalid):
        replace(SMALL, instance=name)


@pytest.mark.parametrize(("cpus", "memory_mib"), [(0, 64), (256, 64), (1, 1), (-1, 64), (1, 2**40)])
def test_a_machine_has_a_possible_size(cpus: int, memory_mib: int) -> None:
    with pytest.raises(Invalid):
        replace(SMALL, cpus=cpus, memory_mib=memory_mib)
