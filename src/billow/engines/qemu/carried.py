# SPDX-License-Identifier: Apache-2.0
"""What the network carries between two hosts, by sending for half a second. Changes nothing.

The bytes go the way a move's would: from namespace to namespace, or through a pipe of this machine
where hosts have none. What other moves send meanwhile is sent beside it, so the answer is a share.
"""

import asyncio
import contextlib
import ctypes
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from billow.engines.qemu.network import Network
from billow.errors import Unavailable

_WARM_S: Final = 0.15
"""Not counted: a connection starts slowly, and a shaped link lets a burst through."""
_COUNTED_S: Final = 0.35
_PATIENCE_S: Final = 5.0
_LATELY_S: Final = 600.0
_REACHED_S: Final = 1.0
_PIECE: Final = 2**18
_MIB: Final = 2**20
_NAMESPACES: Final = Path("/run/netns")
_NET: Final = 0x40000000
"""CLONE_NEWNET of `setns(2)`."""


async def carried(network: Network, source: str, target: str) -> float:
    """Return how many MiB a second arrive at the target. Raises Unavailable."""
    try:
        rate = await asyncio.to_thread(_measure, network, source, target)
    except OSError as error:
        raise Unavailable(
            f"nothing gets from {source} to {target}",
            details=(str(error),),
            fix="look at the network between the two hosts",
        ) from error
    network.carried[source, target] = (rate, time.monotonic())
    return rate


def recalled(network: Network, source: str, target: str) -> float:
    """Return what was measured not long ago, MiB/s; NaN when nothing was."""
    rate, at = network.carried.get((source, target), (math.nan, -math.inf))
    return rate if time.monotonic() - at <= _LATELY_S else math.nan


async def lately_carried(network: Network, source: str, target: str) -> float:
    """Return what was measured not long ago, or measure it; NaN when nothing gets across."""
    known = recalled(network, source, target)
    if not math.isnan(known):
        return known
    try:
        return await carried(network, source, target)
    except Unavailable:
        return math.nan


async def reaches(network: Network, source: str, target: str) -> bool:
    """Return whether a connection from one host to another can be made now, within a second."""
    try:
        ends = await asyncio.to_thread(_pair, network, source, target, _REACHED_S)
    except OSError:
        return False
    for end in ends:
        end.close()
    return True


def _measure(network: Network, source: str, target: str) -> float:
    ours, theirs = _pair(network, source, target)
    with ours, theirs:
        ours.settimeout(_PATIENCE_S)
        theirs.settimeout(_PATIENCE_S)
        pump = threading.Thread(target=_pump, args=(ours,), name=f"carried {source}", daemon=True)
        pump.start()
        try:
            return _arriving(theirs)
        finally:
            for end in (theirs, ours):
                with contextlib.suppress(OSError):  # the other end may have ended it
                    end.shutdown(socket.SHUT_RDWR)
            pump.join(_PATIENCE_S)


def _pair(
    network: Network, source: str, target: str, patience_s: float = _PATIENCE_S
) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection between two hosts. Raises OSError."""
    if not network.namespaces:
        return socket.socketpair()
    address = network.address(target)
    listen = _within(
        network.namespace(target), lambda: socket.create_server((address, 0), backlog=1)
    )
    with listen:
        listen.settimeout(patience_s)
        where = listen.getsockname()
        ours = _within(
            network.namespace(source), lambda: socket.create_connection(where, patience_s)
        )
        try:
            theirs, _ = listen.accept()
        except OSError:
            ours.close()
            raise
        return ours, theirs


def _within(namespace: str, make: Callable[[], socket.socket]) -> socket.socket:
    """Return a socket made in a network namespace, by a thread that goes there and ends."""
    made: Future[socket.socket] = Future()

    def work() -> None:
        try:
            _enter(namespace)
            made.set_result(make())
        except OSError as error:
            made.set_exception(error)

    threading.Thread(target=work, name=f"in {namespace}").start()
    return made.result()


def _enter(namespace: str) -> None:
    handle = os.open(_NAMESPACES / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, _NET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)


def _pump(sender: socket.socket) -> None:
    piece = bytes(_PIECE)
    with contextlib.suppress(OSError):  # the reader has seen enough
        while True:
            sender.sendall(piece)


def _arriving(receiver: socket.socket) -> float:
    """Return what arrives, MiB/s, once it flows. Raises OSError when nothing does."""
    room, counted = bytearray(_PIECE), 0
    began = counting_since = time.monotonic()
    warm = False
    while True:
        counted += receiver.recv_into(room)
        now = time.monotonic()
        if not warm and now - began >= _WARM_S:
            warm, counting_since, counted = True, now, 0
        elif warm and now - counting_since >= _COUNTED_S:
            return counted / _MIB / (now - counting_since)
