# SPDX-License-Identifier: Apache-2.0
"""The handle on an emulated controller: start it, let things go wrong with it, end it."""

import json
import queue
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from labs.ha.bmc.machine import Faults

ROOT = Path(__file__).resolve().parents[3]
USER, PASSWORD = "billow", "proof-by-power"
_READY_S = 60.0


class Emulator:
    """An emulated controller in a process of its own.

    Attributes:
        orders: What it was ordered, oldest first: `on` and `off`.
        power: Its host's power, in truth.
        boot, restore: What was set of its host's return.
    """

    def __init__(  # noqa: PLR0913 - a lab says each by its name
        self,
        kind: str,
        *,
        uuid: str,
        turn: Callable[[str], None] | str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        within: Sequence[str] = (),
        tls: tuple[str, str] | None = None,
    ) -> None:
        """Describe a controller; `start` starts it.

        Args:
            kind: `ipmi` or `redfish`.
            uuid: The machine's system UUID.
            turn: What power does to the host: called, or run as a command, with `on` or `off`.
            host: Address to listen at.
            port: 0 for a free one.
            within: Command that it is run by, as `("nsenter", "--net=/run/netns/bmc-h1")`.
            tls: Certificate and key for Redfish.
        """
        self.kind, self.uuid, self.host = kind, str(UUID(uuid)), host
        self.port = port or _free_port(kind, host)
        self.orders: list[str] = []
        self.power, self.boot, self.restore = "on", "default", "previous"
        self._turn = turn
        self._within, self._tls = tuple(within), tls
        self._process: subprocess.Popen[str] | None = None
        self._set: queue.Queue[bool] = queue.Queue()
        self._folder = tempfile.TemporaryDirectory(prefix="billow-bmc-")
        self.secret_file = Path(self._folder.name) / "secret"
        self.secret_file.write_text(PASSWORD + "\n")
        self.secret_file.chmod(0o600)

    @property
    def address(self) -> str:
        """What `bmc.toml` calls its address."""
        if self.kind == "ipmi":
            return f"{self.host}:{self.port}"
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def entry(self, host: str, **more: object) -> dict[str, object]:
        """Return its entry for `bmc.toml` as a table."""
        return {
            "host": host,
            "kind": self.kind,
            "address": self.address,
            "user": USER,
            "secret_file": str(self.secret_file),
            "uuid": self.uuid,
            **more,
        }

    def start(self) -> Self:
        """Start it; return when it answers. Raises TimeoutError."""
        command = [*self._within, sys.executable, "-m", "labs.ha.bmc", "--kind", self.kind]
        command += ["--host", self.host, "--port", str(self.port), "--uuid", self.uuid]
        command += ["--user", USER, "--password-file", str(self.secret_file)]
        command += ["--turn", self._turn] if isinstance(self._turn, str) else []
        command += ["--tls", *self._tls] if self._tls else []
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self._process = process
        threading.Thread(target=self._hear, args=(process,), daemon=True).start()
        self._wait_until_ready(process)
        return self

    def set(self, **faults: object) -> None:
        """Let these faults hold from now on; without arguments, none at all.

        Returns when the controller knows it.
        """
        every = {name: getattr(Faults(), name) for name in Faults.__slots__}
        self._say(faults={**every, **faults})
        self._set.get(timeout=_READY_S)

    def renew(self) -> None:
        """Be as delivered, with a host that is on and no orders heard."""
        self._say(renew=True)
        self._set.get(timeout=_READY_S)
        self.become("on")
        self.orders.clear()

    def catch_up(self) -> None:
        """Wait until all is heard that it told so far: it tells before it answers who asks it."""
        self._say(ping=True)
        self._set.get(timeout=_READY_S)

    def become(self, power: str) -> None:
        """Let the host's power change by itself, as when a cable is drawn."""
        self._say(become=power)
        until = time.monotonic() + _READY_S
        while self.power != power and time.monotonic() < until:
            time.sleep(0.01)

    def stop(self) -> None:
        """End it."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()
            for each in (process.stdin, process.stdout):
                if each is not None:
                    each.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _say(self, **what: object) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise RuntimeError("the emulated controller does not run")
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()

    def _hear(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        try:
            for line in process.stdout:
                self._told(json.loads(line))
        except (ValueError, OSError):  # it ended
            return

    def _told(self, said: dict[str, Any]) -> None:
        if "turn" in said:
            if callable(self._turn):
                self._turn(said["turn"])
            self._say(done=True)
        if "order" in said:
            self.orders.append(said["order"])
        if "set" in said:
            self._set.put(True)
        for name in ("power", "boot", "restore"):
            if name in said:
                setattr(self, name, said[name])

    def _wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        until = time.monotonic() + _READY_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise TimeoutError(f"the emulated {self.kind} controller did not start")
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Ask by the protocol's own greeting; inside a namespace, look whether it listens."""
        if self._within:
            tell = ["ss", "-Hlnu" if self.kind == "ipmi" else "-Hlnt", f"sport = :{self.port}"]
            return bool(
                subprocess.run([*self._within, *tell], capture_output=True, check=False).stdout
            )
        if self.kind == "redfish":
            with socket.socket() as tried:
                return tried.connect_ex((self.host, self.port)) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
            tried.settimeout(0.2)
            tried.connect((self.host, self.port))
            try:
                tried.send(_GREETING)
                return bool(tried.recv(100))
            except OSError:
                return False


_GREETING = bytes.fromhex("0600ff07000000000000000000092018c88100388e04b5")
"""Get Channel Authentication Capabilities, as every IPMI client begins."""


def _free_port(kind: str, host: str) -> int:
    family = socket.SOCK_DGRAM if kind == "ipmi" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, family) as tried:
        tried.bind((host if host.startswith("127.") else "127.0.0.1", 0))
        found: int = tried.getsockname()[1]
        return found
