# SPDX-License-Identifier: Apache-2.0
"""The conversation with one QEMU process: the official QMP client, with Billow's errors.

A conversation is short (milliseconds, or as long as a migration), since QEMU talks to one client at
a time and a controller that hangs must not lock the next one out.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from qemu.qmp import ConnectError, EventListener, ExecuteError, QMPClient, QMPError
from qemu.qmp.qmp_client import NegotiationError

from billow.errors import Lost, Refused, Unavailable

GREETING_TIMEOUT_S: Final = 30.0
COMMAND_TIMEOUT_S: Final = 30.0
GOODBYE_S: Final = 1.0
_AGAIN_S: Final = 0.05
Arguments: TypeAlias = Mapping[str, object]


# The client's complaints are told as Billow's errors; they need not be logged as well.
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)


class Monitor:
    """An open conversation."""

    def __init__(self, client: QMPClient, name: str) -> None:
        self._client = client
        self._name = name

    async def execute(
        self,
        command: str,
        arguments: Arguments | None = None,
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
        at_once: bool = False,
    ) -> object:
        """Run a QMP command and return its answer.

        Args:
            command: Its name.
            arguments: What it takes.
            timeout_s: How long to wait for its answer.
            at_once: Pass by what QEMU is busy with, or waits for; few commands can.

        Raises:
            Refused: QEMU said no.
            Lost: no answer came; it may or may not have been done.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._client.execute(command, dict(arguments or {}), at_once)
        except ExecuteError as error:
            raise Refused(
                f"QEMU refused {command} for {self._name}", details=(str(error),)
            ) from error
        except (QMPError, TimeoutError, OSError) as error:
            raise Lost(
                f"QEMU did not answer {command} for {self._name}",
                details=(str(error) or f"no answer within {timeout_s:g} s",),
            ) from error

    async def mapping(
        self,
        command: str,
        arguments: Arguments | None = None,
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> dict[str, object]:
        """Run a QMP command whose answer is a mapping."""
        answer = await self.execute(command, arguments, timeout_s=timeout_s)
        if isinstance(answer, dict):
            return answer
        raise Refused(f"QEMU answered {command} with something else", details=(repr(answer),))

    async def status(self) -> str:
        """Return QEMU's run state (`running`, `paused`, `inmigrate`, `postmigrate`, ...)."""
        return str((await self.mapping("query-status"))["status"])

    async def words(self, address: int, count: int) -> tuple[int, ...]:
        """Return 64-bit words of guest-physical memory."""
        line = {"command-line": f"xp /{count}gx {address:#x}"}
        text = str(await self.execute("human-monitor-command", line))
        return tuple(int(word, 16) for row in text.splitlines() for word in row.split()[1:])

    async def hand_over(self, name: str, handle: int) -> None:
        """Give QEMU an open file under a name. Raises Refused, Lost."""
        self._client.send_fd_scm(handle)
        await self.execute("getfd", {"fdname": name})

    async def keep(self, handle: int) -> int:
        """Give QEMU an open file until this conversation ends; return its number there.

        Raises:
            Refused, Lost: it did not take it.
        """
        self._client.send_fd_scm(handle)
        return int(str((await self.mapping("add-fd"))["fd"]))

    async def power_down(self, patience_s: float) -> bool:
        """Press the power button; return whether the guest ended then. Raises Refused, Lost."""
        with self.events("SHUTDOWN") as heard:
            await self.execute("system_powerdown")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.get(), patience_s)
                return True
        return False

    @contextlib.contextmanager
    def events(self, *names: str) -> Iterator[EventListener]:
        """Listen to events of these names while the context is open."""
        with self._client.listener(names) as listener:
            yield listener


@contextlib.asynccontextmanager
async def talk(path: Path, *, timeout_s: float = GREETING_TIMEOUT_S) -> AsyncIterator[Monitor]:
    """Open a conversation over a QMP socket.

    Raises:
        Unavailable: nobody listens there, or no greeting came in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            client = await _greeted(path)
    except (ConnectError, OSError, TimeoutError, AssertionError) as error:
        raise Unavailable(
            f"the QEMU process of {path.parent.name} does not answer",
            details=(str(error) or f"no greeting within {timeout_s:g} s",),
        ) from error
    try:
        yield Monitor(client, path.parent.name)
    finally:
        with contextlib.suppress(QMPError, EOFError, OSError):
            await client.disconnect()


async def _greeted(path: Path) -> QMPClient:
    """Connect; once more when the first answer was meant for who spoke before us and is gone.

    Raises:
        ConnectError, OSError: nobody listens, or who listened has gone.
        AssertionError: who greeted us is gone in the same instant.
    """
    while True:
        client = QMPClient()
        try:
            with _connected(path) as line:
                await client.connect(line)
        except ConnectError as error:
            if not isinstance(error.exc, NegotiationError):
                raise
            await asyncio.sleep(_AGAIN_S)
        except AssertionError:
            with contextlib.suppress(QMPError, EOFError, OSError, TimeoutError):
                await asyncio.wait_for(client.disconnect(), GOODBYE_S)
            raise
        else:
            return client


def listen(path: Path) -> socket.socket:
    """Return a listening QMP socket for a QEMU process to inherit; who connects early waits for it.

    The path may be longer than a socket address allows: it is reached through its open folder.
    """
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(path) as address:
        server.bind(address)
    path.chmod(0o600)
    server.listen(4)
    return server


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[socket.socket]:
    """Give a connected line; when its user fails it is closed, or QEMU would talk to nobody."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.setblocking(False)
        with _short(path) as address:
            line.connect(address)
        yield line
    except BaseException:
        line.close()
        raise


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
