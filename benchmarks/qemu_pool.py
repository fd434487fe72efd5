# SPDX-License-Identifier: Apache-2.0
"""What the QEMU benchmarks share: the bare hypervisor as a bound, and a look for what was left."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from billow.engines.qemu.machine import Accelerator
from billow.engines.qemu.probe import probe
from billow.errors import Unavailable
from billow.firmware.image import unpack

AT_ONCE = 4
"""Bare processes that start side by side: enough to keep two cores busy."""
_WAIT_S = 60.0
_VOLUME = re.compile(r"/volumes/([^/]+)/")


def bare_boots_s(count: int) -> float:
    """Return the seconds that QEMU alone needs to start so many firmware guests.

    No network, no journal, no monitor: process start to the guest's first serial line.
    """
    folder = Path(tempfile.mkdtemp(prefix="billow-bare-"))
    try:
        command = _bare_command(folder)
        start = time.perf_counter()
        for first in range(0, count, AT_ONCE):
            _boot(folder, command, range(first, min(first + AT_ONCE, count)))
        return time.perf_counter() - start
    finally:
        _kill(folder)
        shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: Path) -> list[int]:
    """Return the QEMU processes whose command line names a state folder."""
    return [process for process, _ in _processes(folder)]


def instances_of(folder: Path) -> set[str]:
    """Return the instances that have a QEMU process; one that is moving has two, counted once."""
    return {name for _, words in _processes(folder) for name in _VOLUME.findall(words)}


def instance_folders(folder: Path) -> list[Path]:
    """Return what hosts and volumes still keep of instances in a state folder."""
    places = (*folder.glob("qemu/hosts/*/*/"), *folder.glob("qemu/volumes/*/"))
    return [place for place in places if place.is_dir()]


def _bare_command(folder: Path) -> list[str]:
    findings = asyncio.run(probe(folder, os.environ))
    if not findings.qemu:
        raise Unavailable(findings.missing[0].what, fix=findings.missing[0].fix)
    platform = findings.platform(system=False)
    kvm = platform.accelerator is Accelerator.KVM
    image = folder / unpack(folder)
    return [
        findings.qemu, "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", f"{platform.board},vmport=off,usb=off,pit=off",
        "-accel", "kvm" if kvm else "tcg,tb-size=8", "-cpu", platform.cpu,
        "-m", "64", "-bios", str(image), "-daemonize",
    ]  # fmt: skip


def _boot(folder: Path, command: list[str], numbers: range) -> None:
    lines = [folder / f"serial-{number}" for number in numbers]
    for line in lines:
        subprocess.run([*command, "-serial", f"file:{line}"], check=True)
    until = time.perf_counter() + _WAIT_S
    while not all(line.exists() and line.stat().st_size for line in lines):
        if time.perf_counter() > until:
            raise Unavailable("a bare QEMU guest did not reach its serial line")
        time.sleep(0.002)


def _kill(folder: Path) -> None:
    for process in processes_of(folder):
        os.kill(process, signal.SIGKILL)


def _processes(folder: Path) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_text()
        except OSError:
            continue  # it ended while we looked
        if "qemu-system" in words.split("\0", 1)[0] and str(folder) in words:
            yield int(entry.name), words
