# SPDX-License-Identifier: Apache-2.0
"""Instances with disks of their host's own, written to as their guests would, and looked at."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.engines.qemu.world import QemuStand, processes_of

from billow.engines.qemu.migration.mirror import THERE
from billow.engines.qemu.monitor import Monitor, talk
from billow.model.action import Stop
from billow.model.instance import Instance
from billow.model.kinds import State, Storage
from billow.testing.stand import do, migrate

DEVICE = "/machine/peripheral/disk-device/virtio-backend"
"""What a guest writes through; the monitor can do it in the guest's place."""
MIB = 2**20


@dataclass(frozen=True)
class Written:
    """A part of a disk, in MiB, and the byte that it was filled with."""

    at: float
    length: float
    byte: int

    @property
    def words(self) -> str:
        return f"-P {self.byte} {self.at * MIB:.0f} {self.length * MIB:.0f}"


SOME = (Written(0, 3, 7), Written(100, 1, 9), Written(700, 12, 5))


class OwningStand(QemuStand):
    """Its instances have disks of their host's own, which the firmware guest never looks at."""

    def instance(self, name: str, *, immovable: str = "") -> Instance:
        return replace(super().instance(name, immovable=immovable), disk=Storage.OWN)

    def disk(self, host: str, name: str = "x") -> Path:
        return self.folder.residence(host, name).disk


async def write(monitor: Monitor, *parts: Written) -> None:
    """Write to a disk as its guest would, and see that it is safe there."""
    for command in (*(f"write {part.words}" for part in parts), "flush"):
        line = f'qemu-io -d {DEVICE} "{command}"'
        said = str(await monitor.execute("human-monitor-command", {"command-line": line}))
        assert not re.search("error|failed", said, re.IGNORECASE), said


async def fill(stand: OwningStand, *parts: Written) -> None:
    """Write to the disk of `x` on the first host."""
    async with talk(stand.folder.residence(stand.first, "x").socket) as monitor:
        await write(monitor, *parts)


async def write_at_rest(disk: Path, *parts: Written) -> None:
    """Write to a disk that nobody uses."""
    await _qemu_io("-f", "qcow2", *_commands("write", parts), str(disk))


async def check_holds(disk: Path, parts: Iterable[Written]) -> None:
    """Check that a disk holds what was written to it; its process may be there, but idle."""
    answer = await _qemu_io("-r", "-U", "-f", "qcow2", *_commands("read", parts), str(disk))
    assert "verification failed" not in answer, answer


def _commands(verb: str, parts: Iterable[Written]) -> list[str]:
    return [word for part in parts for word in ("-c", f"{verb} {part.words}")]


async def _qemu_io(*words: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("qemu-io", *words, stdout=pipe, stderr=pipe)
    answer, said = await process.communicate()
    assert process.returncode == 0, (answer, said)
    return answer.decode()


async def check_moved(stand: OwningStand, *parts: Written) -> None:
    """Check that `x` runs on the second host with its disk, and that nothing is left behind."""
    engine = await stand.open()
    there = (await engine.sense()).instance("x")
    assert (there.host, there.state) == (stand.second, State.RUNNING)
    assert not stand.folder.residence(stand.first, "x").path.exists()
    await do(engine, Stop(id="stop", instance="x", host=stand.second, grace_s=0.0))
    await check_holds(stand.disk(stand.second), parts)
    await engine.aclose()


async def check_at_home(stand: OwningStand, *parts: Written, again: bool = False) -> None:
    """Check that `x` runs on the first host, writes its disk there, and that nothing is left.

    With `again`, it is moved after all.
    """
    engine = await stand.open()
    await engine.find("migrate-x")
    there = (await engine.sense()).instance("x")
    assert (there.host, there.state) == (stand.first, State.RUNNING)
    assert not stand.folder.residence(stand.second, "x").path.exists()
    assert len(processes_of(stand.folder.root)) == 1
    more = Written(500, 1, 77)
    async with talk(stand.folder.residence(stand.first, "x").socket) as monitor:
        assert await monitor.status() == "running"
        assert await monitor.execute("query-block-jobs") == []
        nodes = await monitor.execute("query-named-block-nodes", {"flat": True})
        assert isinstance(nodes, list)
        assert THERE not in [node["node-name"] for node in nodes]
        await write(monitor, more)
    if again:
        await do(engine, replace(migrate(stand, "x"), id="again"))
    else:
        await check_holds(stand.disk(stand.first), [*parts, more])
    await engine.aclose()
    if again:
        await check_moved(stand, *parts, more)
