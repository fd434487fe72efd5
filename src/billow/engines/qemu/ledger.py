# SPDX-License-Identifier: Apache-2.0
"""The records of a pool. What is returned is what the disk says, never a memory of it."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from billow.act.durable import Record, load, make_folder, prepare, save
from billow.engines.qemu.folder import Residence, StateFolder, Volume
from billow.engines.qemu.record import HostRecord, InstanceRecord, Resident, Role
from billow.errors import Refused


@dataclass(frozen=True, slots=True)
class Survey:
    """All records of instances at one look.

    Attributes:
        residents: What each host knows of each instance, by instance and host.
        records: What each instance that has a volume is; None for one without a record.
        unreadable: Instances with a record that cannot be read, and why; they are nowhere else.
    """

    residents: dict[str, dict[str, Resident]] = field(default_factory=dict)
    records: dict[str, InstanceRecord | None] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


class Ledger:
    """The records in one state folder. Every write is durable when it returns.

    A file that was not replaced since it was last read is not parsed again. What returns a record
    raises Refused for one that cannot be read; `survey` goes on without it.
    """

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder
        self._read: dict[str, tuple[tuple[int, int], object]] = {}

    def host(self, host: str) -> HostRecord:
        """Return what changes of a host."""
        return self._load(HostRecord, self.folder.host(host)) or HostRecord()

    def save_host(self, host: str, record: HostRecord) -> None:
        """Write down what changed of a host."""
        make_folder(self.folder.host(host).parent)
        save(self.folder.host(host), record)

    def instance(self, name: str) -> InstanceRecord | None:
        """Return an instance, or None."""
        return self._load(InstanceRecord, self.folder.volume(name).machine)

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
        """Remove the volume of an instance; its record goes first.

        A power cut may bring it back, as one that is being deleted.
        """
        volume = self.folder.volume(name)
        volume.machine.unlink(missing_ok=True)
        shutil.rmtree(volume.path, ignore_errors=True)

    def resident(self, host: str, name: str) -> Resident | None:
        """Return what a host knows of an instance, or None."""
        return self._load(Resident, self.folder.residence(host, name).record)

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

    def residences(self) -> Iterator[tuple[str, str]]:
        """Yield the host and the name of every residence, with a record in it or without."""
        for host in _folders(self.folder.hosts):
            for name in self.guests(host):
                yield host, name

    def survey(self) -> Survey:
        """Return all records of instances, in one pass."""
        found = Survey()
        for host, name in self.residences():
            resident = _try(found, name, partial(self.resident, host, name))
            if resident is not None:
                found.residents.setdefault(name, {})[host] = resident
        for name in self.instances():
            found.records[name] = _try(found, name, partial(self.instance, name))
        for name in found.unreadable:
            found.residents.pop(name, None)
            found.records.pop(name, None)
        return found

    def home(self, name: str) -> tuple[str, Resident] | None:
        """Return the one host that an instance is on, and what that knows."""
        return home_of(self.residents(name))

    def save_resident(self, host: str, name: str, resident: Resident) -> Residence:
        """Write down what a host knows of an instance and return its residence."""
        residence = self.folder.residence(host, name)
        make_folder(residence.path)
        save(residence.record, resident)
        return residence

    def is_limited(self, host: str, name: str) -> bool:
        """Return whether vCPUs of an instance may still be held to a dirty rate there."""
        return self.folder.residence(host, name).limits.exists()

    def prepare_resident(
        self, host: str, name: str, resident: Resident, *, durable: bool
    ) -> Callable[[], None]:
        """Return what writes down at once what a host knows of an instance; all else is done."""
        return prepare(self.folder.residence(host, name).record, resident, durable=durable)

    def forget_resident(self, host: str, name: str) -> None:
        """Remove a residence; its record goes first. Nothing may run there any more."""
        residence = self.folder.residence(host, name)
        residence.record.unlink(missing_ok=True)
        shutil.rmtree(residence.path, ignore_errors=True)

    def _load(self, kind: type[Record], path: Path) -> Record | None:
        """Return the record in a file; a replaced file has another inode or time."""
        try:
            facts = os.stat(path)  # noqa: PTH116  # many times for each look at the pool
        except FileNotFoundError:
            self._read.pop(str(path), None)
            return None
        stamp = (facts.st_ino, facts.st_mtime_ns)
        known = self._read.get(str(path))
        if known is not None and known[0] == stamp and isinstance(known[1], kind):
            return known[1]
        record = load(kind, path)
        self._read[str(path)] = (stamp, record)
        return record


def _try(found: Survey, name: str, read: Callable[[], Record | None]) -> Record | None:
    """Return a record of an instance, or note why it cannot be read."""
    try:
        return read()
    except Refused as error:
        found.unreadable[name] = why(error)
        return None


def why(error: Refused) -> str:
    """Return on one line why a record cannot be read, and what to do."""
    return f"{': '.join((error.brief, *error.details[1:]))} (fix: {error.fix})"


def home_of(residents: Mapping[str, Resident]) -> tuple[str, Resident] | None:
    """Return which of the hosts is the home, and what it knows; None without one."""
    for role in (Role.HOME, Role.SOURCE):
        for host, resident in residents.items():
            if resident.role is role:
                return host, resident
    return None


def _folders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(each.name for each in entries if each.is_dir())
    except FileNotFoundError:
        return []
