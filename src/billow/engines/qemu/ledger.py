# SPDX-License-Identifier: Apache-2.0
"""The records of a pool. What is returned is what the disk says, never a memory of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from billow.engines.qemu.durable import load, make_folder, save, sync_folder
from billow.engines.qemu.folder import Residence, StateFolder, Volume
from billow.engines.qemu.record import HostRecord, InstanceRecord, Resident, Role


class Ledger:
    """The records in one state folder. Every write is durable when it returns."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder

    def host(self, host: str) -> HostRecord:
        """Return what changes of a host."""
        return load(HostRecord, self.folder.host(host)) or HostRecord()

    def save_host(self, host: str, record: HostRecord) -> None:
        """Write down what changed of a host."""
        make_folder(self.folder.host(host).parent)
        save(self.folder.host(host), record)

    def instance(self, name: str) -> InstanceRecord | None:
        """Return an instance, or None."""
        return load(InstanceRecord, self.folder.volume(name).machine)

    def instances(self) -> Iterator[str]:
        """Yield the names of all instances that have a volume, in order."""
        yield from _folders(self.folder.volumes)

    def save_instance(self, record: InstanceRecord) -> Volume:
        """Write an instance down and return its volume."""
        volume = self.folder.volume(record.machine.instance)
        make_folder(volume.path)
        save(volume.machine, record)
        return volume

    def forget_instance(self, name: str) -> None:
        """Remove the volume of an instance; its record goes first."""
        volume = self.folder.volume(name)
        volume.machine.unlink(missing_ok=True)
        _remove(volume.path)

    def resident(self, host: str, name: str) -> Resident | None:
        """Return what a host knows of an instance, or None."""
        return load(Resident, self.folder.residence(host, name).record)

    def residents(self, name: str) -> dict[str, Resident]:
        """Return what each host knows of an instance, by host."""
        found = ((host, self.resident(host, name)) for host in _folders(self.folder.hosts))
        return {host: resident for host, resident in found if resident is not None}

    def hosts_of(self, name: str) -> list[str]:
        """Return the hosts that have a folder for an instance, with a record in it or without."""
        return [
            host
            for host in _folders(self.folder.hosts)
            if self.folder.residence(host, name).path.exists()
        ]

    def guests(self, host: str) -> Iterator[str]:
        """Yield the names of all instances that have a residence on a host, in order."""
        yield from _folders(self.folder.host(host).parent)

    def home(self, name: str) -> tuple[str, Resident] | None:
        """Return the one host that an instance is on, and what that knows."""
        residents = self.residents(name)
        for role in (Role.HOME, Role.SOURCE):
            for host, resident in residents.items():
                if resident.role is role:
                    return host, resident
        return None

    def save_resident(self, host: str, name: str, resident: Resident) -> Residence:
        """Write down what a host knows of an instance and return its residence."""
        residence = self.folder.residence(host, name)
        make_folder(residence.path)
        save(residence.record, resident)
        return residence

    def forget_resident(self, host: str, name: str) -> None:
        """Remove a residence; its record goes first. Nothing may run there any more."""
        residence = self.folder.residence(host, name)
        residence.record.unlink(missing_ok=True)
        _remove(residence.path)


def _folders(path: Path) -> list[str]:
    try:
        return sorted(each.name for each in path.iterdir() if each.is_dir())
    except FileNotFoundError:
        return []


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if path.parent.exists():
        sync_folder(path.parent)
