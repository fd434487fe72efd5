# SPDX-License-Identifier: Apache-2.0
"""One connection to a libvirtd: its remote procedure calls over a stream of bytes.

The protocol is libvirt's own between its library and its daemon (src/remote/remote_protocol.x,
docs: "Internals of libvirt RPC"). Calls may be under way side by side; a libvirtd takes five of one
connection at a time, so what takes long has a connection of its own.
"""

import asyncio
import contextlib
import struct
from dataclasses import dataclass
from itertools import count
from typing import Final

from billow.engines.libvirt.xdr import Reader
from billow.errors import Lost, Refused, Unavailable

REMOTE: Final = 0x20008086
QEMU: Final = 0x20008087
_VERSION: Final = 1
_CALL, _REPLY, _STREAM = 0, 1, 3
_OK, _ERROR, _CONTINUE = 0, 1, 2
_HEAD: Final = struct.Struct(">IIiiIi")
_MOST_BYTES: Final = 64 * 2**20
_CHUNK: Final = 256 * 1024
PATIENCE_S: Final = 30.0
"""A call that is answered at once on a healthy host."""
FOREVER: Final = None


class Fault(Refused):
    """What libvirt itself answered; its code ends in libvirt's own (virErrorNumber)."""

    code = "libvirt"

    @property
    def number(self) -> int:
        """Libvirt's error code."""
        return int(self.code.rpartition("-")[2])


@dataclass(frozen=True, slots=True)
class Pipe:
    """The two directions of a connection, and the program that carries it, if there is one."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    carrier: asyncio.subprocess.Process | None = None


class Line:
    """Calls over one pipe. When the pipe breaks, every call that waits raises Lost."""

    def __init__(self, pipe: Pipe, name: str) -> None:
        self._pipe = pipe
        self._name = name
        self._serials = count(1)
        self._waiting: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._broken = ""
        self._task = asyncio.create_task(self._listen(), name=f"libvirt {name}")

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        return not self._broken

    async def call(
        self, procedure: int, body: bytes = b"", *, program: int = REMOTE, limit_s: float | None
    ) -> Reader:
        """Make a call and return its answer.

        Args:
            procedure: Its number.
            body: Its arguments.
            program: Whose procedure it is.
            limit_s: Longest wait, seconds; None waits for ever.

        Raises:
            Fault: libvirt said no.
            Unavailable: the connection was broken before the call was made.
            Lost: no answer came; it may or may not have been done.
        """
        serial = next(self._serials)
        answer = await self._ask(serial, (program, procedure, _CALL), body, limit_s)
        return Reader(answer)

    async def upload(self, procedure: int, body: bytes, data: bytes) -> None:
        """Make a call that opens a stream, and send data through it. Raises as `call`."""
        serial, limit_s = next(self._serials), PATIENCE_S
        await self._ask(serial, (REMOTE, procedure, _CALL), body, limit_s)
        for start in range(0, len(data), _CHUNK):
            self._send(
                serial, (REMOTE, procedure, _STREAM, _CONTINUE), data[start : start + _CHUNK]
            )
            await self._drain()
        await self._ask(serial, (REMOTE, procedure, _STREAM), b"", limit_s)

    def give_up(self) -> None:
        """Let every call that waits, and every further one, fail."""
        self._break("it does not answer")

    async def close(self) -> None:
        """Close the pipe and end its carrier."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._break("it was closed")
        self._pipe.writer.close()
        with contextlib.suppress(OSError):
            await self._pipe.writer.wait_closed()
        if self._pipe.carrier is not None:
            with contextlib.suppress(ProcessLookupError):
                self._pipe.carrier.terminate()
            await self._pipe.carrier.wait()

    async def _ask(
        self, serial: int, what: tuple[int, int, int], body: bytes, limit_s: float | None
    ) -> bytes:
        if self._broken:
            raise Unavailable(f"{self._name} is not connected: {self._broken}")
        waiting: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[serial] = waiting
        try:
            self._send(serial, (*what, _OK), body)
            async with asyncio.timeout(limit_s):
                await self._drain()
                status, answer = await waiting
        except TimeoutError as error:
            self._break("it does not answer")
            raise Lost(
                f"libvirt on {self._name} does not answer",
                details=(f"procedure {what[1]} after {limit_s:g} s",),
                fix="look at the libvirtd of that host",
            ) from error
        finally:
            self._waiting.pop(serial, None)
            if not waiting.cancel() and not waiting.cancelled():
                waiting.exception()  # it may have broken while we were still sending
        if status == _ERROR:
            raise _fault(answer)
        return answer

    def _send(self, serial: int, what: tuple[int, int, int, int], body: bytes) -> None:
        program, procedure, kind, status = what
        head = _HEAD.pack(program, _VERSION, procedure, kind, serial, status)
        length = struct.pack(">I", 4 + len(head) + len(body))
        self._pipe.writer.write(length + head + body)

    async def _drain(self) -> None:
        try:
            await self._pipe.writer.drain()
        except OSError as error:
            self._break(str(error))
            raise Lost(f"the connection to {self._name} broke", details=(str(error),)) from error

    async def _listen(self) -> None:
        """Give each answer to who waits for it; what nobody waits for is dropped."""
        try:
            while True:
                await self._take()
        except (OSError, EOFError, struct.error) as error:
            self._break(str(error) or type(error).__name__)

    async def _take(self) -> None:
        (length,) = struct.unpack(">I", await self._pipe.reader.readexactly(4))
        if not 4 + _HEAD.size <= length <= _MOST_BYTES:
            raise OSError(f"a message of {length} bytes is none of libvirt's")
        data = await self._pipe.reader.readexactly(length - 4)
        _, _, _, kind, serial, status = _HEAD.unpack_from(data)
        waiting = self._waiting.get(serial)
        if kind in {_REPLY, _STREAM} and waiting is not None and not waiting.done():
            waiting.set_result((status, data[_HEAD.size :]))

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Lost(f"the connection to {self._name} broke", (why,)))


def _fault(body: bytes) -> Fault:
    answer = Reader(body)
    number, _, message = answer.sint(), answer.sint(), answer.maybe()
    return Fault((message or "").strip() or f"libvirt error {number}", code=f"libvirt-{number}")
