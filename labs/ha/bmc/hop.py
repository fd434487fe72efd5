# SPDX-License-Identifier: Apache-2.0
"""A host that bridges to the out-of-band network: SOCKS 5 and HTTP CONNECT on one port.

`python -m labs.ha.bmc.hop 10.0.0.7 1080`, where the network is reached; then `proxies =
["socks5://10.0.0.7:1080"]` or `["http://10.0.0.7:1080"]` in `bmc.toml`.
"""

import asyncio
import contextlib
import ipaddress
import sys
from asyncio import StreamReader, StreamWriter

_SOCKS, _NO_NAME, _CONNECT = 5, 0, 1
_IPV4, _NAME, _IPV6 = 1, 3, 4


async def serve(host: str, port: int) -> asyncio.Server:
    """Listen; return the server."""
    return await asyncio.start_server(_bridge, host, port)


async def _bridge(near: StreamReader, back: StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
        first = await near.readexactly(1)
        place, yes = await (_socks(near, back) if first[0] == _SOCKS else _http(near))
        far, onward = await asyncio.open_connection(*place)
        back.write(yes)
        await asyncio.gather(_flow(near, onward), _flow(far, back))
    back.close()


async def _socks(near: StreamReader, back: StreamWriter) -> tuple[tuple[str, int], bytes]:
    ways = await near.readexactly(1)
    await near.readexactly(ways[0])
    back.write(bytes([_SOCKS, _NO_NAME]))
    _, _, _, kind = await near.readexactly(4)
    if kind == _NAME:
        length = await near.readexactly(1)
        host = (await near.readexactly(length[0])).decode()
    else:
        host = str(ipaddress.ip_address(await near.readexactly({_IPV4: 4, _IPV6: 16}[kind])))
    port = int.from_bytes(await near.readexactly(2), "big")
    return (host, port), bytes([_SOCKS, 0, 0, _IPV4, 0, 0, 0, 0, 0, 0])


async def _http(near: StreamReader) -> tuple[tuple[str, int], bytes]:
    head = (await near.readuntil(b"\r\n\r\n")).decode()
    host, _, port = head.split()[1].rpartition(":")
    return (host.strip("[]"), int(port)), b"HTTP/1.1 200 Connection established\r\n\r\n"


async def _flow(near: StreamReader, onward: StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await near.read(65536):
            onward.write(data)
            await onward.drain()
    onward.close()


async def _main(host: str, port: int) -> None:
    await (await serve(host, port)).serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
