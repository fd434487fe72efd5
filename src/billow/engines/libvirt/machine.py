# SPDX-License-Identifier: Apache-2.0
"""What Billow keeps of an instance inside the machine's own definition, and what is read there.

libvirt keeps a definition's <metadata> with the machine wherever it goes, so what Billow knows of
an instance travels with it, and a pool can be taken over by another Billow without a file.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from billow.model.group import Group
from billow.model.instance import Instance

NAMESPACE: Final = "urn:billow:instance:1"
PREFIX: Final = "billow"
DIRTY_RING: Final = 1024
"""Entries per vCPU: a larger ring makes limits sluggish (docs/dirty-limit.rst)."""


class Stage(StrEnum):
    """Where an instance is in its life, as Billow wrote it down before it went there."""

    CREATING = "creating"
    READY = "ready"
    RESIZING = "resizing"
    """It ran, and shall run again with the shape that its definition has by then."""
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What Billow knows of an instance beside its machine.

    Attributes:
        instance: As it was asked for, without a host.
        volumes: Files that were made for it and go with it, by their names in the storage pool.
    """

    instance: Instance
    group: Group | None = None
    stage: Stage = Stage.READY
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine as its definition says.

    Attributes:
        description: None where Billow did not make it.
        fixed: Why it cannot be moved live; empty when it can.
        disks: Paths of disks that the guest may write to.
        ring: Whether it has KVM's dirty ring.
        cpu: The CPU that it was given, as `engines.libvirt.cpu` tells it.
        amd: Whether it is made on a host with CPUs of AMD's.
    """

    name: str
    uuid: str
    vcpus: int
    memory_mib: int
    kvm: bool
    description: Description | None = None
    fixed: str = ""
    disks: tuple[str, ...] = ()
    ring: bool = False
    cpu: str = ""
    amd: bool = False
