# SPDX-License-Identifier: Apache-2.0
"""The images that instances can boot: two built-in ones, and disk images of the user.

A disk image is copied into the state folder once and never changed; each instance has an overlay on
it. An image that points at another file (a backing or data file) is refused, since it could read
any file of this machine into a guest.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from billow.act.durable import load, make_folder, save
from billow.engines.qemu.command import escaped
from billow.engines.qemu.disk import EMPTY_MIB, Layout, make, run_img
from billow.errors import BillowError, Invalid, NotFound, Unavailable
from billow.model.names import check_name

FIRMWARE: Final = "firmware"
LINUX: Final = "linux"
BUILT_IN: Final = (FIRMWARE, LINUX)
FORMS: Final = ("qcow2", "raw")
LEAST_DISK_MIB: Final = 8192
"""Cloud images are made small and grow at first boot; an overlay takes only what is written."""
_QCOW2_MAGIC: Final = b"QFI\xfb"
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A registered disk image.

    Attributes:
        form: `qcow2` or `raw`.
        virtual_mib: What the guest sees.
        user_data: Added to what cloud-init is told; JSON or YAML without its first line.
    """

    name: str
    form: str
    virtual_mib: int
    user_data: str = ""

    @property
    def file(self) -> str:
        """Its file name in the images folder."""
        return f"{self.name}.{self.form}"


class Catalogue:
    """The images folder of a pool. A file NAME.qcow2 or NAME.raw that is put there is an image."""

    def __init__(self, folder: Path, qemu_img: str) -> None:
        self._folder = folder
        self._qemu_img = qemu_img

    def names(self) -> Iterator[str]:
        """Yield every image that an instance may ask for."""
        yield from BUILT_IN
        if self._folder.exists():
            files = self._folder.iterdir()
            yield from sorted({path.stem for path in files if path.suffix[1:] in FORMS})

    async def find(self, name: str) -> Image:
        """Return a disk image; the first time, look whether it is safe to use.

        Raises:
            Invalid: the name cannot be one, or the file is no self-contained disk image.
            NotFound: there is no such image.
            Unavailable: qemu-img is not installed.
        """
        check_name("image", name)
        known = load(Image, self._folder / f"{name}.json")
        if known is not None and (self._folder / known.file).exists():
            return known
        for form in FORMS:
            path = self._folder / f"{name}.{form}"
            if path.exists():
                image = await self._look(name, form, path)
                save(self._folder / f"{name}.json", image)
                return image
        raise NotFound(
            f"no image {name}",
            details=(f"known: {', '.join(self.names())}",),
            fix=f"put {name}.qcow2 or {name}.raw into {self._folder}",
            code="no-image",
        )

    async def register(self, name: str, path: Path, user_data: str = "") -> Image:
        """Copy a qcow2 or raw disk image into the catalogue.

        Raises:
            Invalid: the name is taken or cannot be one, or the file needs more than itself.
            Unavailable: qemu-img is not installed.
        """
        check_name("image", name)
        if name in self.names():
            raise Invalid(f"there is an image {name} already", fix="choose another name")
        image = replace(await self._look(name, _form(path), path), user_data=user_data)
        make_folder(self._folder)
        save(self._folder / f"{name}.json", image)
        await asyncio.to_thread(shutil.copyfile, path, self._folder / image.file)
        (self._folder / image.file).chmod(0o400)
        return image

    async def _look(self, name: str, form: str, path: Path) -> Image:
        facts = await self._facts(path, form)
        _check_self_contained(path, facts)
        size = facts.get("virtual-size")
        return Image(name=name, form=form, virtual_mib=-(-int(str(size)) // _MIB))

    async def overlay(self, image: Image, disk: Path) -> None:
        """Make the disk of an instance on top of an image; one that is there is made anew."""
        backing = _from(disk.parent, self._folder / image.file)
        size = max(image.virtual_mib, LEAST_DISK_MIB) * _MIB
        await make(self._qemu_img, disk, Layout(bytes=size, backing=backing, form=image.form))

    async def empty(self, disk: Path) -> None:
        """Make an empty disk; one that is there is made anew."""
        await make(self._qemu_img, disk, Layout(bytes=EMPTY_MIB * _MIB))

    async def _facts(self, path: Path, form: str) -> dict[str, object]:
        options = f"driver={form},file.driver=file,file.filename={escaped(_absolute(path))}"
        command = ("info", "--output=json", "--image-opts", options)
        try:
            answer = json.loads(await run_img(self._qemu_img, *command))
        except Unavailable:
            raise
        except BillowError as error:
            raise Invalid(
                f"{path.name} is not a disk image that QEMU can read",
                details=error.details,
                fix="give a qcow2 or raw disk image",
                code="invalid-image",
            ) from error
        return answer if isinstance(answer, dict) else {}


def _form(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return "qcow2" if file.read(4) == _QCOW2_MAGIC else "raw"
    except (OSError, ValueError) as error:
        raise Invalid(
            f"the image file {ascii(str(path))[:200]} cannot be read",
            details=(str(error)[:200],),
            fix="give the path of a qcow2 or raw disk image",
            code="invalid-image",
        ) from error


def _from(folder: Path, path: Path) -> str:
    """Return a path as seen from a folder, so that the state folder can be moved."""
    return os.path.relpath(path, folder)


def _absolute(path: Path) -> Path:
    """Return a path that QEMU cannot take for a protocol (`nbd:...`)."""
    return path.absolute()


def _check_self_contained(path: Path, facts: dict[str, object]) -> None:
    specific = facts.get("format-specific")
    data = specific.get("data") if isinstance(specific, dict) else None
    outside = [
        facts.get("backing-filename"),
        data.get("data-file") if isinstance(data, dict) else 0,
    ]
    found = [str(file) for file in outside if file]
    if found or facts.get("encrypted"):
        raise Invalid(
            f"{path.name} needs more than itself",
            details=tuple(f"it points at {file}" for file in found) or ("it is encrypted",),
            fix="qemu-img convert -O qcow2 makes a self-contained image of it",
            code="image-not-self-contained",
        )
