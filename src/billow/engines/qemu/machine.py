# SPDX-License-Identifier: Apache-2.0
"""What one QEMU machine is: enough to build the same process again on any host."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from billow.model.kinds import Storage
from billow.model.names import check_amount, check_name

LEAST_MEMORY_MIB = 8
"""Less than this and QEMU's PC does not come up."""
MOST_CPUS = 255
"""vCPUs that QEMU's PC can have."""


class Accelerator(StrEnum):
    """How guest code is run."""

    KVM = "kvm"
    TCG = "tcg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What must be equal on both sides of a live migration.

    Attributes:
        board: QEMU's versioned machine type; its short name changes with upgrades.
        cpu: `host` (or most of it), `max`, or a CPU by name as the model spells it.
        dirty_ring: Entries per vCPU; 0 without the ring. It cannot be switched on later.
    """

    accelerator: Accelerator
    board: str
    cpu: str
    dirty_ring: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """Boots Billow's firmware guest.

    Attributes:
        image: File name in the cache folder.
        orders: Whether its control pages are loaded from the volume.
        disk: Whether it has an empty disk, which it never looks at.
    """

    kind: Literal["firmware"] = "firmware"
    image: str
    orders: bool = False
    disk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """Boots a Linux kernel with an initial RAM disk, both by their names in the cache folder.

    Attributes:
        disk: Whether it has an empty disk beside them.
    """

    kind: Literal["kernel"] = "kernel"
    kernel: str
    initrd: str
    arguments: str
    disk: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Boots a disk, an overlay on an image that nobody else writes to, with a cloud-init seed."""

    kind: Literal["disk"] = "disk"


Boot: TypeAlias = Firmware | Kernel | Disk


class Wire(StrEnum):
    """How a network card is connected."""

    TAP = "tap"
    """To the bridge of the host's network namespace."""
    USER = "user"
    """To a network that QEMU itself plays, outwards only; needs no rights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One virtio network card.

    Attributes:
        address: Address with prefix length for the guest, or empty when QEMU gives one.
        gateway: Empty for none.
        tap: Interface name in the host's namespace; empty for `USER`.
    """

    wire: Wire
    mac: str
    address: str = ""
    gateway: str = ""
    tap: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine; `instance` is an RFC 1123 label, so that it is a safe file name.

    Attributes:
        balloon: Whether it has a device by which the guest tells of its memory and gives some back.
        storage: Where its disk is, if it has one.
    """

    instance: str
    uuid: str
    cpus: int
    memory_mib: int
    platform: Platform
    boot: Boot
    card: Card | None = None
    balloon: bool = False
    storage: Storage = Storage.SHARED

    def __post_init__(self) -> None:
        check_name("instance", self.instance)
        check_amount(f"vCPUs of {self.instance}", self.cpus, least=1, most=MOST_CPUS)
        check_amount(
            f"memory_mib of {self.instance}", self.memory_mib, least=LEAST_MEMORY_MIB, most=2**24
        )

    @property
    def has_disk(self) -> bool:
        """Whether it has a disk that it can write to."""
        return isinstance(self.boot, Disk) or self.boot.disk

    @property
    def has_own_disk(self) -> bool:
        """Whether that disk is its host's, so that it must move along."""
        return self.has_disk and self.storage is Storage.OWN
