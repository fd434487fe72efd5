# SPDX-License-Identifier: Apache-2.0
"""The built-in Linux guest: this machine's or Debian's kernel, and busybox with an init of our own.

It is made once per pool and kept in the cache folder. Debian's kernel is fetched as a package and
unpacked, never installed.
"""

import asyncio
import gzip
import hashlib
import lzma
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Final

from billow.act.durable import make_folder, recall, save, write
from billow.engines.qemu.initramfs import File, archive
from billow.errors import Unavailable

LEAST_MEMORY_MIB: Final = 128
META_PACKAGE: Final = "linux-image-cloud-amd64"
BUSYBOX_PACKAGE: Final = "busybox-static"
MODULES: Final = ("virtio_pci", "virtio_net", "virtio_blk", "virtio_balloon", "evdev", "button")
"""What init loads, each after what it needs; absent ones are part of the kernel."""
ARGUMENTS: Final = "console=ttyS0 quiet loglevel=4 panic=-1 no_timer_check random.trust_cpu=on"
_FETCH_S: Final = 300.0
_INTERPRETER: Final = 3
_DEPENDS = re.compile(rb"\0?depends=([^\0]*)\0")
_TARGET = re.compile(r"Depends: (linux-image-\S+-cloud-amd64)")


@dataclass(frozen=True, slots=True)
class LinuxGuest:
    """File names of the guest in the cache folder.

    Attributes:
        recipe: Names how it was made; another recipe makes another guest.
    """

    kernel: str
    initrd: str
    recipe: str = ""


async def prepare(cache: Path, environment: Mapping[str, str]) -> LinuxGuest:
    """Make the guest, or return the one that is there. The first time takes up to a minute.

    Raises:
        Unavailable: there is no kernel or no busybox, and Debian's packages are out of reach.
    """
    known = recall(LinuxGuest, cache / "linux.json")
    recipe = _recipe()
    if (
        known
        and known.recipe == recipe
        and all((cache / name).exists() for name in (known.kernel, known.initrd))
    ):
        return known
    make_folder(cache)
    with tempfile.TemporaryDirectory(prefix="linux-", dir=cache) as scratch:
        kernel, modules = await _kernel(Path(scratch), environment)
        busybox = await _busybox(Path(scratch), environment)
        files = await asyncio.to_thread(lambda: list(_files(busybox, modules)))
        guest = await asyncio.to_thread(_keep, cache, kernel.read_bytes(), archive(files))
    guest = replace(guest, recipe=recipe)
    save(cache / "linux.json", guest)
    return guest


def _recipe() -> str:
    return hashlib.sha256(_init() + " ".join(MODULES).encode()).hexdigest()[:12]


def _init() -> bytes:
    return resources.files(__package__).joinpath("linux-init.sh").read_bytes()


def _keep(cache: Path, kernel: bytes, initrd: bytes) -> LinuxGuest:
    names = []
    for kind, data in (("vmlinuz", kernel), ("initrd", initrd)):
        name = f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}"
        write(cache / name, data)
        names.append(name)
    return LinuxGuest(*names)


async def _kernel(scratch: Path, environment: Mapping[str, str]) -> tuple[Path, Path]:
    """Return a kernel and its folder of modules: this machine's newest, else Debian's.

    `BILLOW_GUEST_KERNEL_DIR` names a folder with an unpacked kernel package, as `./dev` makes it.
    """
    found = _installed(Path(environment.get("BILLOW_GUEST_KERNEL_DIR", "/")))
    found = found or _installed(Path("/"))
    if found is None:
        found = _installed(await _fetch(scratch, await _kernel_package()))
    if found is None:
        raise Unavailable(f"{META_PACKAGE} holds no kernel", fix="report this with `apt policy`")
    return found


def _installed(root: Path) -> tuple[Path, Path] | None:
    for kernel in sorted((root / "boot").glob("vmlinuz-*"), reverse=True):
        release = kernel.name.removeprefix("vmlinuz-")
        for modules in (root / "lib/modules" / release, root / "usr/lib/modules" / release):
            if modules.exists():
                return kernel, modules
    return None


async def _kernel_package() -> str:
    answer = await _run("apt-cache", "depends", META_PACKAGE)
    match = _TARGET.search(answer)
    return match.group(1) if match else META_PACKAGE


async def _busybox(scratch: Path, environment: Mapping[str, str]) -> bytes:
    """Return a static busybox: this machine's, else Debian's."""
    path = shutil.which("busybox", path=environment.get("PATH"))
    data = _static([Path(path)] if path else [])
    if data is None:
        folder = await _fetch(scratch, BUSYBOX_PACKAGE)
        data = _static([folder / "bin/busybox", folder / "usr/bin/busybox"])
    if data is None:
        raise Unavailable(
            f"{BUSYBOX_PACKAGE} holds no busybox", fix="apt-get install busybox-static"
        )
    return data


def _static(paths: list[Path]) -> bytes | None:
    """Return the first program that needs no loader, and so no libraries."""
    programs = (path.read_bytes() for path in paths if path.exists())
    return next((data for data in programs if not _needs_loader(data)), None)


def _needs_loader(program: bytes) -> bool:
    """Return whether a 64-bit ELF program names an interpreter; what is no such program does."""
    if program[:5] != b"\x7fELF\x02":
        return True
    (start,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    kinds = (struct.unpack_from("<I", program, start + size * n)[0] for n in range(count))
    return _INTERPRETER in kinds


async def _fetch(scratch: Path, package: str) -> Path:
    """Fetch a package with apt and unpack it; return the folder."""
    folder = make_folder(scratch / package)
    await _run("apt-get", "-o", "APT::Sandbox::User=root", "download", package, folder=folder)
    for file in _packages(folder):
        await _run("dpkg-deb", "-x", str(file), str(folder))
    return folder


def _packages(folder: Path) -> list[Path]:
    return list(folder.glob("*.deb"))


async def _run(*command: str, folder: Path | None = None) -> str:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        async with asyncio.timeout(_FETCH_S):
            answer, said = await process.communicate()
    except (OSError, TimeoutError) as error:
        raise _no_packages(command, str(error)) from error
    if process.returncode:
        raise _no_packages(command, said.decode(errors="replace").strip())
    return answer.decode()


def _no_packages(command: tuple[str, ...], why: str) -> Unavailable:
    return Unavailable(
        "the built-in Linux guest cannot be made: no kernel here, and Debian's is out of reach",
        details=(" ".join(command), why[-500:]),
        fix=f"apt-get install --no-install-recommends {META_PACKAGE} {BUSYBOX_PACKAGE}",
        code="no-linux",
    )


def _files(busybox: bytes, modules: Path) -> Iterator[File]:
    yield File("bin/busybox", busybox, executable=True)
    yield File("bin/sh", link="busybox")
    yield File("init", _init(), executable=True)
    names = []
    for name, data in _wanted(modules):
        names.append(name)
        yield File(f"modules/{name}.ko", data)
    yield File("modules/order", "".join(f"{name}\n" for name in names).encode())


def _wanted(modules: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the modules to load, each after those that it needs."""
    paths = {path.name.split(".ko")[0].replace("-", "_"): path for path in modules.rglob("*.ko*")}
    done: set[str] = set()

    def walk(name: str) -> Iterator[tuple[str, bytes]]:
        if name in done or name not in paths:
            return
        done.add(name)
        data = _unpacked(paths[name])
        match = _DEPENDS.search(data)
        for needed in (match.group(1).decode() if match else "").split(","):
            yield from walk(needed.replace("-", "_"))
        yield name, data

    for name in MODULES:
        yield from walk(name)


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    return gzip.decompress(data) if path.suffix == ".gz" else data
