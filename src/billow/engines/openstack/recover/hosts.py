# SPDX-License-Identifier: Apache-2.0
"""Hosts die and come back: power is the proof, and Nova is told after it, never before.

A host that Nova is told is dead gets nothing new and loses its guests to others. It counts again
only when its own nova-compute has cleared up what went elsewhere meanwhile.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

import structlog

from billow.act.registrar import NOT_CLEANED
from billow.engines.openstack.nova import Move
from billow.engines.openstack.recover.records import Service
from billow.engines.openstack.recover.scene import Scene, status_of
from billow.errors import NotFound, Refused, Unavailable
from billow.model.action import Fence, PowerOff, PowerOn
from billow.model.kinds import Power
from billow.model.run import Progress
from billow.ports import Blocker, Bmc

BOOT_S: Final = 900.0
"""How long a host may take from its power to a nova-compute that speaks."""
SPEAKS_S: Final = 60.0
"""How long one that a person turned on may take: some beats of it."""
LOOK_EVERY_S: Final = 1.0
CLEARED_WITHIN_S: Final = 30.0
RESTART: Final = "restart nova-compute there: it removes then what runs elsewhere by now"
log = structlog.get_logger()


async def power_blockers(scene: Scene, action: Fence | PowerOn | PowerOff) -> list[Blocker]:
    """Return why nothing can be proved of a host's power here."""
    found: list[Blocker] = []
    try:
        await scene.ward(action.host).service()
        if scene.bmc is not None or not isinstance(action, PowerOn):
            await _bmc(scene, action.host).power(action.host)
    except NotFound as error:
        found.append(Blocker(error.brief, error.fix))
    except Unavailable as error:
        found.append(Blocker(f"the power of {action.host} cannot be read: {error.brief}"))
    return found


async def unknown_blockers(scene: Scene, host: str) -> list[Blocker]:
    """Return that Nova knows no such host, when it does not."""
    try:
        await scene.records.service(host)
    except NotFound as error:
        return [Blocker(error.brief, error.fix)]
    return []


async def guest_blockers(scene: Scene, action: PowerOff, coming: Sequence[str]) -> list[Blocker]:
    """Return who keeps a host from being turned off: its guests, and what comes to it."""
    try:
        there = await scene.ward(action.host).guests()
    except NotFound as error:
        return [Blocker(error.brief, error.fix)]
    names = ", ".join([*(f"server {each}" for each in there), *coming][:3])
    fix = f"billow host drain {action.host}"
    return [Blocker(f"{action.host} is not empty: {names}", fix)] if names else []


async def mark_dead(scene: Scene, host: str, why: str) -> None:
    """Tell Nova that a host is dead. It must be proved. Raises NotFound, Unavailable."""
    if await scene.ward(host).force_down():
        log.info("Nova was told that a host is dead", host=host, why=why)


async def mark_alive(scene: Scene, host: str) -> None:
    """Let a host count again that is back and cleaned.

    Raises:
        Refused: it is not cleaned yet, or does not speak.
        NotFound: Nova knows no such host.
    """
    records = scene.records
    service = await records.service(host)
    if not service.forced:
        return
    began = scene.clock.now()
    while True:
        leaving = [each for each in await records.evacuations(host, 0.0) if _is_left(each)]
        if not leaving:
            try:
                await records.force(service, down=False)
            except Refused as error:
                if status_of(error) != 400:
                    raise
            else:
                scene.forget((host,))
                return
        if scene.clock.now() - began > CLEARED_WITHIN_S:
            guests = tuple(f"server {each.server}: {each.status}" for each in leaving[:10])
            brief = f"{host} has not cleared up what went elsewhere"
            raise Refused(brief, guests, RESTART, NOT_CLEANED)
        await scene.clock.sleep(LOOK_EVERY_S)


async def fence(scene: Scene, action: Fence | PowerOff) -> AsyncGenerator[Progress, None]:
    """Turn a host off with proof, then tell Nova."""
    yield Progress(0.0, "cutting the power" if isinstance(action, Fence) else "turning it off")
    proof = await _bmc(scene, action.host).off(action.host)
    yield Progress(0.8, "telling Nova")
    await mark_dead(scene, action.host, proof)
    yield Progress(1.0, "off", 0.0)


async def power_on(scene: Scene, action: PowerOn) -> AsyncGenerator[Progress, None]:
    """Turn a host on, wait for its nova-compute, and let it count when it is cleaned.

    Where nobody here can turn it on, a person has: its nova-compute speaks already, or soon.
    """
    yield Progress(0.0, "turning it on")
    before = await scene.records.service(action.host)
    if scene.bmc is not None:
        await scene.bmc.on(action.host)
    boot_s = BOOT_S if scene.bmc is not None else SPEAKS_S
    yield Progress(0.2, "booting", boot_s)
    await _until(scene, before, boot_s, lambda now: now.up or now.heard != before.heard)
    yield Progress(0.8, "clearing up")
    await mark_alive(scene, action.host)
    await _until(scene, before, boot_s, lambda now: now.up)
    scene.forget((action.host,))
    yield Progress(1.0, "on", 0.0)


async def went_off(scene: Scene, host: str) -> bool:
    """Return whether a host is off, and let Nova know of it where only that is left to do.

    Raises Unavailable: its power cannot be read.
    """
    if (await scene.records.service(host)).forced:
        return True
    if scene.bmc is None or await scene.bmc.power(host) is not Power.OFF:
        return False
    scene.forget((host,))
    await mark_dead(scene, host, "its power reads off")
    return True


async def is_on(scene: Scene, host: str) -> bool:
    """Return whether Nova counts on a host."""
    return (await scene.records.service(host)).up


async def _until(
    scene: Scene, before: Service, within_s: float, holds: Callable[[Service], bool]
) -> None:
    """Wait until something holds of a nova-compute. Raises Refused: it does not."""
    began = scene.clock.now()
    while not holds(await scene.records.service(before.host)):
        if scene.clock.now() - began > within_s:
            brief = f"the nova-compute of {before.host} says nothing"
            last = (f"it spoke last at {before.heard or 'no time'}",)
            raise Refused(brief, last, "turn it on by hand, and look at its console")
        await scene.clock.sleep(LOOK_EVERY_S)


def _is_left(record: Move) -> bool:
    """Return whether the host's own nova-compute has still to clear up after an evacuation."""
    return record.under_way or record.status == "done"


def _bmc(scene: Scene, host: str) -> Bmc:
    if scene.bmc is None:
        raise NotFound(
            f"nothing here can turn {host} off or on: no management controller is known",
            fix="name it in bmc.toml and add its engine: BILLOW_ENGINE=openstack+redfish; or, when "
            f"you know that nothing runs there: openstack compute service set --down {host} "
            "nova-compute",
        )
    return scene.bmc
