# SPDX-License-Identifier: Apache-2.0
"""Streams stay alive, pass on what comes, and let go when the client does."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from billow.api.stream import PING, kept_alive


async def slow(*events: bytes, pause_s: float = 0.0) -> AsyncIterator[bytes]:
    for event in events:
        await asyncio.sleep(pause_s)
        yield event


def test_a_silent_stream_is_kept_alive() -> None:
    async def collect() -> list[bytes]:
        return [each async for each in kept_alive(slow(b"a", b"b", pause_s=0.05), every_s=0.01)]

    got = asyncio.run(collect())
    assert [each for each in got if each != PING] == [b"a", b"b"]
    assert got.count(PING) >= 2


def test_a_busy_stream_is_passed_on_as_it_is() -> None:
    async def collect() -> list[bytes]:
        return [each async for each in kept_alive(slow(b"a", b"b", b"c"))]

    assert asyncio.run(collect()) == [b"a", b"b", b"c"]


def test_an_abandoned_stream_lets_its_source_go() -> None:
    ended = False

    async def endless() -> AsyncIterator[bytes]:
        nonlocal ended
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            ended = True

    async def leave() -> None:
        stream = kept_alive(endless(), every_s=0.01)
        assert await anext(stream) == b"first"
        assert await anext(stream) == PING
        await stream.aclose()

    asyncio.run(leave())
    assert ended


def test_an_error_of_the_source_comes_through() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"first"
        raise OSError("gone")

    async def collect() -> None:
        async for _ in kept_alive(broken()):
            pass

    with pytest.raises(OSError, match="gone"):
        asyncio.run(collect())
