# SPDX-License-Identifier: Apache-2.0
"""One controller over one path by FreeIPMI's program `ipmi-raw`: raw requests, raw answers.

Each call is a process with a session of its own, so what hangs can be ended, and what runs on
another host (`ssh://`) is the same program there. The password goes through stdin, never through a
command line. No text is read but bytes and completion codes: they are the protocol's own.
"""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from billow.act.power.inventory import DIRECT, Controller
from billow.errors import Invalid, Refused, Unavailable

_SCRIPT: Final = """\
PATH="$PATH:/usr/sbin:/sbin"
command -v ipmi-raw >/dev/null || exit 127
IFS= read -r secret
ipmi-raw "$@" --config-file=/dev/fd/3 3<<END
password "$secret"
END
"""
_MISSING: Final = 127
_SSH: Final = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5")
_ANSWER: Final = re.compile(r"^rcvd: ((?:[0-9A-F]{2} ?)+)$", re.MULTILINE)
_DENIALS: Final = ("password invalid", "username invalid", "privilege level")
COMPLETION: Final = "ipmi-0x"
"""How the code of a refused request begins; its completion code follows."""
_RESEND: Final = 0.55
"""Share of the patience after which a request is sent again: not before a slow answer can come."""
_BUSY: Final = frozenset({0xC0, 0xC3, 0xC4, 0xCF, 0xD2, 0xFF})
"""Completion codes of a controller that cannot answer now."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request: network function, command, data."""

    netfn: int
    command: int
    data: tuple[int, ...] = ()

    @property
    def line(self) -> str:
        """The request as `ipmi-raw` takes it: a logical unit first."""
        return " ".join(f"{each:x}" for each in (0, self.netfn, self.command, *self.data))


class Tool:
    """`ipmi-raw`, as it asks one controller over one path."""

    def __init__(self, controller: Controller, path: str) -> None:
        """Name the controller; nothing runs yet."""
        self._controller = controller
        self._path = path
        self._room = asyncio.Semaphore(controller.at_once)

    async def ask(self, *requests: Request) -> list[bytes]:
        """Send requests in one session; return their answers' data.

        Raises:
            Unavailable: no session, no answer, or no ipmi-raw there.
            Refused: it does not let us in, or refused one of the requests (`COMPLETION` and how).
            NotFound, Invalid: the password cannot be read or used.
        """
        lines = [_usable(self._controller.secret()), *(each.line for each in requests)]
        async with self._room:
            code, told, complained = await self._run("\n".join(lines) + "\n", len(requests))
        answers = [bytes.fromhex(each) for each in _ANSWER.findall(told)]
        self._check(code, complained)
        if [each[0] for each in answers] != [each.command for each in requests]:
            raise Unavailable(f"{self._name} answered something else", tuple(told.splitlines()))
        for request, answer in zip(requests, answers, strict=True):
            self._check_done(request, answer)
        return [each[2:] for each in answers]

    @property
    def _name(self) -> str:
        over = "" if self._path == DIRECT else f" over {self._path}"
        return f"the IPMI controller of {self._controller.host}{over}"

    def _check(self, code: int, complained: str) -> None:
        """Raise what an exit code means."""
        if code == _MISSING:
            raise Unavailable(
                f"there is no ipmi-raw to ask {self._name}",
                fix="install the package freeipmi-tools where its path begins",
                code="no-ipmi-raw",
            )
        if any(each in complained for each in _DENIALS):
            raise Refused(
                f"{self._name} does not let {self._controller.user or 'nobody'} in",
                (complained.strip(),),
                "correct user and secret_file in bmc.toml",
                "bmc-denied",
            )
        if code:
            raise Unavailable(f"{self._name} gives no answer", tuple(complained.splitlines()[-3:]))

    def _check_done(self, request: Request, answer: bytes) -> None:
        if len(answer) < 2 or answer[1] in _BUSY:
            raise Unavailable(f"{self._name} is busy")
        if answer[1]:
            raise Refused(
                f"{self._name} refuses request {request.line}",
                (f"completion code 0x{answer[1]:02x}",),
                "see whether its user may control the chassis",
                f"{COMPLETION}{answer[1]:02x}",
            )

    async def _run(self, lines: str, requests: int) -> tuple[int, str, str]:
        """Run it; return the exit code, what it told and what it complained of."""
        try:
            process = await _started(self._command())
        except OSError as error:
            raise Unavailable(f"{self._name} cannot be asked", (str(error),)) from error
        limit_s = self._controller.answer_s * (requests + 1)
        try:
            async with asyncio.timeout(limit_s):
                told, complained = await process.communicate(lines.encode())
        except TimeoutError as error:
            raise Unavailable(f"{self._name} did not answer within {limit_s:g} s") from error
        finally:
            await _ended(process)
        return process.returncode or 0, _text(told), _text(complained)

    def _command(self) -> list[str]:
        known = self._controller
        patience_ms, resend_ms = known.answer_s * 1000, known.answer_s * 1000 * _RESEND
        options = ["-D", "LAN_2_0", "-h", known.address, "-l", "OPERATOR", "-I", str(known.cipher)]
        options += ["-u", known.user] if known.user else []
        options += [f"--session-timeout={patience_ms:.0f}"]
        options += [f"--retransmission-timeout={resend_ms:.0f}"]
        asked = ["sh", "-c", _SCRIPT, "sh", *options]
        if self._path.startswith("netns:"):
            return ["nsenter", f"--net=/run/netns/{self._path.removeprefix('netns:')}", *asked]
        return _over_ssh(self._path, asked) if self._path.startswith("ssh://") else asked


def _usable(secret: str) -> str:
    """Return a password that can be handed to ipmi-raw. Raises Invalid."""
    if '"' in secret or "\\" in secret or not secret.isprintable():
        raise Invalid(
            "a password of an IPMI controller has a character that cannot be handed on",
            fix="choose one without quotes and backslashes",
        )
    return secret


def _over_ssh(path: str, asked: Sequence[str]) -> list[str]:
    place = urlsplit(path)
    words = " ".join("'" + each.replace("'", "'\\''") + "'" for each in asked)
    user = ["-l", place.username] if place.username else []
    port = ["-p", str(place.port)] if place.port else []
    return [*_SSH, *user, *port, "--", place.hostname or "", words]


def _text(told: bytes) -> str:
    return "\n".join(line.strip() for line in told.decode(errors="replace").splitlines())


async def _started(command: Sequence[str]) -> asyncio.subprocess.Process:
    """Start a program. Who is cancelled meanwhile ends it first: Python 3.11.2 would hang."""
    pipe = asyncio.subprocess.PIPE
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _ended(await starting)
        raise


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End a process that nobody waits for any more."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
