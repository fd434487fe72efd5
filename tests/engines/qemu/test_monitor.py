# SPDX-License-Identifier: Apache-2.0
"""Conversations with a QEMU that somebody else spoke to a moment ago."""

import asyncio
import json
from itertools import count
from pathlib import Path

import pytest

from billow.engines.qemu.monitor import talk
from billow.errors import Unavailable

pytestmark = pytest.mark.anyio

GREETING = '{"QMP": {"version": {}, "capabilities": []}}'
LATE = '{"error": {"class": "GenericError", "desc": "no such object"}, "id": "of somebody else"}'
DONE = '{"return": {}}'
CHUNK = 1 << 16
"""A client ends no line: what it sends is whole when it comes."""


async def test_what_was_meant_for_who_spoke_before_is_passed_by(tmp_path: Path) -> None:
    calls = count()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        late = next(calls) == 0
        writer.write(_line(GREETING))
        await reader.read(CHUNK)
        writer.write(_line(LATE if late else DONE))
        while asked := await reader.read(CHUNK):
            told = {"return": {"status": "running"}, "id": json.loads(asked)["id"]}
            writer.write(_line(json.dumps(told)))
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "qmp"):
        async with talk(tmp_path / "qmp", timeout_s=20) as monitor:
            assert await monitor.status() == "running"
        assert next(calls) == 2


async def test_nobody_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        async with talk(tmp_path / "qmp", timeout_s=20):
            raise AssertionError("nobody listens there")


def _line(message: str) -> bytes:
    return message.encode() + b"\r\n"
