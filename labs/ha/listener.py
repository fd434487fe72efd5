# SPDX-License-Identifier: Apache-2.0
"""Hear who speaks on a network, and write it down: `python -IS listener.py LINK FILE`.

One line of JSON for each ARP packet that claims an address: when (monotonic), address, hardware
address. It listens in the fabric's namespace, on the spine of the tenant network: what is said
there is what every switch hears. Standard library only.
"""

import json
import socket
import struct
import sys
import time
from pathlib import Path

_ARP = 0x0806
_HEAD = struct.Struct("!6s6sHHHBBH6s4s6s4s")


def main() -> int:
    """Listen until killed."""
    link, file = sys.argv[1:3]
    line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
    line.bind((link, _ARP))
    with Path(file).open("a", buffering=1) as out:
        out.write(json.dumps({"at": time.monotonic(), "address": "", "hardware": ""}) + "\n")
        while True:
            packet = line.recv(2048)
            if len(packet) >= _HEAD.size:
                fields = _HEAD.unpack_from(packet)
                heard = {"address": socket.inet_ntoa(fields[9]), "hardware": fields[8].hex()}
                out.write(json.dumps({"at": time.monotonic(), **heard}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
