# SPDX-License-Identifier: Apache-2.0
"""The QEMU command line of a machine. Pure: paths come in, nothing is looked at.

Paths go through JSON, or have their commas doubled: QEMU reads a single comma as the start of an
option, and a state folder may have one in its name.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from billow.engines.qemu.cpu import option_of
from billow.engines.qemu.machine import Accelerator, Card, Disk, Firmware, Kernel, Machine, Wire

ORDERS_ADDRESS = 0x10000
"""Where the firmware guest expects its control pages."""
BALLOON = "balloon"
"""The device by which a guest with an operating system tells of its memory."""
DISK = "disk"
"""The block node of its disk."""
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
"""QEMU may start nothing and become nobody else, whatever the guest breaks out of."""
_FIRMWARE_CODE_MIB = 8
_GUEST_CODE_MIB = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where one process of a machine puts its files.

    Attributes:
        qmp: Number of the inherited, listening QMP socket.
        cache: Where firmware and kernels are.
        incoming: Whether it waits for a migration instead of booting.
        sandbox: Whether this QEMU can lock itself in.
    """

    binary: Path
    qmp: int
    cache: Path
    pid: Path
    serial: Path
    disk: Path
    seed: Path
    orders: Path
    incoming: bool = False
    sandbox: bool = True


def command_line(machine: Machine, site: Site) -> tuple[str, ...]:
    """Return the program and its arguments. The guest does not run before QMP `cont`."""
    return (
        str(site.binary),
        *("-nodefaults", "-no-user-config", "-display", "none", "-S"),
        *("-name", f"guest={machine.instance},debug-threads=on", "-uuid", machine.uuid),
        *_platform(machine),
        *("-chardev", f"socket,id=qmp,fd={site.qmp},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *("-chardev", f"file,id=serial,path={escaped(site.serial)},append=on"),
        *("-serial", "chardev:serial", "-pidfile", str(site.pid), "-msg", "timestamp=on"),
        *_boot(machine, site),
        *(_card(machine.card) if machine.card else ()),
        *(_balloon() if machine.balloon else ()),
        *(("-incoming", "defer") if site.incoming else ()),
        *(("-sandbox", SANDBOX) if site.sandbox else ()),
    )


def escaped(path: Path) -> str:
    """Return a path for use inside one of QEMU's comma-separated options."""
    return str(path).replace(",", ",,")


def _platform(machine: Machine) -> Iterator[str]:
    platform = machine.platform
    quick = isinstance(machine.boot, Firmware)
    yield from ("-machine", f"{platform.board},vmport=off,usb=off{',pit=off' if quick else ''}")
    yield "-accel"
    match platform.accelerator:
        case Accelerator.KVM:
            ring = f",dirty-ring-size={platform.dirty_ring}" if platform.dirty_ring else ""
            yield f"kvm{ring}"
        case Accelerator.TCG:
            yield f"tcg,thread=multi,tb-size={_FIRMWARE_CODE_MIB if quick else _GUEST_CODE_MIB}"
        case _:
            assert_never(platform.accelerator)
    yield from ("-cpu", option_of(platform))
    yield from ("-smp", f"cpus={machine.cpus},sockets=1,cores={machine.cpus},threads=1")
    yield from ("-m", f"size={machine.memory_mib}M")


def _boot(machine: Machine, site: Site) -> Iterator[str]:
    match machine.boot:
        case Firmware() as firmware:
            yield from ("-bios", str(site.cache / firmware.image))
            if firmware.orders:
                yield from _device(
                    "loader", file=str(site.orders), addr=ORDERS_ADDRESS, **{"force-raw": True}
                )
            if firmware.disk:
                yield from _drive(DISK, "qcow2", site.disk)
        case Kernel() as kernel:
            yield from ("-kernel", str(site.cache / kernel.kernel))
            yield from ("-initrd", str(site.cache / kernel.initrd))
            yield from ("-append", kernel.arguments)
            if kernel.disk:
                yield from _drive(DISK, "qcow2", site.disk)
        case Disk():
            yield from _drive(DISK, "qcow2", site.disk)
            yield from _drive("seed", "raw", site.seed, read_only=True)
            yield from ("-object", "rng-builtin,id=rng")
            yield from _device("virtio-rng-pci", rng="rng")
        case _:
            assert_never(machine.boot)


def _drive(name: str, form: str, path: Path, *, read_only: bool = False) -> Iterator[str]:
    yield "-blockdev"
    yield json.dumps(
        {
            "driver": form,
            "node-name": name,
            "read-only": read_only,
            "discard": "unmap",
            "file": {"driver": "file", "filename": str(path), "read-only": read_only},
        }
    )
    cache = {} if read_only else {"write-cache": "on"}
    yield from _device("virtio-blk-pci", drive=name, id=f"{name}-device", **cache)


def _card(card: Card) -> Iterator[str]:
    yield "-netdev"
    match card.wire:
        case Wire.TAP:
            yield f"tap,id=net,ifname={card.tap},script=no,downscript=no"
        case Wire.USER:
            yield "user,id=net"
        case _:
            assert_never(card.wire)
    yield from _device("virtio-net-pci", netdev="net", mac=card.mac, romfile="")


def _balloon() -> Iterator[str]:
    options = {"free-page-reporting": True, "deflate-on-oom": True}
    yield from _device("virtio-balloon-pci", id=BALLOON, **options)


def _device(driver: str, **options: str | int | bool) -> Iterator[str]:
    yield "-device"
    yield json.dumps({"driver": driver, **options})
