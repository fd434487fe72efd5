# SPDX-License-Identifier: Apache-2.0
"""Open hosts that run libvirt as one pool, by the settings."""

import gzip
import socket
from importlib import resources

from billow.act.deed import Deeds
from billow.act.performer import Performer
from billow.act.terms import terms_of
from billow.engines.libvirt.address import addresses
from billow.engines.libvirt.engine import LibvirtEngine
from billow.engines.libvirt.fleet import Fleet
from billow.engines.libvirt.records import Records
from billow.engines.libvirt.sight import Sight
from billow.engines.libvirt.storage import Shelf
from billow.engines.libvirt.verbs import LibvirtCraft
from billow.ports import Clock
from billow.settings import Settings


async def open_engine(settings: Settings, clock: Clock) -> LibvirtEngine:
    """Open the hosts in `libvirt_uris`; what Billow decides of them is in `state_dir/libvirt`.

    A host that does not answer is a gap in the pool, not an error.

    Raises:
        Invalid: the settings name no host, or something that is no libvirt URI.
    """
    found = addresses(tuple(settings.libvirt_uris), socket.gethostname().partition(".")[0])
    fleet = Fleet(found, settings.libvirt_peer_uri)
    records = Records(settings.state_dir / "libvirt")
    craft = LibvirtCraft(
        fleet=fleet,
        records=records,
        sight=Sight(fleet, records, clock, shared_storage=settings.libvirt_storage_shared),
        shelf=Shelf(settings.libvirt_storage, settings.libvirt_storage_shared, firmware()),
        terms=terms_of(settings),
        clock=clock,
        network=settings.libvirt_network,
    )
    return LibvirtEngine(craft, Performer("libvirt", craft, Deeds(records.root)))


def firmware() -> bytes:
    """Return the firmware guest's image: a file that lies with the engine `qemu`, not its code."""
    packed = resources.files("billow.firmware").joinpath("payload.bin.gz")
    return gzip.decompress(packed.read_bytes())
