# SPDX-License-Identifier: Apache-2.0
"""Make a server, once: it bears the id of the action that made it, so that it is found again."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

from billow.engines.openstack.nova import Nova, Seen
from billow.engines.openstack.outcome import failure, refused
from billow.engines.openstack.patience import looks, order, steadfast
from billow.errors import BillowError, Bug, Lost, Refused, Unavailable
from billow.model.action import Place
from billow.model.group import Group
from billow.model.instance import Instance
from billow.model.kinds import Scope
from billow.model.run import Progress

BUILD_S: Final = 900.0
"""How long Nova may take to build a server, seconds; images are copied meanwhile."""
LATE_S: Final = 2.0
"""How long an order on its way may take to show, seconds."""
GONE_S: Final = 120.0
RELEASED_S: Final = 15.0
LONGEST_VALUE: Final = 255
_REACHED: Final = {"scheduling": 0.1, "": 0.2, "networking": 0.3, "block_device_mapping": 0.4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An order for a server, in Nova's terms.

    Attributes:
        flavor: Its id.
        network: `auto`, `none`, or the name or id of one.
    """

    action: Place
    flavor: str
    network: str

    @property
    def name(self) -> str:
        """How the server is called."""
        return self.action.instance.id


async def place(nova: Nova, wanted: Wanted) -> AsyncGenerator[Progress, None]:
    """Make a server on a host; yield how far it is.

    Raises:
        BillowError: it did not work; `take_back` puts things right.
    """
    yield Progress(0.0, "ordering")
    action = wanted.action
    made = await steadfast(lambda: nova.made_by(action.id, wanted.name))
    if not made:
        await _order(nova, wanted)
        made = await _found(nova, wanted)
    async for waited in looks():
        seen = await steadfast(lambda: nova.server(made[0].uuid))
        if seen is None:
            raise Refused(f"server {wanted.name} was deleted while it was built", code="gone")
        if seen.status == "ERROR":
            raise await failure(nova, f"server {wanted.name} could not be built", seen, "create")
        if seen.status != "BUILD" and seen.rests:
            break
        if waited > BUILD_S:
            raise Refused(f"Nova did not build {wanted.name} within {BUILD_S:.0f} s", code="slow")
        yield Progress(_REACHED.get(seen.task, 0.6), seen.task or "building")
    else:
        raise Bug("looking came to an end")
    if seen.host != action.host:
        raise Refused(f"Nova put {wanted.name} on {seen.host}, not {action.host}", code="elsewhere")
    for stray in made[1:]:
        await remove(nova, stray.uuid)
    yield Progress(1.0, "running", 0.0)


async def take_back(nova: Nova, action: Place) -> None:
    """Remove what a placement made and did not finish; what runs where it shall stays.

    Raises:
        Unavailable: that cannot be done yet.
    """
    made: list[Seen] = []
    async for waited in looks():
        made = await steadfast(lambda: nova.made_by(action.id, action.instance.id))
        if waited > LATE_S and not any(each.status == "BUILD" for each in made):
            break
        if any(each.status != "BUILD" for each in made) or waited > GONE_S:
            break
    good = [each for each in made if each.status == "ACTIVE" and each.host == action.host]
    for each in made:
        if each not in good[:1]:
            await remove(nova, each.uuid)


async def remove(nova: Nova, uuid: str) -> None:
    """Delete a server and wait until nothing is left of it. Repeatable.

    Raises:
        Unavailable: it is still there.
    """
    async for waited in looks():
        seen = await steadfast(lambda: nova.server(uuid))
        if seen is None or seen.status == "DELETED":
            break
        if seen.status == "SOFT_DELETED":
            await _repeat(nova, uuid, forced=True)
        elif seen.task != "deleting":
            await _repeat(nova, uuid, forced=False)
        if waited > GONE_S:
            raise Unavailable(f"Nova has not deleted {seen.name} within {GONE_S:.0f} s")
    if not await nova.released(uuid, RELEASED_S):
        raise Lost(
            f"server {uuid} is gone, but Placement still holds room for it",
            fix="the host's nova-compute frees it when it runs again; or heal it by a plan",
            code="allocation-leak",
        )


async def _repeat(nova: Nova, uuid: str, *, forced: bool) -> None:
    """Order a server's end; an order that was lost is given again with the next look."""
    try:
        await (nova.act(uuid, "forceDelete") if forced else nova.delete(uuid))
    except Unavailable:
        return
    except BillowError as error:
        if error.code != "openstack-409":
            raise refused("Nova does not delete it", error) from error


async def _order(nova: Nova, wanted: Wanted) -> None:
    """Order a server once, whatever becomes of the answer."""
    body = await _body(nova, wanted)

    async def taken() -> bool:
        return bool(await nova.made_by(wanted.action.id, wanted.name))

    try:
        await order(lambda: nova.create(body), taken)
    except Unavailable:
        raise
    except BillowError as error:
        raise refused(f"Nova does not take the order for {wanted.name}", error) from error


async def _found(nova: Nova, wanted: Wanted) -> list[Seen]:
    """Return the server that was ordered."""
    async for waited in looks():
        made = await steadfast(lambda: nova.made_by(wanted.action.id, wanted.name))
        if made:
            return made
        if waited > GONE_S:
            break
    raise Unavailable(f"Nova took the order for {wanted.name} and shows no such server")


async def _body(nova: Nova, wanted: Wanted) -> dict[str, Any]:
    action, instance = wanted.action, wanted.action.instance
    network: object = wanted.network
    if wanted.network not in {"auto", "none"}:
        network = [{"uuid": await steadfast(lambda: nova.network(wanted.network))}]
    server = {
        "name": instance.id,
        "flavorRef": wanted.flavor,
        "imageRef": await steadfast(lambda: nova.image(instance.image)),
        "networks": network,
        "metadata": _metadata(action),
        "host": action.host,
    }
    if instance.zone:
        server["availability_zone"] = instance.zone
    if not instance.group:
        return {"server": server}
    return {"server": server, "os:scheduler_hints": {"group": await _group(nova, action)}}


def _metadata(action: Place) -> dict[str, str]:
    """Return what Billow must know of a server again, in Nova's own keeping."""
    instance: Instance = action.instance
    known = {
        "billow_instance": instance.id,
        "billow_action": action.id,
        "billow_immovable": instance.immovable,
        "billow_priority": str(instance.priority or ""),
    }
    return {key: value[:LONGEST_VALUE] for key, value in known.items() if value}


async def _group(nova: Nova, action: Place) -> str:
    """Return the server group's id; one that comes with its first member is made."""
    name = action.instance.group
    known = await steadfast(lambda: nova.group(name))
    if known or action.group is None:
        return known
    return await nova.add_group(name, _policy(action.group))


def _policy(group: Group) -> str:
    if group.scope is not Scope.HOST:
        raise Refused(
            f"Nova has no groups by {group.scope}",
            fix="use a group by host, or a zone",
            code="group",
        )
    return str(group.rule)
