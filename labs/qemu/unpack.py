#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Unpack a newer QEMU from this Debian's backports into a folder, without installing it.

    labs/qemu/unpack.py FOLDER            # about 20 MB to fetch; done again only when it is missing
    PATH=FOLDER:$PATH ./dev test ...      # every test and benchmark runs on it

The installed QEMU stays as it is, beside it. apt works in a state of its own inside the folder, on
the mirror that this machine has its Debian from. An unpacked QEMU that finds the modules of the
installed one aborts: so FOLDER holds wrapper scripts that lead each program to its own modules.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    "qemu-system-x86",
    "qemu-system-common",
    "qemu-system-data",
    "qemu-utils",
    "seabios",
    "ipxe-qemu",
)
SOURCES = Path("/etc/apt")
WRAPPER = """#!/bin/sh
# Made by labs/qemu/unpack.py: this QEMU must not load the modules of an installed one.
QEMU_MODULE_DIR='{modules}' exec '{program}' "$@"
"""


@dataclass(frozen=True)
class Mirror:
    """Where this machine has its Debian from."""

    address: str
    signed_by: str
    release: str


def main() -> int:
    """Unpack it, write the wrappers, and say what it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder.absolute()
    if not (folder / "qemu-system-x86_64").exists():
        fetch(folder, mirror())
        wrap(folder)
    return subprocess.call([folder / "qemu-system-x86_64", "--version"])  # our own


def mirror() -> Mirror:
    """Return the mirror of this machine's own Debian release."""
    said = dict(
        re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE)
    )
    release = said.get("VERSION_CODENAME", "")
    for address, suites, signed_by in _sources():
        if release and release in suites:
            return Mirror(address, signed_by, release)
    sys.exit(f"no source of Debian {release!r} in {SOURCES}: apt-get cannot fetch its backports")


def fetch(folder: Path, source: Mirror) -> None:
    """Download the packages with an apt state of our own, and extract them."""
    apt, packages = folder / "apt", folder / "packages"
    for place in (apt / "state/lists/partial", apt / "cache/archives/partial", packages):
        place.mkdir(parents=True, exist_ok=True)
    signed = f"[signed-by={source.signed_by}] " if source.signed_by else ""
    suites = (source.release, f"{source.release}-backports")
    lines = (f"deb {signed}{source.address} {suite} main\n" for suite in suites)
    (apt / "sources.list").write_text("".join(lines))
    options = [
        "-qq", f"-oDir::State={apt}/state", f"-oDir::Cache={apt}/cache",
        f"-oDir::Etc::sourcelist={apt}/sources.list", "-oDir::Etc::sourceparts=-",
        "-oDir::State::status=/var/lib/dpkg/status", "-oAPT::Sandbox::User=root",
    ]  # fmt: skip
    _run("apt-get", *options, "update")
    _run("apt-get", *options, "-t", suites[1], "download", *PACKAGES, cwd=packages)
    for archive in sorted(packages.glob("*.deb")):
        _run("dpkg-deb", "--extract", str(archive), str(folder / "root"))
    for done in (apt, packages):
        shutil.rmtree(done)


def wrap(folder: Path) -> None:
    """Write a script for each program that leads it to its own modules."""
    (modules,) = (folder / "root").glob("usr/lib/*-linux-*/qemu")
    for program in sorted((folder / "root/usr/bin").glob("qemu-*")):
        script = folder / program.name
        script.write_text(WRAPPER.format(modules=modules, program=program))
        script.chmod(0o755)


def _sources() -> Iterator[tuple[str, list[str], str]]:
    """Yield address, suites and key of each source, in both forms that apt knows."""
    for file in sorted(SOURCES.glob("sources.list.d/*.sources")):
        for part in re.split(r"\n\s*\n", file.read_text()):
            row = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", part, re.MULTILINE))
            for address in row.get("URIs", "").split():
                yield address, row.get("Suites", "").split(), row.get("Signed-By", "")
    for file in (SOURCES / "sources.list", *sorted(SOURCES.glob("sources.list.d/*.list"))):
        text = file.read_text() if file.exists() else ""
        for found in re.finditer(r"^deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE):
            options, address, suite = found.groups()
            key = re.search(r"signed-by=(\S+)", options or "")
            yield address, [suite], key[1] if key else ""


def _run(*command: str, cwd: Path | None = None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    code = subprocess.call(command, cwd=cwd, env=environment, stdout=sys.stderr)
    if code:
        sys.exit(f"this failed with exit code {code}: {' '.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
