# SPDX-License-Identifier: Apache-2.0
"""Where everything is kept. One state folder is one pool.

It names the places and does no I/O:

    engine.json                 what this pool is: its hosts and their capacity
    fence                       the highest fence that was ever seen
    network                     locked while the hosts' network changes
    actions/HASH.json           what became of an action
    controllers/TOKEN           locked as long as that controller lives
    pki/                        the pool's certificate authority and its hosts' certificates
    images/NAME.qcow2, .raw     the images that a user put there
    cache/                      what can be made again: kernels, the probe's answer
    volumes/INSTANCE/           storage that all hosts reach: shared disk, seed, serial log
    hosts/HOST/host.json        cordon and power
    hosts/HOST/INSTANCE/        what a host keeps of an instance: record, lock, socket, log, disk
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Residence:
    """The folder that one host keeps for one instance: one process at most."""

    path: Path

    @property
    def record(self) -> Path:
        """What the host knows of the instance (`record.Resident`)."""
        return self.path / "resident.json"

    @property
    def lock(self) -> Path:
        """Locked by the QEMU process as long as it lives."""
        return self.path / "lock"

    @property
    def pid(self) -> Path:
        """The process id; QEMU removes it when it ends by itself."""
        return self.path / "pid"

    @property
    def socket(self) -> Path:
        """The QMP socket."""
        return self.path / "qmp"

    @property
    def limits(self) -> Path:
        """There while vCPUs of the process may be held to a dirty rate."""
        return self.path / "limits"

    @property
    def pressed(self) -> Path:
        """There once the process's power button was pressed: its guest may be ending."""
        return self.path / "pressed"

    @property
    def disk(self) -> Path:
        """The disk of an instance whose disk is its host's: the true one where its home is."""
        return self.path / "disk.qcow2"

    @property
    def log(self) -> Path:
        """What QEMU said."""
        return self.path / "qemu.log"


@dataclass(frozen=True, slots=True)
class Volume:
    """The folder of an instance that all hosts reach."""

    path: Path

    @property
    def machine(self) -> Path:
        """What the instance is (`machine.Machine`)."""
        return self.path / "machine.json"

    @property
    def serial(self) -> Path:
        """Everything that the guest wrote on its serial line, over all hosts."""
        return self.path / "serial.log"

    @property
    def disk(self) -> Path:
        """Its disk, an overlay on its image, where that is not its host's."""
        return self.path / "disk.qcow2"

    @property
    def seed(self) -> Path:
        """The cloud-init seed."""
        return self.path / "seed.iso"

    @property
    def tries(self) -> Path:
        """Every evacuation of it, so that an older one comes too late (`evacuate.Tries`)."""
        return self.path / "evacuations.json"

    @property
    def turn(self) -> Path:
        """Locked while it is evacuated: a second controller waits, and then finds it elsewhere."""
        return self.path / "turn"

    @property
    def orders(self) -> Path:
        """The firmware guest's control pages."""
        return self.path / "orders.bin"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The state folder of one pool."""

    root: Path

    @property
    def settings(self) -> Path:
        """What this pool is."""
        return self.root / "engine.json"

    @property
    def fence(self) -> Path:
        """The highest fence that was ever seen."""
        return self.root / "fence"

    @property
    def actions(self) -> Path:
        """One file for each action."""
        return self.root / "actions"

    @property
    def controllers(self) -> Path:
        """One lock for each controller."""
        return self.root / "controllers"

    @property
    def network(self) -> Path:
        """Locked while the network of the hosts is made or removed."""
        return self.root / "network"

    @property
    def pki(self) -> Path:
        """The certificate authority of the pool."""
        return self.root / "pki"

    @property
    def images(self) -> Path:
        """The registered images."""
        return self.root / "images"

    @property
    def cache(self) -> Path:
        """What can be made again."""
        return self.root / "cache"

    @property
    def volumes(self) -> Path:
        """One folder for each instance."""
        return self.root / "volumes"

    @property
    def hosts(self) -> Path:
        """One folder for each host."""
        return self.root / "hosts"

    def host(self, host: str) -> Path:
        """Return what a host says of itself."""
        return self.hosts / host / "host.json"

    def residence(self, host: str, instance: str) -> Residence:
        """Return the folder of an instance on a host."""
        return Residence(self.hosts / host / instance)

    def volume(self, instance: str) -> Volume:
        """Return the folder of an instance on the shared storage."""
        return Volume(self.volumes / instance)
