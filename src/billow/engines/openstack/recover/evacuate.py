# SPDX-License-Identifier: Apache-2.0
"""A guest of a dead host gets another home through Nova, once, and is as it was before.

Whether the host is dead is decided elsewhere; here is the second opinion: while Nova hears the
host's nova-compute, nothing of it starts elsewhere. An order whose answer was lost is found in
Nova's records, never sent twice; of two that came in one moment, Nova lets one through.
"""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from billow.engines.openstack.nova import Move, Seen
from billow.engines.openstack.outcome import failure, told
from billow.engines.openstack.patience import looks, order, steadfast
from billow.engines.openstack.recover.scene import Scene, status_of
from billow.engines.openstack.recover.ward import Ward
from billow.errors import Conflict, NotFound, Refused, Unavailable
from billow.model.evacuate import Evacuate
from billow.model.kinds import Kind, Storage
from billow.model.pool import Pool
from billow.model.run import Progress
from billow.ports import Blocker

STALLED_S: Final = 120.0
"""An order that no conductor begins in so long, while one is up, is taken back."""
SETTLED_S: Final = 300.0
"""How long a guest may take to become as it was, once it has arrived."""
HEALTH_EVERY_S: Final = 5.0
STUCK_S: Final = 10.0
"""How long an arrived guest may be called rebuilding, or wait for a second order to fail."""
_EVACUABLE: Final = frozenset({"ACTIVE", "SHUTOFF", "ERROR"})
_NO_SUCH_VERSION: Final = 406


@dataclass(frozen=True, slots=True)
class _Leaving:
    """One guest on its way out.

    Attributes:
        ran: Whether it is to run at its new home.
        before: Number of its latest evacuation before this one.
    """

    action: Evacuate
    ward: Ward
    guest: Seen
    ran: bool
    before: int

    @property
    def uuid(self) -> str:
        """Return its server's id."""
        return self.guest.uuid


async def blockers(scene: Scene, action: Evacuate, pool: Pool | None) -> list[Blocker]:
    """Return why a guest may still run where it was, or cannot go where it shall."""
    found = _of_pool(action, pool) if pool is not None else []
    if found:
        return found
    if late := scene.tries.too_late(action):
        return [Blocker(late, "ask what became of the newer one")]
    try:
        service = await scene.ward(action.source).service()
    except NotFound as error:
        return [Blocker(error.brief, error.fix)]
    if service.up:
        why = f"Nova hears the nova-compute of {action.source}: {action.instance} would run twice"
        return [Blocker(why, f"billow host fence {action.source}")]
    return []


def _of_pool(action: Evacuate, pool: Pool) -> list[Blocker]:
    """Return what the last look at the pool rules out."""
    return _of_source(action, pool) or _of_target(action, pool)


def _of_source(action: Evacuate, pool: Pool) -> list[Blocker]:
    if action.instance not in pool.instances.row:
        return [Blocker(f"there is no instance {action.instance}")]
    instance = pool.instance(action.instance)
    if instance.host != action.source:
        return [Blocker(f"{action.instance} is on {instance.host or 'no host'}, not there")]
    if instance.kind is not Kind.VM:
        why = f"{action.instance} is a {instance.kind}: Nova's driver for Ironic evacuates nothing"
        return [Blocker(why, f"repair {action.source}, or deploy it anew on another machine")]
    if instance.disk is Storage.OWN:
        why = f"the disk of {action.instance} is on {action.source} itself: Nova would begin anew"
        return [Blocker(why, f"bring {action.source} back, or restore it from a copy")]
    return []


def _of_target(action: Evacuate, pool: Pool) -> list[Blocker]:
    if action.target not in pool.hosts.row or action.target == action.source:
        return [Blocker(f"{action.target} is no other host", "choose one of billow host list")]
    target = pool.host(action.target)
    if not target.schedulable:
        state = target.cordon or f"power {target.power}, health {target.health}"
        return [Blocker(f"{action.target} takes nothing new: {state}", "choose another host")]
    wanted, nodes = pool.instance(action.instance).shape.numa_nodes, action.target_nodes
    if len(nodes) not in {0, wanted} or any(each >= len(target.nodes) for each in nodes):
        return [Blocker(f"{action.target} has no NUMA nodes {list(nodes)} for it")]
    return []


async def evacuate(scene: Scene, action: Evacuate) -> AsyncGenerator[Progress, None]:
    """Give a guest its new home.

    Raises:
        Refused: it did not get there, and why.
        Unavailable: Nova does not answer.
    """
    yield Progress(0.0, "asking Nova")
    leaving = await _leaving(scene, action)
    await scene.tries.remember(action)
    await leaving.ward.force_down()
    try:
        await _order(scene, leaving)
        yield Progress(0.2, "rebuilding")
        await _arrived(scene, leaving)
    finally:
        leaving.ward.forget()
    yield Progress(0.9, "settling")
    await _settle(scene, leaving)
    yield Progress(1.0, "running" if leaving.ran else "stopped", 0.0)


async def mend(scene: Scene, action: Evacuate) -> bool:
    """Bring an evacuation to its end that somebody left; return whether the guest arrived.

    One that failed waits where it was for another home, as before.

    Raises:
        BillowError: it cannot be said yet; try again.
    """
    uuid = await scene.server(action.instance)
    guest = await _seen(scene, uuid) if uuid else None
    if guest is None:
        return False
    leaving = _Leaving(action, scene.ward(action.source), guest, guest.ran, 0)
    if guest.host == action.source and guest.task.startswith("rebuild"):
        with contextlib.suppress(Refused):
            await _arrived(scene, leaving)
        guest = await _seen(scene, uuid)
    if guest is not None and guest.host == action.target:
        await _settle(scene, leaving)
        return True
    if guest is not None and guest.host == action.source and guest.status == "ERROR":
        await order(lambda: scene.records.reset(uuid), lambda: _rests(scene, uuid))
        leaving.ward.forget()
    return False


async def _leaving(scene: Scene, action: Evacuate) -> _Leaving:
    """Look who leaves. Raises Refused: it is not there, or its host is heard."""
    ward = scene.ward(action.source)
    uuid = await scene.server(action.instance)
    guest = await ward.guest(uuid) if uuid else None
    if guest is None:
        brief = f"there is no instance {action.instance} on {action.source}"
        raise Refused(brief, code="not-there")
    if (await ward.service()).up:
        why = f"Nova hears the nova-compute of {action.source}"
        raise Refused(f"{why}: {action.instance} would run twice", code="blocked")
    before = await ward.latest(uuid)
    if guest.task.startswith("rebuild"):
        before -= 1  # the one that is under way is it
    return _Leaving(action, ward, guest, guest.ran, before)


async def _order(scene: Scene, leaving: _Leaving) -> None:
    """Let Nova take the order: one call where nothing goes wrong. Raises Refused."""
    if leaving.guest.task.startswith("rebuild"):
        return
    try:
        async with leaving.ward.ordering():
            await order(lambda: _send(scene, leaving), lambda: _taken(scene, leaving))
    except (Conflict, Refused) as error:
        brief = f"Nova does not evacuate {leaving.action.instance}"
        raise told(brief, (*reversed(error.details), error.brief)) from error


async def _send(scene: Scene, leaving: _Leaving) -> None:
    """Order it; what must be out of the way for that is first. Raises as `Cloud.call`."""
    records, guest, target = scene.records, leaving.guest, leaving.action.target
    stays = not leaving.ran and guest.status != "SHUTOFF"
    if guest.task or guest.status not in _EVACUABLE or stays:
        await records.reset(guest.uuid)
    try:
        await records.evacuate(guest.uuid, target, stays_stopped=stays)
    except Refused as error:
        if status_of(error) == _NO_SUCH_VERSION and stays:
            await records.evacuate(guest.uuid, target, stays_stopped=False)
        elif "still in use" in str(error):  # it was told lately; not every part knows it yet
            raise Conflict(error.brief, error.details, error.fix, error.code) from error
        else:
            raise


async def _taken(scene: Scene, leaving: _Leaving) -> bool:
    """Return whether Nova has an evacuation of the guest that was not there before."""
    found = await scene.records.evacuations_of(leaving.uuid)
    return any(each.number > leaving.before for each in found)


async def _arrived(scene: Scene, leaving: _Leaving) -> None:
    """Wait until Nova says that the guest is at its new home. Raises Refused."""
    goes_on = scene.clock.now()
    async for _ in looks():
        record = await steadfast(lambda: leaving.ward.evacuation(leaving.uuid, leaving.before))
        if record is not None and not record.under_way:
            if record.arrived:
                return
            raise await _failure(scene, leaving, f"Nova's record says {record.status}")
        waited_s = scene.clock.now() - goes_on
        if waited_s > STALLED_S:
            raise await _failure(scene, leaving, f"nobody took it up for {waited_s:.0f} s")
        if waited_s > HEALTH_EVERY_S:
            if await _is_there(scene, leaving):
                return
            if await _goes_on(scene, leaving, record):
                goes_on = scene.clock.now()


async def _is_there(scene: Scene, leaving: _Leaving) -> bool:
    """Return whether Nova has the guest at its new home, whatever a record says.

    Its compute writes that when all is done; the record of an order that failed on meeting another
    may stay as it was accepted.
    """
    guest = await _seen(scene, leaving.uuid)
    return guest is not None and guest.host == leaving.action.target


async def _goes_on(scene: Scene, leaving: _Leaving, record: Move | None) -> bool:
    """Return whether there is nothing to do but to wait. Raises Refused: it came to an end.

    What no conductor could take up yet may be taken up; what a host took up goes on while it lives.
    """
    if record is None or record.status == "accepted":
        return not await steadfast(scene.records.conducted)
    if (await steadfast(lambda: scene.records.service(record.target))).forced:
        raise await _failure(scene, leaving, f"{record.target} is dead, too")
    return True


async def _failure(scene: Scene, leaving: _Leaving, why: str) -> Refused:
    """Return why an evacuation failed, as Nova's records say."""
    brief = f"Nova did not evacuate {leaving.action.instance} to {leaving.action.target}"
    seen = await steadfast(lambda: scene.nova.server(leaving.uuid))
    if seen is None:
        return Refused(f"{brief}: it is gone", (why,), code="not-there")
    found = await failure(scene.nova, brief, seen, "evacuate")
    return Refused(found.brief, (*found.details, why), found.fix, found.code)


async def _settle(scene: Scene, leaving: _Leaving) -> None:
    """Let a guest that arrived become as it was. Raises Refused: it does not, or is elsewhere."""
    uuid, target = leaving.uuid, leaving.action.target
    contested = leaving.ward.contested(uuid, leaving.before)
    began, ordered, woken = scene.clock.now(), False, False
    async for _ in looks():
        guest = await _seen(scene, uuid)
        waited_s = scene.clock.now() - began
        if guest is None or guest.host not in {target, leaving.action.source}:
            where = guest.host if guest else "no host"
            raise Refused(
                f"{leaving.action.instance} is {where}, not on {target}", code="elsewhere"
            )
        if guest.host == target and not guest.task:
            if guest.status == "ERROR" and not woken:
                await _wake(scene, leaving)
                contested, woken = False, True
                continue
            if contested and waited_s <= STUCK_S:
                continue  # the order that fails has yet to leave its mark
            if guest.ran == leaving.ran or guest.status == "ERROR":
                return
            if not ordered:
                send = scene.records.start if leaving.ran else scene.records.stop
                await order(lambda send=send: send(uuid), lambda: _rests(scene, uuid))  # type: ignore[misc]
                ordered = True
        if waited_s > STUCK_S and guest.task.startswith("rebuild"):
            await _wake(scene, leaving)
        if waited_s > SETTLED_S:
            wanted = "running" if leaving.ran else "stopped"
            brief = f"{leaving.action.instance} is on {target}, and does not become {wanted}"
            raise Refused(brief, (f"Nova says {guest.status} {guest.task}",), code="not-settled")


async def _wake(scene: Scene, leaving: _Leaving) -> None:
    """Let a guest that arrived count as active, unless it is on its way to yet another home.

    Of two orders of one moment the one that fails leaves its task behind, or the server in error;
    perhaps its record is open, too.
    """
    records = await steadfast(lambda: scene.records.evacuations_of(leaving.uuid))
    if not any(each.under_way and each.source != leaving.action.source for each in records):
        with contextlib.suppress(NotFound, Conflict, Unavailable):
            await scene.records.reset(leaving.uuid)


async def _seen(scene: Scene, uuid: str) -> Seen | None:
    return await steadfast(lambda: scene.records.guest(uuid))


async def _rests(scene: Scene, uuid: str) -> bool:
    guest = await _seen(scene, uuid)
    return guest is not None and not guest.task
