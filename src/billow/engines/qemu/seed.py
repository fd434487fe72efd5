# SPDX-License-Identifier: Apache-2.0
"""What cloud-init finds: a NoCloud seed, an ISO 9660 image labelled `cidata`.

Everything is written as JSON, which is YAML, so that no name can become a directive.
"""

import io
import json
from typing import Final

import pycdlib

from billow.engines.qemu.machine import Card, Machine, Wire

LABEL: Final = "cidata"
_FILES: Final = ("meta-data", "user-data", "network-config")


def seed(machine: Machine, user_data: str = "") -> bytes:
    """Return the seed of a machine as an ISO 9660 image (Joliet and Rock Ridge)."""
    contents = (_meta_data(machine), _user_data(machine, user_data), _network(machine.card))
    disc = pycdlib.PyCdlib()
    disc.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for number, (name, text) in enumerate(zip(_FILES, contents, strict=True)):
        data = text.encode()
        disc.add_fp(
            *(io.BytesIO(data), len(data), f"/FILE{number}.;1"),
            rr_name=name,
            joliet_path=f"/{name}",
        )
    result = io.BytesIO()
    disc.write_fp(result)
    disc.close()
    return result.getvalue()


def _meta_data(machine: Machine) -> str:
    return json.dumps({"instance-id": machine.uuid, "local-hostname": machine.instance})


def _user_data(machine: Machine, more: str) -> str:
    if more.startswith("#"):
        return more
    ours = json.dumps({"hostname": machine.instance, "growpart": {"mode": "auto"}}, indent=1)
    return f"#cloud-config\n{more or ours}\n"


def _network(card: Card | None) -> str:
    if card is None:
        return json.dumps({"version": 2, "ethernets": {}})
    link: dict[str, object] = {"match": {"macaddress": card.mac}, "set-name": "eth0"}
    if card.wire is Wire.TAP:
        link["addresses"] = [card.address]
    else:
        link["dhcp4"] = True
    return json.dumps({"version": 2, "ethernets": {"eth0": link}})
