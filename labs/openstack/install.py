# SPDX-License-Identifier: Apache-2.0
"""Bring what a lab runs: OpenStack from PyPI into a folder of its own, three Debian packages.

Nothing of it becomes a service of this machine. Without root nothing is installed but the folder;
what is missing is said, with the command that brings it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from labs.openstack.places import LabError, Places

LOCK: Final = Path(__file__).with_name("openstack.lock")
RABBIT: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
NEEDS: Final = {
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "mariadb": "mariadb-server",
    RABBIT: "rabbitmq-server",
    "epmd": "rabbitmq-server",
    "memcached": "memcached",
}
"""Program: the Debian package that brings it."""
_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_APT: Final = ("apt-get", "install", "-y", "-qq", "--no-install-recommends")


def which(program: str) -> str | None:
    """Return where a program is, also where only root looks for it."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def missing() -> list[str]:
    """Return the Debian packages that a lab needs and this machine does not have."""
    return sorted({package for program, package in NEEDS.items() if which(program) is None})


def install_servers(*, may_install: bool = True) -> None:
    """Bring the database, the queue and the cache. Raises LabError where they cannot be had."""
    packages = missing()
    if not packages:
        return
    command = " ".join((*_APT[:2], *_APT[4:], *packages))
    if not may_install or os.geteuid() != 0 or which("apt-get") is None:
        raise LabError(f"not on this machine: {', '.join(packages)}; to get it: sudo {command}")
    with _no_services():
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        for words in (("apt-get", "update", "-qq"), (*_APT, *packages)):
            _run(*words, environment=quiet)
    if packages := missing():
        raise LabError(f"still not here after `{command}`: {', '.join(packages)}")


def install_openstack(places: Places) -> None:
    """Install the pinned OpenStack with its parts, unless it was done. Raises LabError."""
    if not _is_done(places, LOCK):
        shutil.rmtree(places.venv, ignore_errors=True)
        _run(sys.executable, "-m", "venv", "--without-pip", str(places.venv))
        _install(places, LOCK)
    for part in sorted(places.parts):
        lock = lock_of(part)
        if not _is_done(places, lock):
            _install(places, lock)


def lock_of(part: str) -> Path:
    """Return what an optional part needs beside the rest."""
    return LOCK.with_name(f"{part}.lock")


def _is_done(places: Places, lock: Path) -> bool:
    stamp = _stamp_file(places, lock)
    return stamp.exists() and stamp.read_text() == _stamp(places.venv, lock)


def _stamp_file(places: Places, lock: Path) -> Path:
    return places.venv / ("installed" if lock == LOCK else f"installed-{lock.stem}")


def _install(places: Places, lock: Path) -> None:
    """Bring what a lock names, without its dependencies: they are in it, or in the first."""
    python = places.program("python")
    pip = (sys.executable, "-m", "pip", "--python", python, "-qq", "--disable-pip-version-check")
    how = ("install", "--no-deps", "--no-compile", "--require-hashes", "-r", str(lock))
    _run(*pip, *how)
    # Else the first start compiles two hundred packages, one process beside the other. Some files
    # are templates with the ending of Python; they do not compile, and nothing imports them.
    cores = str(os.cpu_count() or 1)
    words = (python, "-m", "compileall", "-qq", "-j", cores, str(places.venv / "lib"))
    subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
    _stamp_file(places, lock).write_text(_stamp(places.venv, lock))


def _stamp(venv: Path, lock: Path) -> str:
    """Return what changes when the pins, the Python or the place of an installation does."""
    pins = hashlib.sha256(lock.read_bytes()).hexdigest()
    return f"{pins} {sys.version} {venv}"


@contextmanager
def _no_services() -> Iterator[None]:
    """Let Debian's packages be unpacked without their services being started."""
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)


def _run(*words: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr + done.stdout)[-1500:]
        raise LabError(f"{' '.join(words[:6])} failed: {said}")
