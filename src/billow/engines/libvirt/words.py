# SPDX-License-Identifier: Apache-2.0
"""libvirt's nouns and numbers, as its public headers name them."""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from billow.engines.libvirt.xdr import Writer


class Error(IntEnum):
    """Error codes (virErrorNumber) that Billow tells apart."""

    OPERATION_FAILED = 9
    NO_DOMAIN = 42
    NO_STORAGE_POOL = 49
    NO_STORAGE_VOLUME = 50
    OPERATION_INVALID = 55
    OPERATION_ABORTED = 78
    STORAGE_VOLUME_EXISTS = 90


class DomainState(IntEnum):
    """virDomainState."""

    NONE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    SHUTOFF = 5
    CRASHED = 6
    SUSPENDED = 7


class Migrating(IntFlag):
    """virDomainMigrateFlags."""

    LIVE = 1
    PEER2PEER = 2
    PERSIST_DEST = 8
    UNDEFINE_SOURCE = 16
    NON_SHARED_DISK = 64
    CHANGE_PROTECTION = 256
    OFFLINE = 1024
    COMPRESSED = 2048
    ABORT_ON_ERROR = 4096
    AUTO_CONVERGE = 8192
    POST_COPY = 32768
    TLS = 65536


@dataclass(frozen=True, slots=True)
class Domain:
    """What libvirt calls a machine. `number` is -1 while it does not run."""

    name: str
    uuid: bytes
    number: int = -1

    def put(self) -> Writer:
        """Return the arguments of a call on it, so far."""
        return Writer().text(self.name).fixed(self.uuid).sint(self.number)


@dataclass(frozen=True, slots=True)
class Storage:
    """A storage pool."""

    name: str
    uuid: bytes


@dataclass(frozen=True, slots=True)
class Volume:
    """A file of a storage pool; `key` is its path where the pool is a folder."""

    pool: str
    name: str
    key: str

    def put(self) -> Writer:
        """Return the arguments of a call on it, so far."""
        return Writer().text(self.pool).text(self.name).text(self.key)


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a host is."""

    memory_kib: int
    cpus: int
    nodes: int
    sockets: int
