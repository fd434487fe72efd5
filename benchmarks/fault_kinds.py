# SPDX-License-Identifier: Apache-2.0
"""The faults that strike moves, each with how to bring it about and how to end it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from benchmarks.fault_pool import GUESTS, KEEPER, WRITER, FaultPool
from billow.engines.qemu.network import HOST_LINK
from billow.engines.qemu.pki import Papers
from billow.engines.qemu.process import process_id
from billow.engines.qemu.record import Role
from billow.errors import BillowError
from billow.model.kinds import MigrationPolicy

_WALL: Final = """
table inet drill {{
  chain from {{ type filter hook input priority -5; policy accept; iifname "{link}" drop; }}
  chain to {{ type filter hook output priority -5; policy accept; oifname "{link}" drop; }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A move that a fault strikes.

    Attributes:
        controller: The process that performs the move, when it is one of its own; else 0.
        chance: From 0 to 1, at random.
    """

    pool: FaultPool
    action_id: str
    guest: str
    source: str
    target: str
    controller: int = 0
    chance: float = 0.5


Deed: TypeAlias = Callable[[Scene], Awaitable[None]]


async def nothing(_: Scene) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A kind of fault.

    Attributes:
        strike: Brings it about, at a random instant of the move.
        prepare: What must be so before the move begins.
        heal: Ends it, after the move.
        apart: Whether a process of its own performs the move, for the fault to strike that.
        policy: How the guest is moved.
        later: Whether it strikes only once the guest runs on the target, its memory still coming.
        held: Whether it strikes only once vCPUs are held to limits.
        guests: Whose moves it strikes.
        ends: Whether the guest may end with its host, as whoever chose the policy was told; it must
            be reported as failed, and start again.
    """

    name: str
    strike: Deed = nothing
    prepare: Deed = nothing
    heal: Deed = nothing
    apart: bool = False
    policy: MigrationPolicy = MigrationPolicy.BALANCED
    later: bool = False
    held: bool = False
    guests: tuple[str, ...] = GUESTS
    ends: bool = False


def _hit(scene: Scene, how: signal.Signals) -> None:
    """Strike the target's process, unless the guest is at home there already.

    There is no wait in between: the controller in this process cannot write down meanwhile that the
    guest has moved. A guest that is killed at home is no fault of a move.
    """
    known = scene.pool.engine.ground.ledger.resident(scene.target, scene.guest)
    number = process_id(scene.pool.residence(scene.target, scene.guest))
    if known is not None and known.role is Role.TARGET and number is not None:
        os.kill(number, how)


async def _kill_target(scene: Scene) -> None:
    _hit(scene, signal.SIGKILL)


async def _stop_target(scene: Scene) -> None:
    _hit(scene, signal.SIGSTOP)


async def _kill_fetching_target(scene: Scene) -> None:
    """Kill the target while it still needs the source; later it is a home like any other."""
    number = process_id(scene.pool.residence(scene.target, scene.guest))
    source = scene.pool.engine.ground.ledger.resident(scene.source, scene.guest)
    if source is not None and number is not None:
        os.kill(number, signal.SIGKILL)


async def _kill_controller(scene: Scene) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may have done its work
        os.kill(scene.controller, signal.SIGKILL)


async def _part(scene: Scene) -> None:
    scene.pool.within(scene.target, "nft", _WALL.format(link=HOST_LINK))


async def _join(scene: Scene) -> None:
    scene.pool.within(scene.target, "nft", "delete table inet drill")


async def _kill_source(scene: Scene) -> None:
    """End the guest where it lives, as a host that dies does; not once it lives on the target."""
    known = scene.pool.engine.ground.ledger.resident(scene.source, scene.guest)
    number = process_id(scene.pool.residence(scene.source, scene.guest))
    if known is not None and known.role is not Role.TARGET and number is not None:
        os.kill(number, signal.SIGKILL)


async def _leave_no_room(scene: Scene) -> None:
    """Let the target's folder of the guest be a file system that is soon full.

    Its disk never fits, sometimes not even what is written down of the move.
    """
    folder = scene.pool.residence(scene.target, scene.guest).path
    size = f"size={16 + 2032 * scene.chance:.0f}k,mode=700"
    folder.mkdir(parents=True)
    await _run("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder))


async def _give_room(scene: Scene) -> None:
    """Take the small file system away; if something is left in it, let its folder be found."""
    folder = scene.pool.residence(scene.target, scene.guest).path
    clean = not any(folder.iterdir())
    await _run("umount", "--lazy", str(folder))
    if clean:
        folder.rmdir()


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, command


def _papers(change: Callable[[Papers, str, str, float], Path]) -> tuple[Deed, Deed]:
    """Return how to give the target's host other papers than it should have, and how to stop it."""
    usual = Papers.of

    async def spoil(scene: Scene) -> None:
        def of(papers: Papers, host: str, address: str, now: float) -> Path:
            give = change if host == scene.target else usual
            return give(papers, host, address, now)

        Papers.of = of  # type: ignore[assignment,method-assign]  # the way in

    async def heal(_: Scene) -> None:
        Papers.of = usual  # type: ignore[method-assign]

    return spoil, heal


_OF: Final = Papers.of
_MONTHS_S: Final = 200 * 86_400.0


def _stranger(papers: Papers, host: str, address: str, now: float) -> Path:
    """Let somebody sign whom the other host does not know."""
    return _OF(Papers(papers.folder / "stranger", papers.pool), host, address, now)


def _expired(papers: Papers, host: str, address: str, now: float) -> Path:
    """Return what was signed by the right authority, and has ended."""
    return _OF(papers, host, address, now - _MONTHS_S)


def _other(papers: Papers, _: str, address: str, now: float) -> Path:
    """Return what was signed for a host of another name."""
    return _OF(papers, "somebody", address, now)


async def _cancel(scene: Scene) -> None:
    with contextlib.suppress(BillowError):  # too late is no fault
        await scene.pool.engine.cancel(scene.action_id)


def _cut(seconds: float, *, silent: bool) -> Deed:
    """Return a cut of the network between two hosts: frames vanish, or the link goes down."""

    async def strike(scene: Scene) -> None:
        if silent:
            await _part(scene)
        else:
            scene.pool.within(scene.target, "ip", "link", "set", "dev", HOST_LINK, "down")
        await asyncio.sleep(seconds)
        if silent:
            await _join(scene)
        else:
            scene.pool.within(scene.target, "ip", "link", "set", "dev", HOST_LINK, "up")

    return strike


def faults() -> Iterator[Fault]:
    """Yield every kind of fault that can be brought about here."""
    yield Fault(name="target killed", strike=_kill_target)
    yield Fault(name="target stopped", strike=_stop_target)
    yield Fault(name="controller killed", strike=_kill_controller, apart=True)
    yield Fault(name="cancelled", strike=_cancel)
    for seconds in (1, 5, 30):
        for silent in (True, False):
            how = "silently" if silent else "with its link"
            name = f"network cut {how} for {seconds} s"
            yield Fault(name=name, strike=_cut(seconds, silent=silent))
    yield Fault(name="network away from the start", prepare=_part, heal=_join)
    yield Fault(name="source killed", strike=_kill_source, ends=True)
    yield Fault(
        name="disk full at the target",
        prepare=_leave_no_room,
        heal=_give_room,
        guests=(KEEPER,),
    )
    for name, change in (("unknown", _stranger), ("expired", _expired), ("of another", _other)):
        spoil, heal = _papers(change)
        yield Fault(name=f"TLS: certificate {name}", prepare=spoil, heal=heal)
    yield from _faults_of_held_vcpus()
    yield from _faults_of_post_copy()


def _faults_of_held_vcpus() -> Iterator[Fault]:
    """Yield what could leave the writer's limits behind: only it is ever held."""
    usual = Fault(name="while held: ", guests=(WRITER,), held=True)
    kinds = (
        replace(usual, name="target killed", strike=_kill_target),
        replace(usual, name="target stopped", strike=_stop_target),
        replace(usual, name="controller killed", strike=_kill_controller, apart=True),
        replace(usual, name="cancelled", strike=_cancel),
        replace(usual, name="network cut for 5 s", strike=_cut(5, silent=True)),
        replace(usual, name="source killed", strike=_kill_source, ends=True),
    )
    yield from (replace(each, name=usual.name + each.name) for each in kinds)


def _faults_of_post_copy() -> Iterator[Fault]:
    """Yield what strikes the writer; the other guests have nothing left to fetch under TCG."""
    usual = Fault(name="post-copy: ", policy=MigrationPolicy.POST_COPY, guests=(WRITER,))
    kinds = (
        replace(usual, name="network cut for 5 s", strike=_cut(5, silent=False), later=True),
        replace(usual, name="controller killed", strike=_kill_controller, apart=True),
        replace(
            usual,
            name="controller killed while it fetches",
            strike=_kill_controller,
            apart=True,
            later=True,
        ),
        replace(usual, name="target killed", strike=_kill_fetching_target, later=True, ends=True),
    )
    yield from (replace(each, name=usual.name + each.name) for each in kinds)
