# SPDX-License-Identifier: Apache-2.0
"""Join two QEMU processes, so that one can send its guest to the other."""

import asyncio
import contextlib
import socket
from typing import Final

from billow.engines.qemu.carried import reaches
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.migration.order import Order
from billow.engines.qemu.monitor import Monitor
from billow.errors import Refused, Unavailable

BANDWIDTH_BYTES_S: Final = 4 * 2**30
_NAME: Final = "billow-move"
_CONNECTS_S: Final = 130.0
"""For so long the kernel tries to connect."""
_LOOK_EVERY_S: Final = 0.05


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
    """Join two ends anew whose connection broke in the middle of post-copy.

    QEMU 7.2 dies when it is asked a second time while it still tries to connect. So it is asked
    only when the other host can be reached, and never again before it has said what came of it.
    Without namespaces both ends were joined by a pipe, which does not break.

    Raises:
        Unavailable: the network is still away; nothing was done.
        Refused, Lost: an end would not.
    """
    if not await reaches(ground.network, order.source, order.target):
        raise Unavailable(f"{order.target} cannot be reached from {order.source}")
    address = ground.network.address(order.target)
    await target.execute("migrate-recover", {"uri": f"tcp:{address}:0"})
    port = port_of(await target.mapping("query-migrate"))
    await source.execute("migrate", {"uri": f"tcp:{address}:{port}", "resume": True})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CONNECTS_S):
            while (  # noqa: ASYNC110  # no event says so
                await source.mapping("query-migrate")
            ).get("status") == "postcopy-paused":
                await asyncio.sleep(_LOOK_EVERY_S)


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
