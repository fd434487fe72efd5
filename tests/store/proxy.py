# SPDX-License-Identifier: Apache-2.0
"""What stands between a store and its PostgreSQL server, and stops to forward without closing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.databases import name_in


class Proxy:
    """Forwards on TCP to a server's Unix socket; kernels acknowledge what it holds back."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._lines: set[asyncio.Task[None]] = set()
        self.asks, self.answers = asyncio.Event(), asyncio.Event()
        self.port = 0
        self.let_go()

    def hold(self) -> None:
        """Forward nothing from now on, as a server that is frozen."""
        self.asks.clear()
        self.answers.clear()

    def let_go(self) -> None:
        """Forward all that was held back, and what comes."""
        self.asks.set()
        self.answers.set()

    async def serve(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        far, into = await asyncio.open_unix_connection(self._socket)
        for line in (_pass(near, into, self.asks), _pass(far, out, self.answers)):
            task = asyncio.create_task(line)
            self._lines.add(task)
            task.add_done_callback(self._lines.discard)

    async def aclose(self) -> None:
        """Cut all connections."""
        for task in self._lines:
            task.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """Lend a proxy to the server of a URL, and the URL by which it is reached."""
    proxy = Proxy(Path(url.partition("?host=")[2]) / ".s.PGSQL.5432")
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    yield proxy, f"postgresql://billow@127.0.0.1:{proxy.port}/{name_in(url)}"
    server.close()
    await proxy.aclose()


async def _pass(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, open_: asyncio.Event
) -> None:
    try:
        while data := await source.read(65_536):
            await open_.wait()
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        pass  # one side is gone: so is the other
    finally:
        sink.close()
