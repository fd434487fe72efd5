# SPDX-License-Identifier: Apache-2.0
"""A network namespace as a host: an agent of its own, guests that are programs named like QEMU."""

import ctypes
import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from billow.model.ha.evidence import NETWORKS

Made = TypeVar("Made")
LOCAL: Final = {each: f"127.0.{position}.1" for position, each in enumerate(NETWORKS, 1)}
_COUNT: Final = itertools.count()
NAMESPACES: Final = Path("/run/netns")


_SYS: Final = """\
mount --make-rprivate / 2>/dev/null || true  # in a chroot it is no mount, and private already
mount -t sysfs sysfs /sys
exec "$@"
"""


def within(namespace: str) -> tuple[str, ...]:
    """Return what to put before a command that shall run in a namespace."""
    return ("nsenter", f"--net={NAMESPACES / namespace}")


def own_links(namespace: str) -> tuple[str, ...]:
    """Return the same for a command that shall see its own links in /sys, too."""
    mounts = ("unshare", "--mount", "--propagation", "unchanged")
    return (*within(namespace), *mounts, "sh", "-ec", _SYS, "sh")


class Host:
    """A namespace with an agent's folder."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.namespace = f"{name}-{os.getpid()}-{next(_COUNT)}"
        self.processes: list[subprocess.Popen[bytes]] = []
        run("ip", "netns", "add", self.namespace)
        run(*within(self.namespace), "ip", "link", "set", "lo", "up")

    def inside(self, function: Callable[[], Made]) -> Made:
        """Call a function in the namespace; the sockets that it opens stay there."""
        made: list[Made] = []

        def enter() -> None:
            with (NAMESPACES / self.namespace).open() as handle:
                assert ctypes.CDLL(None).setns(handle.fileno(), 0) == 0
            made.append(function())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a program there."""
        process = subprocess.Popen([*own_links(self.namespace), *command], stdin=subprocess.PIPE)
        self.processes.append(process)
        return process

    def agent(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start its agent."""
        own = [part for each in NETWORKS for part in (f"--{each}", LOCAL[each])]
        command = (sys.executable, "-m", "billow.agent", "--host", self.name, *own)
        # Without it the agent would end the guests of every other test on this machine.
        here = ("--own-namespace", "--state", str(self.folder))
        return self.start(*command, *here, *arguments)

    def guest(self, instance: str) -> subprocess.Popen[bytes]:
        """Start something that looks like QEMU and does nothing."""
        program = self.folder / "qemu-system-x86_64"
        if not program.exists():
            shutil.copy(shutil.which("dash") or "/bin/sh", program)
        return self.start(str(program), "-c", "read line", "-name", f"guest={instance},debug=on")

    def close(self) -> None:
        """End all of it."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
        for number in _processes_in(NAMESPACES / self.namespace):
            with suppress(ProcessLookupError):
                os.kill(number, 9)
        run("ip", "netns", "del", self.namespace)


def _processes_in(namespace: Path) -> list[int]:
    """Return the processes whose network is a namespace's."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended while we looked
            if (each / "ns/net").samefile(namespace):
                found.append(int(each.name))
    return found


def run(*command: str) -> str:
    """Run a program and return what it prints."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
