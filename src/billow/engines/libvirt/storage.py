# SPDX-License-Identifier: Apache-2.0
"""Files on the hosts, in libvirt's storage pools: the firmware guest, images, disks."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.etree import ElementTree as ET

from billow.engines.libvirt.line import Fault
from billow.engines.libvirt.translate import parsed
from billow.engines.libvirt.wire import Api
from billow.engines.libvirt.words import Error, Storage, Volume
from billow.errors import NotFound, Refused

FOLDER: Final = "/var/lib/libvirt/images"
"""Where a pool is made that is not there: what libvirt's own tools call `default`."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The storage pool of that name on each host.

    Attributes:
        shared: Whether it is the same storage on every host.
        firmware: The firmware guest's image.
    """

    name: str
    shared: bool
    firmware: bytes
    _brought: dict[str, str] = field(default_factory=dict)
    _bringing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self, api: Api) -> Storage:
        """Return a host's storage pool; start one where there is none. Raises Fault, Lost."""
        found = await api.storage(self.name)
        if found is not None:
            return found
        pool = ET.Element("pool", type="dir")
        ET.SubElement(pool, "name").text = self.name
        ET.SubElement(ET.SubElement(pool, "target"), "path").text = FOLDER
        try:
            return await api.create_storage(ET.tostring(pool, encoding="unicode"))
        except Fault as fault:
            again = await api.storage(self.name)
            if again is not None:  # somebody else was quicker
                return again
            raise Refused(
                f"there is no storage pool {self.name}, and none can be made in {FOLDER}",
                details=(fault.brief,),
                fix="set libvirt_storage to a pool that `virsh pool-list` names on every host",
                code="no-storage",
            ) from fault

    async def put_firmware(self, api: Api, host: str) -> str:
        """Return the path of the firmware guest on a host.

        It is brought there once by each controller: what another one left may be half of it.
        """
        async with self._bringing:
            if host not in self._brought:
                name = f"billow-{hashlib.sha256(self.firmware).hexdigest()[:12]}.bin"
                storage = await self.open(api)
                volume = await api.volume(storage, name)
                if volume is None:
                    texts = {"name": name, "capacity": str(len(self.firmware))}
                    volume = await self._create(api, storage, texts, "raw")
                await api.upload(volume, self.firmware)
                self._brought[host] = volume.key
            return self._brought[host]

    async def image(self, api: Api, name: str) -> tuple[Volume, str]:
        """Return an image of a host's storage pool, and its format.

        Raises:
            NotFound: there is none of that name.
        """
        storage = await self.open(api)
        volume = await api.volume(storage, name)
        if volume is None:
            await api.refresh(storage)
            volume = await api.volume(storage, name)
        if volume is None:
            raise NotFound(
                f"there is no image {name!a} in the storage pool {self.name}",
                fix=f"virsh vol-create-as {self.name} ..., or copy it to the pool's folder",
            )
        form = parsed(await api.volume_xml(volume)).find("target/format")
        return volume, "raw" if form is None else form.get("type", "raw")

    async def make_disk(self, api: Api, name: str, image: str) -> Volume:
        """Make a disk that holds only what differs from its image; an old one of it is kept."""
        storage = await self.open(api)
        made = await api.volume(storage, name)
        if made is not None:
            return made
        backing, form = await self.image(api, image)
        capacity = parsed(await api.volume_xml(backing)).findtext("capacity", "0")
        return await self._create(
            api, storage, {"name": name, "capacity": capacity}, "qcow2", (backing.key, form)
        )

    async def remove(self, api: Api, name: str) -> None:
        """Remove a file; one that is not there is no error."""
        storage = await self.open(api)
        volume = await api.volume(storage, name)
        if volume is not None:
            await api.delete_volume(volume)

    async def _create(
        self,
        api: Api,
        storage: Storage,
        texts: Mapping[str, str],
        form: str,
        backing: tuple[str, str] | None = None,
    ) -> Volume:
        root = ET.Element("volume")
        for tag, text in texts.items():
            ET.SubElement(root, tag).text = text
        target = ET.SubElement(root, "target")
        ET.SubElement(target, "format", type=form)
        ET.SubElement(ET.SubElement(target, "permissions"), "mode").text = "0644"
        if backing is not None:
            store = ET.SubElement(root, "backingStore")
            ET.SubElement(store, "path").text = backing[0]
            ET.SubElement(store, "format", type=backing[1])
        try:
            xml = ET.tostring(root, encoding="unicode")
            return await api.create_volume(storage, xml)
        except Fault as fault:
            made = await api.volume(storage, texts["name"])
            if fault.number == Error.STORAGE_VOLUME_EXISTS and made is not None:
                return made
            raise
