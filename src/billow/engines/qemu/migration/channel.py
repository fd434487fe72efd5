# SPDX-License-Identifier: Apache-2.0
"""Join two QEMU processes, so that one can send its guest to the other."""

import socket
from typing import Final

from billow.engines.qemu.ground import Ground
from billow.engines.qemu.migration.order import Order
from billow.engines.qemu.monitor import Monitor
from billow.errors import Refused

BANDWIDTH_BYTES_S: Final = 4 * 2**30
_NAME: Final = "billow-move"


async def connect(ground: Ground, order: Order, source: Monitor, target: Monitor) -> None:
    """Let the target wait and the source begin to send. Raises Refused, Lost."""
    if ground.network.namespaces:
        address = ground.network.address(order.target)
        await target.execute("migrate-incoming", {"uri": f"tcp:{address}:0"})
        port = port_of(await target.mapping("query-migrate"))
        await source.execute("migrate", {"uri": f"tcp:{address}:{port}"})
    else:
        await _join(source, target)


async def rejoin(ground: Ground, order: Order, source: Monitor, target: Monitor) -> None:
    """Join two ends anew whose connection broke in the middle of post-copy. Raises Refused, Lost.

    Without namespaces they were joined by a pipe, which does not break.
    """
    address = ground.network.address(order.target)
    await target.execute("migrate-recover", {"uri": f"tcp:{address}:0"})
    port = port_of(await target.mapping("query-migrate"))
    await source.execute("migrate", {"uri": f"tcp:{address}:{port}", "resume": True})


def port_of(answer: dict[str, object]) -> str:
    """Read from `query-migrate` where a target waits. Raises Refused when it does not say."""
    addresses = answer.get("socket-address")
    if isinstance(addresses, list) and addresses and isinstance(addresses[0], dict):
        return str(addresses[0]["port"])
    raise Refused("the target does not say where it waits", details=(str(answer),))


async def _join(source: Monitor, target: Monitor) -> None:
    """Give both processes one end of a pipe that nobody else can reach."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await target.hand_over(_NAME, theirs.fileno())
        await source.hand_over(_NAME, ours.fileno())
    await target.execute("migrate-incoming", {"uri": f"fd:{_NAME}"})
    await source.execute("migrate", {"uri": f"fd:{_NAME}"})
