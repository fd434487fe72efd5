# SPDX-License-Identifier: Apache-2.0
"""libvirt's API, as far as Billow calls it: one method per call, their words and numbers.

Nothing here decides anything. Numbers are those of remote_protocol.x, qemu_protocol.x and libvirt's
public headers; they have never changed, since old clients must be able to speak with new daemons.
"""

import asyncio
import json
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

from billow.engines.libvirt.address import Address
from billow.engines.libvirt.dial import dial
from billow.engines.libvirt.line import FOREVER, PATIENCE_S, QEMU, Fault, Line
from billow.engines.libvirt.words import (
    Domain,
    DomainState,
    Error,
    Migrating,
    NodeInfo,
    Storage,
    Volume,
)
from billow.engines.libvirt.xdr import Reader, Value, Writer
from billow.errors import Refused, Unavailable

SLOW_S: Final = 120.0
"""Calls that start or end a QEMU, or look at a disk."""


class _Call(IntEnum):
    """Procedures of the remote program."""

    CONNECT_OPEN = 1
    GET_VERSION = 4
    NODE_GET_INFO = 6
    GET_CAPABILITIES = 7
    DOMAIN_GET_XML = 14
    DOMAIN_LOOKUP_BY_UUID = 24
    DOMAIN_RESUME = 28
    DOMAIN_SHUTDOWN = 33
    DOMAIN_SUSPEND = 34
    AUTH_LIST = 66
    AUTH_POLKIT = 70
    POOL_CREATE_XML = 76
    POOL_REFRESH = 83
    POOL_LOOKUP_BY_NAME = 84
    POOL_GET_XML = 88
    VOLUME_CREATE_XML = 93
    VOLUME_DELETE = 94
    VOLUME_LOOKUP_BY_NAME = 95
    VOLUME_GET_XML = 99
    GET_LIB_VERSION = 157
    DOMAIN_ABORT_JOB = 164
    DOMAIN_SET_MAX_DOWNTIME = 166
    DOMAIN_CREATE = 196
    VOLUME_UPLOAD = 208
    DOMAIN_GET_STATE = 212
    NODE_GET_CPU_STATS = 227
    NODE_GET_MEMORY_STATS = 228
    DOMAIN_UNDEFINE = 231
    DOMAIN_DESTROY = 234
    DOMAIN_SET_METADATA = 264
    LIST_ALL_DOMAINS = 273
    DOMAIN_GET_JOB_STATS = 298
    DOMAIN_MIGRATE_PERFORM = 305
    GET_DOMAIN_CAPABILITIES = 342
    DOMAIN_STATS = 344
    DOMAIN_DEFINE_XML = 350
    DOMAIN_START_POST_COPY = 364


_MONITOR_COMMAND: Final = 1


_LIVE, _CONFIG = 1, 2
_ELEMENT: Final = 2
_TRANSIENT: Final = 8
_XML_SECURE_OFF_INACTIVE: Final = 2
_UNDEFINE_ALL: Final = 1 | 2 | 4 | 16
_STATE, _CPU, _BALLOON, _VCPU, _NOWAIT = 1, 2, 4, 8, 1 << 29
_NODE_ALL: Final = -1
_COMPLETED: Final = 1


class Api:
    """One connection to one host's libvirt; open it with `connect`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @property
    def alive(self) -> bool:
        """Whether it can still be called."""
        return self._line.alive

    def give_up(self) -> None:
        """Let every call that waits, and every further one, fail."""
        self._line.give_up()

    async def close(self) -> None:
        """Hang up."""
        await self._line.close()

    async def version(self) -> tuple[int, int]:
        """Return libvirt's and QEMU's version, each as major * 10^6 + minor * 1000 + release."""
        own = await self._call(_Call.GET_LIB_VERSION)
        return own.uhyper(), (await self._call(_Call.GET_VERSION)).uhyper()

    async def node(self) -> NodeInfo:
        """Return what the host has."""
        answer = await self._call(_Call.NODE_GET_INFO)
        answer.fixed(4 * 32)  # the CPU's model, a character in each four bytes
        memory, cpus, _, nodes, sockets = answer.uhyper(), *(answer.sint() for _ in range(4))
        return NodeInfo(memory_kib=memory, cpus=cpus, nodes=nodes, sockets=sockets)

    async def node_cpu(self) -> dict[str, int]:
        """Return what the CPUs did since the host is up, ns: `user`, `kernel`, `idle`, `iowait`."""
        counted = len((await self._node_stats(_Call.NODE_GET_CPU_STATS, 0))[0])
        return (await self._node_stats(_Call.NODE_GET_CPU_STATS, counted))[1]

    async def node_memory(self) -> dict[str, int]:
        """Return the host's memory: `total`, `free`, `buffers`, `cached`, KiB."""
        counted = len((await self._node_stats(_Call.NODE_GET_MEMORY_STATS, 0))[0])
        return (await self._node_stats(_Call.NODE_GET_MEMORY_STATS, counted))[1]

    async def capabilities(self) -> str:
        """Return the host's capabilities, XML."""
        return (await self._call(_Call.GET_CAPABILITIES, limit_s=SLOW_S)).text()

    async def domain_capabilities(self) -> str:
        """Return what machines under KVM can be on this host, XML. Raises Fault where none can."""
        body = Writer().maybe(None).maybe(None).maybe(None).maybe("kvm").uint(0)
        return (await self._call(_Call.GET_DOMAIN_CAPABILITIES, body, limit_s=SLOW_S)).text()

    async def domains(self, *, transient: bool = False) -> list[Domain]:
        """Return every machine of the host, or those only that vanish when they stop."""
        body = Writer().sint(1).uint(_TRANSIENT if transient else 0)
        answer = await self._call(_Call.LIST_ALL_DOMAINS, body)
        return answer.many(lambda: _domain(answer))

    async def find(self, uuid: bytes) -> Domain | None:
        """Return the machine of a UUID, or None."""
        try:
            return _domain(await self._call(_Call.DOMAIN_LOOKUP_BY_UUID, Writer().fixed(uuid)))
        except Fault as fault:
            if fault.number == Error.NO_DOMAIN:
                return None
            raise

    async def stats(self) -> list[tuple[Domain, dict[str, Value]]]:
        """Return how every machine is, as far as that is known without asking its QEMU."""
        what = _STATE | _CPU | _BALLOON | _VCPU
        body = Writer().uint(0).uint(what).uint(_NOWAIT)
        answer = await self._call(_Call.DOMAIN_STATS, body)
        return answer.many(lambda: (_domain(answer), answer.parameters()))

    async def state(self, domain: Domain) -> tuple[DomainState, int]:
        """Return how a machine is, and libvirt's reason for that."""
        answer = await self._call(_Call.DOMAIN_GET_STATE, domain.put().uint(0))
        return DomainState(answer.sint()), answer.sint()

    async def xml(self, domain: Domain, *, inactive: bool = False) -> str:
        """Return a machine's definition: as it runs, or as it will start the next time."""
        flags = _XML_SECURE_OFF_INACTIVE if inactive else 0
        return (await self._call(_Call.DOMAIN_GET_XML, domain.put().uint(flags))).text()

    async def define(self, xml: str) -> Domain:
        """Define a machine, or define it anew."""
        body = Writer().text(xml).uint(0)
        return _domain(await self._call(_Call.DOMAIN_DEFINE_XML, body, limit_s=SLOW_S))

    async def start(self, domain: Domain) -> None:
        """Start a machine."""
        await self._call(_Call.DOMAIN_CREATE, domain.put().uint(0), limit_s=SLOW_S)

    async def suspend(self, domain: Domain) -> None:
        """Let a machine stand still."""
        await self._call(_Call.DOMAIN_SUSPEND, domain.put())

    async def resume(self, domain: Domain) -> None:
        """Let it go on."""
        await self._call(_Call.DOMAIN_RESUME, domain.put())

    async def press(self, domain: Domain) -> None:
        """Press a machine's power button."""
        await self._call(_Call.DOMAIN_SHUTDOWN, domain.put())

    async def destroy(self, domain: Domain) -> None:
        """Cut a machine's power."""
        await self._call(_Call.DOMAIN_DESTROY, domain.put().uint(0), limit_s=SLOW_S)

    async def undefine(self, domain: Domain) -> None:
        """Forget a machine's definition and all that libvirt kept for it."""
        await self._call(_Call.DOMAIN_UNDEFINE, domain.put().uint(_UNDEFINE_ALL))

    async def describe(
        self, domain: Domain, element: str, key: str, namespace: str, *, runs: bool
    ) -> None:
        """Replace an element of a machine's metadata, in its definition and while it runs."""
        body = domain.put().sint(_ELEMENT).maybe(element).maybe(key).maybe(namespace)
        flags = _CONFIG | (_LIVE if runs else 0)
        await self._call(_Call.DOMAIN_SET_METADATA, body.uint(flags))

    async def ask_qemu(
        self, domain: Domain, command: str, arguments: Mapping[str, object] | None = None
    ) -> object:
        """Give a machine's QEMU a QMP command; return its answer. Raises Refused with its words."""
        document: dict[str, object] = {"execute": command}
        if arguments:
            document["arguments"] = arguments
        body = domain.put().text(json.dumps(document)).uint(0)
        answer = await self._line.call(
            _MONITOR_COMMAND, body.data, program=QEMU, limit_s=PATIENCE_S
        )
        said = json.loads(answer.text())
        if "error" in said:
            raise Refused(
                f"QEMU refuses {command}", (str(said["error"].get("desc")),), code="qemu-refused"
            )
        return said.get("return")

    async def migrate(
        self, domain: Domain, peer: str, parameters: Mapping[str, Value], flags: Migrating
    ) -> None:
        """Let this host send a machine to another; returns when it is there, or raises Fault."""
        body = domain.put().maybe(peer).parameters(parameters).opaque(b"").uint(int(flags))
        await self._call(_Call.DOMAIN_MIGRATE_PERFORM, body, limit_s=FOREVER)

    async def job(self, domain: Domain, *, completed: bool = False) -> tuple[int, dict[str, Value]]:
        """Return what is done with a machine, or was done last: 0 for nothing, and its figures."""
        flags = _COMPLETED if completed else 0
        answer = await self._call(_Call.DOMAIN_GET_JOB_STATS, domain.put().uint(flags))
        return answer.sint(), answer.parameters()

    async def abort(self, domain: Domain) -> None:
        """Take back what is done with a machine."""
        await self._call(_Call.DOMAIN_ABORT_JOB, domain.put())

    async def set_downtime(self, domain: Domain, milliseconds: int) -> None:
        """Say how long a machine may stand still at the end of its migration."""
        body = domain.put().uhyper(milliseconds).uint(0)
        await self._call(_Call.DOMAIN_SET_MAX_DOWNTIME, body)

    async def start_post_copy(self, domain: Domain) -> None:
        """Let a machine that is being sent run on the target from now on."""
        await self._call(_Call.DOMAIN_START_POST_COPY, domain.put().uint(0))

    async def storage(self, name: str) -> Storage | None:
        """Return a storage pool, or None."""
        try:
            answer = await self._call(_Call.POOL_LOOKUP_BY_NAME, Writer().text(name))
        except Fault as fault:
            if fault.number == Error.NO_STORAGE_POOL:
                return None
            raise
        return Storage(answer.text(), answer.fixed(16))

    async def storage_xml(self, storage: Storage) -> str:
        """Return a storage pool's definition."""
        body = Writer().text(storage.name).fixed(storage.uuid).uint(0)
        return (await self._call(_Call.POOL_GET_XML, body)).text()

    async def create_storage(self, xml: str) -> Storage:
        """Start a storage pool until the next boot, its folder made where it is not."""
        body = Writer().text(xml).uint(1)
        answer = await self._call(_Call.POOL_CREATE_XML, body, limit_s=SLOW_S)
        return Storage(answer.text(), answer.fixed(16))

    async def refresh(self, storage: Storage) -> None:
        """Let libvirt look at what is in a storage pool."""
        body = Writer().text(storage.name).fixed(storage.uuid).uint(0)
        await self._call(_Call.POOL_REFRESH, body, limit_s=SLOW_S)

    async def volume(self, storage: Storage, name: str) -> Volume | None:
        """Return a file of a storage pool, or None."""
        body = Writer().text(storage.name).fixed(storage.uuid).text(name)
        try:
            return _volume(await self._call(_Call.VOLUME_LOOKUP_BY_NAME, body))
        except Fault as fault:
            if fault.number == Error.NO_STORAGE_VOLUME:
                return None
            raise

    async def volume_xml(self, volume: Volume) -> str:
        """Return what a file of a storage pool is."""
        return (await self._call(_Call.VOLUME_GET_XML, volume.put().uint(0))).text()

    async def create_volume(self, storage: Storage, xml: str) -> Volume:
        """Make a file in a storage pool."""
        body = Writer().text(storage.name).fixed(storage.uuid).text(xml).uint(0)
        return _volume(await self._call(_Call.VOLUME_CREATE_XML, body, limit_s=SLOW_S))

    async def upload(self, volume: Volume, data: bytes) -> None:
        """Fill a file of a storage pool."""
        body = volume.put().uhyper(0).uhyper(len(data)).uint(0)
        await self._line.upload(_Call.VOLUME_UPLOAD, body.data, data)

    async def delete_volume(self, volume: Volume) -> None:
        """Remove a file of a storage pool."""
        await self._call(_Call.VOLUME_DELETE, volume.put().uint(0), limit_s=SLOW_S)

    async def _node_stats(self, call: _Call, counted: int) -> tuple[range, dict[str, int]]:
        """Ask how many figures there are, or for so many."""
        of_cpus = call is _Call.NODE_GET_CPU_STATS
        first, second = (_NODE_ALL, counted) if of_cpus else (counted, _NODE_ALL)
        answer = await self._call(call, Writer().sint(first).sint(second).uint(0))
        found = dict(answer.many(lambda: (answer.text(), answer.uhyper())))
        return range(answer.sint()), found

    async def _call(
        self, call: _Call, body: Writer | None = None, *, limit_s: float | None = PATIENCE_S
    ) -> Reader:
        return await self._line.call(call, body.data if body else b"", limit_s=limit_s)


async def connect(address: Address) -> Api:
    """Connect with a host's libvirt. Raises Unavailable, with what to do."""
    line = Line(await dial(address), address.name)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _authenticate(line)
            body = Writer().maybe(address.inner).uint(0)
            await line.call(_Call.CONNECT_OPEN, body.data, limit_s=FOREVER)
    except BaseException as error:
        await line.close()
        if isinstance(error, Refused | Unavailable | TimeoutError | struct.error):
            raise Unavailable(
                f"libvirt on {address.name} does not let Billow in",
                details=(f"{address.uri}: {getattr(error, 'brief', error)}",),
                fix=getattr(error, "fix", "") or "look at the libvirtd of that host",
            ) from error
        raise
    return Api(line)


async def _authenticate(line: Line) -> None:
    answer = await line.call(_Call.AUTH_LIST, limit_s=FOREVER)
    wanted: Sequence[int] = answer.many(answer.sint)
    if wanted and wanted[0] == 2:  # polkit: libvirtd asks it about our user by itself
        await line.call(_Call.AUTH_POLKIT, limit_s=FOREVER)
    elif wanted and wanted[0] != 0:
        raise Refused(
            "it asks for a SASL password, which Billow cannot give",
            fix="use qemu+ssh or qemu+tls for this host",
        )


def _domain(answer: Reader) -> Domain:
    return Domain(answer.text(), answer.fixed(16), answer.sint())


def _volume(answer: Reader) -> Volume:
    return Volume(answer.text(), answer.text(), answer.text())
