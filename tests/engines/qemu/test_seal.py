# SPDX-License-Identifier: Apache-2.0
"""Moves that are encrypted: both ends are checked, and one that is not who it must be gets nothing.

All with real QEMU processes in two network namespaces.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.qemu.world import QemuStand, boot_with

from billow.act.terms import Terms
from billow.engines.qemu.engine import QemuEngine
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.migration import seal
from billow.engines.qemu.migration.order import FETCHING, WAITING
from billow.engines.qemu.monitor import Arguments, Monitor, talk
from billow.engines.qemu.pki import Papers
from billow.engines.qemu.process import alive
from billow.errors import Refused
from billow.firmware.control import FIRST_FREE, Orders, Role
from billow.model.kinds import MigrationPolicy, State
from billow.testing.stand import do, migrate

pytestmark = [pytest.mark.qemu, pytest.mark.anyio]
DAY_S = 86_400.0
WORK = [Orders(role=Role.WRITER, base=FIRST_FREE, pages=1024, period_ns=10**8, fill=True)]
BUSY = [Orders(role=Role.WRITER, base=FIRST_FREE, pages=20 * 256, fill=True)]
SLOW = "rate 80mbit burst 64k latency 20ms"
Issue = Callable[[Ground, str], Awaitable[Path]]


@pytest.fixture
async def engine(stand: QemuStand) -> AsyncIterator[QemuEngine]:
    """Return an engine with an instance `x` on the first host."""
    if not stand.findings.namespaces:
        pytest.skip("hosts have no network of their own here: nothing is encrypted")
    engine = await stand.open()
    await boot_with(stand, engine, WORK)
    yield engine
    await engine.aclose()


def shows(host: str, folder: str = "pki", name: str = "", age_s: float = 0.0) -> Issue:
    """Let a host show papers of another authority, name or age; all others show their own."""
    honest = seal._papers

    async def papers(ground: Ground, asked: str) -> Path:
        if asked != host:
            return await honest(ground, asked)
        place = Papers(ground.ledger.folder.root / folder, ground.network.tag)
        address = ground.network.address(host) if not name else "10.77.0.9"
        return place.of(name or host, address, time.time() - age_s)

    return papers


@pytest.mark.parametrize(
    ("papers", "said"),
    [
        (shows("h2", folder="other"), "known issuer"),
        (shows("h1", folder="other"), "known issuer"),
        (shows("h2", name="h9"), "does not match the hostname h2"),
        (shows("h1", name="h9"), "CN=h9 is denied"),
        (shows("h2", age_s=100 * DAY_S, folder="old"), "has expired"),
    ],
    ids=["target-unknown", "source-unknown", "target-misnamed", "source-misnamed", "expired"],
)
async def test_who_shows_the_wrong_papers_gets_nothing(
    stand: QemuStand,
    engine: QemuEngine,
    monkeypatch: pytest.MonkeyPatch,
    papers: Issue,
    said: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(seal, "_papers", papers)
        with pytest.raises(Refused) as refusal:
            await do(engine, migrate(stand, "x"))
    assert refusal.value.code == "tls-failed"
    assert said in "\n".join(refusal.value.details)
    pool = await engine.sense()
    assert (pool.instance("x").host, pool.instance("x").state) == (stand.first, State.RUNNING)
    assert not alive(stand.folder.residence(stand.second, "x"))
    assert await left(stand, stand.first) == ("", False)


async def test_nothing_of_a_guest_crosses_in_the_clear(
    stand: QemuStand, engine: QemuEngine
) -> None:
    """What a move in the clear shows to anybody on the wire, an encrypted one does not."""
    sealed = await heard(engine, stand, Terms())
    clear = await heard(engine, stand, Terms(encrypted=False))
    assert b"QEVM" in clear
    assert b"pc.ram" in clear
    assert b"pc.ram" not in sealed
    assert len(sealed) > 2**20


async def heard(engine: QemuEngine, stand: QemuStand, terms: Terms) -> bytes:
    """Move `x` to the other host under terms; return what the wire carried."""
    home = (await engine.sense()).instance("x").host
    there = stand.second if home == stand.first else stand.first
    mover = await stand.open_under(terms)
    ear = Ear(engine.ground.network.namespace(there))
    async with ear:
        await do(mover, replace(migrate(stand, "x"), id=f"to-{there}", source=home, target=there))
    await mover.aclose()
    return ear.heard


class Ear:
    """Hears everything on a host's link, as anybody on the same wire could."""

    def __init__(self, namespace: str) -> None:
        self.heard = b""
        self._namespace = namespace

    async def __aenter__(self) -> None:
        enter = ("nsenter", f"--net=/run/netns/{self._namespace}")
        self._process = await asyncio.create_subprocess_exec(
            *(*enter, sys.executable, "-c", EAR), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert await self._process.stdout.readline() == b"listening\n"
        self._reader = asyncio.create_task(self._process.stdout.read())

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        self.heard = await self._reader
        await self._process.wait()


EAR = """
import socket, sys
ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
ear.bind(("hosts0", 0))
ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
out = sys.stdout.buffer
out.write(b"listening\\n")
out.flush()
while True:
    out.write(ear.recv(65536))
    out.flush()
"""


async def test_nothing_is_left_in_the_processes(stand: QemuStand, engine: QemuEngine) -> None:
    residence = stand.folder.residence(stand.first, "x")
    async with talk(residence.socket) as monitor:  # what a controller left that was killed
        papers = await seal._papers(engine.ground, stand.first)
        await seal._add_credentials(monitor, papers, "client")
        await monitor.execute("migrate-set-parameters", {"tls-creds": "billow-tls"})
    await do(engine, migrate(stand, "x"))
    assert await left(stand, stand.second) == ("", False)


async def left(stand: QemuStand, host: str) -> tuple[str, bool]:
    """Return what the process on a host would encrypt with, and whether it has objects for it."""
    async with talk(stand.folder.residence(host, "x").socket) as monitor:
        objects = await monitor.execute("qom-list", {"path": "/objects"})
        parameters = await monitor.mapping("query-migrate-parameters")
    return str(parameters.get("tls-creds")), "billow-tls" in str(objects)


async def test_without_tls_nothing_is_sent_in_the_clear_instead(
    stand: QemuStand, engine: QemuEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Monitor.execute

    async def execute(
        self: Monitor,
        command: str,
        arguments: Arguments | None = None,
        *,
        timeout_s: float = 30.0,
        at_once: bool = False,
    ) -> object:
        if command == "object-add" and "tls" in str(arguments):
            why = "TLS credentials support requires GNUTLS"  # QEMU's words when built without
            raise Refused("QEMU refused object-add", details=(why,))
        return await honest(self, command, arguments, timeout_s=timeout_s, at_once=at_once)

    monkeypatch.setattr(Monitor, "execute", execute)
    with pytest.raises(Refused) as refusal:
        await do(engine, migrate(stand, "x"))
    assert refusal.value.code == "no-tls"
    assert "migration_tls" in refusal.value.fix
    assert (await engine.sense()).instance("x").host == stand.first


async def test_how_it_stands_is_told(stand: QemuStand, engine: QemuEngine) -> None:
    known = {fact.key: fact.value for fact in (await engine.sense()).facts}
    assert known["live moves between hosts"].startswith("encrypted with TLS")
    open_to_all = replace(engine.ground, terms=Terms(encrypted=False))
    assert "migration_tls" in seal.standing(open_to_all)
    unable = replace(engine.ground, findings=replace(stand.findings, tls=False))
    assert seal.standing(unable).startswith("refused")


@pytest.mark.thorough
async def test_a_post_copy_move_whose_network_broke_goes_on_encrypted(
    stand: QemuStand, engine: QemuEngine
) -> None:
    """Both ends are joined anew, with the certificates that they have."""
    await boot_with(stand, engine, BUSY, name="y")
    network = engine.ground.network
    await within(network.namespace(stand.first), f"tc qdisc add dev hosts0 root tbf {SLOW}")
    order = replace(migrate(stand, "y"), policy=MigrationPolicy.POST_COPY)
    told = []
    async for progress in engine.perform(order, fence=1):
        if progress.phase not in told:
            told.append(progress.phase)
            if progress.phase == FETCHING:
                await within(network.namespace(stand.second), "ip link set dev hosts0 down")
            if progress.phase == WAITING:
                await within(network.namespace(stand.second), "ip link set dev hosts0 up")
    assert WAITING in told
    pool = await engine.sense()
    assert (pool.instance("y").host, pool.instance("y").state) == (stand.second, State.RUNNING)


async def within(namespace: str, line: str) -> None:
    """Run a command in a network namespace."""
    enter = ("nsenter", f"--net=/run/netns/{namespace}")
    process = await asyncio.create_subprocess_exec(*enter, *line.split())
    assert await process.wait() == 0
