# SPDX-License-Identifier: Apache-2.0
"""The computes of a lab: what each host is, starting and ending them, and the guests they run."""

import contextlib
import json
import os
import signal
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from labs.openstack.places import LabError, Places
from labs.openstack.processes import Process, end_of, living, until
from labs.openstack.services import INSIDE

AT_ONCE: Final = 6
"""How many computes come up at the same time."""
RUNNING: Final = 1
"""Nova's number for a guest that runs."""


def names(count: int) -> list[str]:
    """Return the names of the first `count` hosts."""
    return [f"node{n:03d}" for n in range(1, count + 1)]


class Computes:
    """The hosts of one lab."""

    def __init__(self, places: Places) -> None:
        self._places = places

    @property
    def farm(self) -> Process:
        """The process that forks computes."""
        places = self._places
        words = [
            *(places.program("python"), str(INSIDE / "farm.py"), str(places.hosts)),
            *(str(places.run), str(places.logs), str(places.settings / "nova"), str(AT_ONCE)),
        ]
        return Process("farm", words, places.run, places.logs, {"MALLOC_ARENA_MAX": "1"})

    def known(self) -> list[str]:
        """Return every host that was ever furnished."""
        return sorted(each.name for each in self._places.hosts.iterdir() if each.is_dir())

    def alive(self) -> dict[str, int]:
        """Return the hosts whose nova-compute lives, with its process number."""
        found = {host: living(self._file(host)) for host in self.known()}
        return {host: number for host, number in found.items() if number is not None}

    def start(self, hosts: Sequence[str]) -> None:
        """Start the nova-compute of hosts, and wait until each has come up. Raises LabError."""
        wanted = [host for host in hosts if host not in self.alive()]
        if not wanted:
            return
        for host in wanted:
            self.furnish(host)
            for ending in ("up", "pid"):
                self._file(host, ending).unlink(missing_ok=True)
        self.farm.start()
        until(self._farm_answers, lambda: f"the farm is not up: {end_of(self.farm.log)}")
        self._order("start " + " ".join(wanted))
        until(
            lambda: all(self._file(host, "up").exists() for host in wanted),
            lambda: self._why(wanted),
            patience_s=300.0 + 6.0 * len(wanted),
        )

    def furnish(self, host: str, **told: object) -> None:
        """Make a host's folder, or change what it is; `told` wins over what it was."""
        sizes, folder = self._places.sizes, self._places.hosts / host
        (folder / "guests").mkdir(parents=True, exist_ok=True)
        identity = folder / "compute_id"
        if not identity.exists():  # the same node again after a restart
            identity.write_text(str(uuid.uuid4()))
            settings = {"host": host, "state_path": folder}
            text = "".join(f"{key} = {value}\n" for key, value in settings.items())
            (folder / "nova.conf").write_text(f"[DEFAULT]\n{text}")
        file = folder / "shape.json"
        shape = {"vcpus": sizes.vcpus, "memory_mib": sizes.memory_mib, "disk_gib": sizes.disk_gib}
        if file.exists():
            shape = json.loads(file.read_text())
        if told or not file.exists():
            _replace(file, json.dumps(shape | told))

    def shape(self, host: str) -> dict[str, Any]:
        """Return what a host was told to be."""
        found: dict[str, Any] = json.loads((self._places.hosts / host / "shape.json").read_text())
        return found

    def reset(self, host: str) -> None:
        """Make a host again what it is by default, without delays and failures."""
        (self._places.hosts / host / "shape.json").unlink(missing_ok=True)
        self.furnish(host)

    def touch(self, hosts: Sequence[str]) -> None:
        """Have computes count anew what they have: within a second or two."""
        for host in hosts:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._places.hosts / host / "shape.json")

    def signal(self, host: str, number: int) -> None:
        """Send a signal to a host's nova-compute."""
        process = living(self._file(host))
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self, host: str) -> None:
        """End a host's nova-compute at once; its guests run on."""
        self.signal(host, signal.SIGKILL)
        until(lambda: living(self._file(host)) is None, lambda: f"{host} does not end")

    def power_cut(self, host: str) -> None:
        """End a host at once with all its guests."""
        self.kill(host)
        for guest in (self._places.hosts / host / "guests").iterdir():
            guest.unlink()

    def guests(self, *, running: bool = True) -> dict[str, list[str]]:
        """Return the guests by host, as the hypervisors have them: not what Nova believes.

        Args:
            running: Only those that run; otherwise also what is shut down or waits for a confirm.
        """
        found: dict[str, list[str]] = {}
        for host in self.known():
            inside = []
            for file in (self._places.hosts / host / "guests").iterdir():
                with contextlib.suppress(FileNotFoundError):  # it has just gone
                    if not file.name.startswith(".") and (
                        not running or json.loads(file.read_text())["state"] == RUNNING
                    ):
                        inside.append(file.name)
            found[host] = sorted(inside)
        return found

    def plant(self, guests: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        """Let hosts run guests that nobody spawned: by host, pairs of UUID and name."""
        for host, pairs in guests.items():
            for guest, name in pairs:
                text = json.dumps({"name": name, "state": RUNNING})
                (self._places.hosts / host / "guests" / guest).write_text(text)

    def clear(self) -> None:
        """Remove every guest from every host."""
        for host in self.known():
            for guest in (self._places.hosts / host / "guests").iterdir():
                guest.unlink(missing_ok=True)

    def stop(self) -> None:
        """End the farm and all computes at once: they have nothing to save."""
        self.farm.stop(2.0)
        for host in self.alive():
            self.signal(host, signal.SIGCONT)
            self.signal(host, signal.SIGKILL)
        until(lambda: not self.alive(), lambda: f"still alive: {', '.join(self.alive())}")

    def _farm_answers(self) -> bool:
        try:
            self._order("waiting")
        except OSError:
            return False
        return True

    def _order(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(60.0)
            line.connect(str(self._places.run / "farm.sock"))
            line.sendall(text.encode() + b"\n")
            return line.recv(64).decode()

    def _file(self, host: str, ending: str = "pid") -> Path:
        return self._places.run / f"compute-{host}.{ending}"

    def _why(self, wanted: Sequence[str]) -> str:
        missing = [host for host in wanted if not self._file(host, "up").exists()]
        log = self._places.logs / f"nova-compute-{missing[0]}.log" if missing else self.farm.log
        return f"not up: {', '.join(missing)}; {end_of(log)}; farm: {end_of(self.farm.log)}"


def _replace(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new one, never a half."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def known_or_refused(computes: Computes, host: str) -> str:
    """Return a host's name. Raises LabError for one that is not there."""
    if host not in computes.known():
        raise LabError(f"no host {host}; there are: {', '.join(computes.known())}")
    return host
