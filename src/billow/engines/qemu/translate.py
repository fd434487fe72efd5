# SPDX-License-Identifier: Apache-2.0
"""Between the model's nouns and QEMU's machines. Pure: what was found out comes in as values."""

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from billow.engines.qemu import linux
from billow.engines.qemu.balloon import GuestMemory
from billow.engines.qemu.cpu import needed_by
from billow.engines.qemu.gauge import HostUse, Use
from billow.engines.qemu.images import FIRMWARE, LINUX
from billow.engines.qemu.linux import LinuxGuest
from billow.engines.qemu.machine import Boot, Card, Disk, Firmware, Kernel, Machine, Wire
from billow.engines.qemu.network import free_address
from billow.engines.qemu.probe import Findings
from billow.engines.qemu.record import Description, HostPlan, HostRecord, InstanceRecord, Stage
from billow.model.action import Place
from billow.model.group import Fact, Gap
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import State, Storage
from billow.model.shape import Shape

KVM_TRAIT: Final = "kvm"
_NAMESPACE: Final = uuid.UUID("b1110000-0000-4000-8000-000000000000")


def record_of(
    action: Place,
    findings: Findings,
    guest: LinuxGuest | None,
    firmware: str,
    taken: Iterable[str],
    cpu_model: str = "",
) -> InstanceRecord:
    """Return the record of an instance to be made.

    Args:
        action: What is to be placed.
        findings: What this machine can do.
        guest: The built-in Linux guest, when the image is that.
        firmware: File name of the firmware guest.
        taken: Guest addresses that are in use.
        cpu_model: The CPU that it shall see when it does not say so itself; empty for the host's.
    """
    wanted = action.instance
    identity = uuid.uuid5(_NAMESPACE, f"{action.id}/{wanted.id}")
    small = wanted.image in {"", FIRMWARE}
    card = None if small else card_of(wanted.id, identity, findings, taken)
    machine = Machine(
        instance=wanted.id,
        uuid=str(identity),
        cpus=cpus_of(wanted.shape),
        memory_mib=wanted.shape.memory_mib,
        platform=findings.platform(system=not small, cpu=wanted.cpu_model or cpu_model),
        boot=boot_of(wanted, guest, firmware, card),
        card=card,
        balloon=not small,
        storage=wanted.disk,
    )
    description = Description(
        shape=wanted.shape,
        priority=wanted.priority,
        group=action.group,
        tenant=wanted.tenant,
        zone=wanted.zone,
        image=wanted.image,
        immovable=wanted.immovable,
        migration=wanted.migration,
        service=wanted.service,
        cpu_limit_milli=wanted.cpu_limit_milli,
    )
    return InstanceRecord(machine=machine, description=description, stage=Stage.CREATING)


def cpus_of(shape: Shape) -> int:
    """Return the vCPUs that a shape has: thousandths, rounded up, at least one."""
    return max(1, -(-shape.cpu_milli // 1000))


def card_of(name: str, identity: uuid.UUID, findings: Findings, taken: Iterable[str]) -> Card:
    """Return the network card of a machine: on its host's bridge where there is one."""
    mac = ":".join(f"{part:02x}" for part in (0x02, *identity.bytes[-5:]))
    if not findings.namespaces:
        return Card(wire=Wire.USER, mac=mac)
    tap = "t" + hashlib.sha256(name.encode()).hexdigest()[:12]
    return Card(wire=Wire.TAP, mac=mac, address=free_address(taken), tap=tap)


def boot_of(wanted: Instance, guest: LinuxGuest | None, firmware: str, card: Card | None) -> Boot:
    """Return what a machine boots, by its image; a built-in guest has a disk only of its own."""
    own = wanted.disk is Storage.OWN
    if wanted.image in {"", FIRMWARE}:
        return Firmware(image=firmware, disk=own)
    if wanted.image != LINUX or guest is None:
        return Disk()
    words = [linux.ARGUMENTS, f"billow.name={wanted.id}"]
    if card is not None and card.address:
        words.append(f"billow.address={card.address}")
    words_of = " ".join(words)
    return Kernel(kernel=guest.kernel, initrd=guest.initrd, arguments=words_of, disk=own)


def host_of(plan: HostPlan, record: HostRecord, findings: Findings, used: HostUse) -> Host:
    """Return a host of the pool."""
    return Host(
        id=plan.name,
        nodes=plan.nodes,
        cpu_model=findings.cpu_model,
        zone=plan.zone,
        rack=plan.rack,
        traits=frozenset({KVM_TRAIT} if findings.kvm else ()),
        power=record.power,
        cordon=record.cordon,
        cpu_ratio=plan.cpu_ratio if record.cpu_ratio is None else record.cpu_ratio,
        memory_ratio=1.0 if record.memory_ratio is None else record.memory_ratio,
        bandwidth_mib_s=plan.link_mib_s,
        cpu_used_milli=used.cpu_milli,
        memory_used_mib=used.memory_mib,
        load=used.load,
        cpu_pressure=used.cpu_pressure,
        memory_pressure=used.memory_pressure,
        swap_mib_s=used.swap_mib_s,
    )


def instance_of(
    record: InstanceRecord,
    host: str,
    nodes: tuple[int, ...],
    state: State,
    used: Use,
    here: str = "",
) -> Instance:
    """Return an instance of the pool; `here` is what this machine's CPUs have."""
    described = record.description
    live = state in {State.RUNNING, State.PAUSED}
    return Instance(
        id=record.machine.instance,
        shape=described.shape,
        host=host,
        nodes=nodes,
        state=state,
        priority=described.priority,
        group=described.group.name if described.group else "",
        tenant=described.tenant,
        zone=described.zone,
        image=described.image,
        immovable=described.immovable,
        migration=described.migration,
        cpu_model=needed_by(record.machine.platform, here, live=live),
        disk=record.machine.storage,
        service=described.service,
        cpu_limit_milli=described.cpu_limit_milli,
        cpu_used_milli=used.cpu_milli,
        memory_used_mib=used.memory_mib,
        cpu_wait=used.cpu_wait,
        ballooned_mib=used.ballooned_mib,
        disk_used_mib=used.disk_mib,
    )


def gaps_of(findings: Findings) -> list[Gap]:
    """Return what this machine lacks, each with what it changes and what mends it."""
    return [
        Gap("engine/qemu", f"{each.what} is missing: {each.effect} (fix: {each.fix})")
        for each in findings.missing
    ]


def facts_of(record: InstanceRecord, serial: str, memory: GuestMemory | None) -> list[Fact]:
    """Return what is known of an instance besides its columns."""
    machine = record.machine
    subject = f"instance/{machine.instance}"
    known: Mapping[str, str] = {
        "accelerator": machine.platform.accelerator,
        "serial_log": serial,
        "address": machine.card.address if machine.card else "",
    }
    told = {
        "guest_memory_mib": f"{memory.total:.0f}" if memory else "",
        "guest_available_mib": f"{memory.available:.0f}" if memory else "",
    }
    return [Fact(subject, key, value) for key, value in {**known, **told}.items() if value]
