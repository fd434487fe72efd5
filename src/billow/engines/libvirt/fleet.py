# SPDX-License-Identifier: Apache-2.0
"""The hosts of a pool and the connections to them, made when needed and made anew when broken."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from billow.engines.libvirt.address import Address
from billow.engines.libvirt.wire import Api, connect
from billow.errors import NotFound


class Fleet:
    """One lasting connection for each host, and more for what takes long."""

    def __init__(self, addresses: Sequence[Address], peer_uri: str) -> None:
        """Know the hosts; connect with none yet.

        Args:
            addresses: Where Billow finds them.
            peer_uri: Where they find each other, with `{host}` for a name; empty for the same.
        """
        self._addresses = {each.name: each for each in addresses}
        self._peer_uri = peer_uri
        self._open: dict[str, Api] = {}
        self._locks = {name: asyncio.Lock() for name in self._addresses}

    @property
    def names(self) -> list[str]:
        """The hosts' names, in the order given."""
        return list(self._addresses)

    async def api(self, host: str) -> Api:
        """Return a connection for quick calls. Raises NotFound, Unavailable."""
        if host not in self._addresses:
            raise NotFound(f"no libvirt host {host!a}", fix="billow host list shows them")
        async with self._locks[host]:
            api = self._open.get(host)
            if api is None or not api.alive:
                if api is not None:
                    await api.close()
                api = self._open[host] = await connect(self._addresses[host])
            return api

    @contextlib.asynccontextmanager
    async def own(self, host: str) -> AsyncIterator[Api]:
        """Open a connection for a call that takes long; a libvirtd takes few at one time of one."""
        api = await connect(self._addresses[host])
        try:
            yield api
        finally:
            await api.close()

    def distrust(self, host: str) -> None:
        """Make the connection to a host anew before the next call: it did not answer in time."""
        api = self._open.get(host)
        if api is not None:
            api.give_up()

    def peer(self, host: str) -> str:
        """Return the URI under which other hosts find this one."""
        address = self._addresses[host]
        return self._peer_uri.replace("{host}", host) if self._peer_uri else address.uri

    def unreachable(self, host: str) -> str:
        """Return why other hosts cannot find this one; empty when they can."""
        if self._peer_uri or self._addresses[host].transport != "unix":
            return ""
        return f"other hosts cannot reach {host}: Billow knows it by a socket of its own machine"

    async def close(self) -> None:
        """Hang up."""
        await asyncio.gather(*(api.close() for api in self._open.values()))
        self._open.clear()
