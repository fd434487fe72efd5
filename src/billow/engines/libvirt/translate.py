# SPDX-License-Identifier: Apache-2.0
"""Between the model's nouns and libvirt's XML. Pure: XML and figures come in as values."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from xml.etree import ElementTree as ET

from billow.engines.libvirt.cpu import ARCH_CAPABILITIES, machine_cpu
from billow.engines.libvirt.machine import (
    DIRTY_RING,
    NAMESPACE,
    PREFIX,
    Description,
    Machine,
)
from billow.engines.libvirt.records import HostRecord
from billow.engines.libvirt.words import DomainState
from billow.errors import Invalid, Refused
from billow.model.document import read, written
from billow.model.host import Host, Node
from billow.model.instance import Instance
from billow.model.kinds import Arch, Health, Power, State
from billow.model.names import check_id
from billow.model.shape import Shape

KEPT_MIB: Final = 1024
"""What a host keeps for itself."""
KVM_TRAIT: Final = "kvm"
LINK_MIB_S: Final = 1000.0
"""What planners take a link for, until a move over it was measured."""
FIRMWARE: Final = "firmware"
_ID_SPACE: Final = uuid.UUID("b1110000-0000-4000-8000-000000000001")
_QEMU_NAMESPACE: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
_UNITS: Final = {"b": 1, "bytes": 1, "KiB": 2**10, "k": 2**10, "MiB": 2**20, "GiB": 2**30}

ET.register_namespace(PREFIX, NAMESPACE)
ET.register_namespace("qemu", _QEMU_NAMESPACE)


def parsed(xml: str) -> ET.Element:
    """Return a document of libvirt's; it writes them itself, without entities. Raises Refused."""
    try:
        return ET.fromstring(xml)  # noqa: S314  # libvirtd's own words, not a stranger's
    except ET.ParseError as error:
        raise Refused("libvirt sent XML that is none", (str(error),), code="bad-answer") from error


def host_record(capabilities: str, memory_kib: int, known: HostRecord) -> HostRecord:
    """Return what a host's capabilities say, beside what Billow decided of it."""
    root = parsed(capabilities)
    arch = root.findtext("host/cpu/arch", "x86_64")
    cells = root.findall("host/topology/cells/cell")
    guests = root.findall(f"guest/arch[@name='{arch}']/domain")
    return replace(
        known,
        arch=arch,
        sockets=max(
            1, len({cpu.get("socket_id") for cpu in root.iterfind(".//cells/cell/cpus/cpu")})
        ),
        kvm=any(each.get("type") == "kvm" for each in guests),
        nodes=tuple(_node(cell, memory_kib, len(cells)) for cell in cells),
    )


def _node(cell: ET.Element, memory_kib: int, count: int) -> Node:
    """Return a NUMA node; libvirt counts a lone one's memory only once, when it starts."""
    memory = memory_kib if count == 1 else int(cell.findtext("memory", "0"))
    kept = KEPT_MIB // count
    return Node(
        cpu_milli=1000 * len(cell.findall("cpus/cpu")),
        memory_mib=max(0, memory // 1024 - kept),
    )


def host_of(name: str, record: HostRecord, *, seen: bool) -> Host:
    """Return a host of the pool, without its measured use."""
    known = record.arch in set(Arch)
    return Host(
        id=name,
        nodes=record.nodes or (Node(cpu_milli=0, memory_mib=0),),
        arch=Arch(record.arch) if known else Arch.X86_64,
        sockets=record.sockets,
        traits=frozenset({KVM_TRAIT} if record.kvm else ()),
        power=Power.ON if seen else Power.UNKNOWN,
        health=Health.OK if seen else Health.UNKNOWN,
        cpu_model=record.cpu_model,
        cordon=record.cordon,
        cpu_ratio=record.cpu_ratio,
        memory_ratio=record.memory_ratio,
        bandwidth_mib_s=LINK_MIB_S,
    )


def machine_of(xml: str) -> Machine:
    """Return what a definition says. Raises Refused."""
    root = parsed(xml)
    disks = [each for each in root.findall("devices/disk") if each.get("device", "disk") == "disk"]
    written_to = [each for each in disks if each.find("readonly") is None]
    ring = root.find("features/kvm/dirty-ring")
    return Machine(
        name=root.findtext("name", ""),
        uuid=root.findtext("uuid", ""),
        vcpus=int((root.findtext("vcpu") or "1").strip()),
        memory_mib=_mib(root.find("memory")),
        kvm=root.get("type") == "kvm",
        description=_description(root),
        fixed="a device of the host is passed through to it"
        if root.find("devices/hostdev") is not None
        else "",
        disks=tuple(filter(None, map(_source, written_to))),
        ring=ring is not None and ring.get("state") == "on",
        cpu=machine_cpu(root),
    )


def _source(disk: ET.Element) -> str:
    source = disk.find("source")
    return "" if source is None else source.get("file") or source.get("dev") or ""


def _mib(memory: ET.Element | None) -> int:
    if memory is None or not memory.text:
        return 0
    return int(memory.text) * _UNITS.get(memory.get("unit", "KiB"), 2**10) // 2**20


def _description(root: ET.Element) -> Description | None:
    element = root.find(f"metadata/{{{NAMESPACE}}}instance")
    if element is None or not element.text:
        return None
    try:
        return read(Description, json.loads(element.text), "what Billow knows of it")
    except (Invalid, ValueError):
        return None


def element_of(description: Description) -> str:
    """Return the element that keeps a description, as libvirt takes it: without its prefix."""
    element = ET.Element("instance")
    element.text = json.dumps(written(description))
    return ET.tostring(element, encoding="unicode")


def identity(action_id: str, name: str) -> uuid.UUID:
    """Return the UUID of the machine that an action makes: the same each time it is tried."""
    return uuid.uuid5(_ID_SPACE, f"{action_id}/{name}")


def definition(machine: Machine, *, firmware: str = "", network: str = "") -> str:
    """Return the XML that defines a machine of Billow's.

    Args:
        machine: What it is; `disks` hold one path at most.
        firmware: Path of the firmware guest on the host; empty for a machine with a disk.
        network: libvirt network, or `bridge:NAME`, of its card; empty for no card.
    """
    domain = ET.Element("domain", type="kvm" if machine.kvm else "qemu")
    _text(domain, "name", machine.name)
    _text(domain, "uuid", machine.uuid)
    if machine.description is not None:
        metadata = ET.SubElement(domain, "metadata")
        element = ET.SubElement(metadata, f"{{{NAMESPACE}}}instance")
        element.text = json.dumps(written(machine.description))
    _text(domain, "memory", str(machine.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(machine.vcpus))
    system = ET.SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="pc" if firmware else "q35")
    if firmware:
        _text(system, "loader", firmware, type="rom")
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    if machine.ring:
        ring = {"state": "on", "size": str(DIRTY_RING)}
        ET.SubElement(ET.SubElement(features, "kvm"), "dirty-ring", ring)
    if not firmware:
        ET.SubElement(features, "apic")
        if machine.kvm:
            cpu = ET.SubElement(domain, "cpu", mode="host-model")
            if machine.amd:
                ET.SubElement(cpu, "feature", policy="disable", name=ARCH_CAPABILITIES)
    _text(domain, "on_crash", "destroy")
    _devices(domain, machine, network, plain=bool(firmware))
    return ET.tostring(domain, encoding="unicode")


def _devices(domain: ET.Element, machine: Machine, network: str, *, plain: bool) -> None:
    devices = ET.SubElement(domain, "devices")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(devices, "memballoon", model="none" if plain else "virtio")
    for path in machine.disks:
        disk = ET.SubElement(devices, "disk", type="file", device="disk")
        ET.SubElement(disk, "driver", name="qemu", type="qcow2", discard="unmap")
        ET.SubElement(disk, "source", file=path)
        ET.SubElement(disk, "target", dev="vda", bus="virtio")
    if plain:
        return
    rng = ET.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    kind, colon, name = network.partition(":")
    if network:
        form = "bridge" if colon and kind == "bridge" else "network"
        card = ET.SubElement(devices, "interface", type=form)
        ET.SubElement(card, "source", {form: name if form == "bridge" else network})
        ET.SubElement(card, "model", type="virtio")


def resized(xml: str, shape: Shape, description: Description) -> str:
    """Return a definition with another shape, and with what Billow knows of it by then."""
    root = parsed(xml)
    for name, text in (("memory", shape.memory_mib), ("currentMemory", shape.memory_mib)):
        for element in root.findall(name):
            element.text = str(text)
            element.set("unit", "MiB")
    for element in root.findall("vcpu"):
        element.text = str(cpus_of(shape))
        element.attrib.pop("current", None)
    for element in root.findall(f"metadata/{{{NAMESPACE}}}instance"):
        element.text = json.dumps(written(description))
    return ET.tostring(root, encoding="unicode")


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text


def cpus_of(shape: Shape) -> int:
    """Return the vCPUs that a shape has: thousandths, rounded up, at least one."""
    return max(1, -(-shape.cpu_milli // 1000))


def instance_of(machine: Machine, name: str, host: str, state: State) -> Instance:
    """Return an instance of the pool, without its measured use.

    What the machine really has wins over what Billow wrote down.
    """
    described = machine.description
    if described is None:
        return Instance(
            name, _plain_shape(machine), host=host, state=state, immovable=machine.fixed
        )
    wanted = described.instance
    shape = wanted.shape
    if (cpus_of(shape), shape.memory_mib) != (machine.vcpus, machine.memory_mib):
        shape = _plain_shape(machine)
    fixed = wanted.immovable or machine.fixed
    return replace(wanted, id=name, shape=shape, host=host, state=state, nodes=(), immovable=fixed)


def _plain_shape(machine: Machine) -> Shape:
    name = f"libvirt-{machine.vcpus}x{machine.memory_mib}"
    return Shape(name, 1000 * machine.vcpus, machine.memory_mib)


def name_of(machine: Machine, taken: Mapping[str, str]) -> str:
    """Return the id of a machine in the pool: its name, where that is free and can be one.

    Args:
        machine: The machine.
        taken: UUIDs by the ids that are given already.
    """
    try:
        name = check_id("instance", machine.name)
    except Invalid:
        return machine.uuid
    return name if taken.get(name, machine.uuid) == machine.uuid else machine.uuid


def state_of(state: DomainState, reason: int) -> State:
    """Return how an instance is, by libvirt's word and reason."""
    if (state, reason) in _SPECIAL:
        return _SPECIAL[state, reason]
    return _STATES.get(state, State.FAILED)


_STATES: Final = {
    DomainState.NONE: State.UNKNOWN,
    DomainState.RUNNING: State.RUNNING,
    DomainState.BLOCKED: State.RUNNING,
    DomainState.PAUSED: State.PAUSED,
    DomainState.SHUTDOWN: State.RUNNING,
    DomainState.SHUTOFF: State.STOPPED,
    DomainState.SUSPENDED: State.PAUSED,
}
_SPECIAL: Final = {
    (DomainState.PAUSED, 2): State.RUNNING,  # it is being moved
    (DomainState.PAUSED, 5): State.FAILED,  # its disk failed
    (DomainState.PAUSED, 10): State.FAILED,  # it crashed
    (DomainState.PAUSED, 13): State.FAILED,  # its post-copy failed
    (DomainState.SHUTOFF, 3): State.FAILED,  # its process crashed
    (DomainState.SHUTOFF, 6): State.FAILED,  # it did not start
}
"""By virDomainPausedReason and virDomainShutoffReason."""
