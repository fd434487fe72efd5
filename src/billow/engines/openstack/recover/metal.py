# SPDX-License-Identifier: Apache-2.0
"""Ironic as who turns its machines off and on; fulfils `billow.ports.Bmc` for them.

What Ironic shows of a machine's power is what it recorded, up to a minute ago. Each order makes its
conductor ask the machine's own controller first, and record that, also where nothing is left to do:
so `off` is ordered twice, and only what was recorded after an order counts as read.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

from billow.act.power.identity import WRONG_HOST, is_identity, same_machine
from billow.act.power.readings import APART_S
from billow.act.power.records import Identities
from billow.engines.openstack.answers import Node
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.decode import identities_of, mapping, node_of
from billow.engines.openstack.hosts import bare_power
from billow.engines.openstack.patience import looks, order, steadfast
from billow.engines.openstack.read.catalogue import NODES
from billow.engines.openstack.sight import Sight
from billow.errors import BillowError, Bug, Conflict, Denied, NotFound, Refused, Unavailable
from billow.model.kinds import Power
from billow.ports import Clock

ON: Final = "power on"
OFF: Final = "power off"
TURNED_S: Final = 300.0
"""How long Ironic may be at work on a machine's power: it gives up itself long before."""
INVENTORY: Final = "1.81"
"""From here on Ironic keeps what an inspection found."""
_OPEN: Final = "its return is not inhibited: whoever may use Ironic can turn it on"


class Metal:
    """The machines of a cloud's Ironic, by their names in the pool."""

    def __init__(self, cloud: Cloud, sight: Sight, clock: Clock, identities: Identities) -> None:
        self._cloud = cloud
        self._sight = sight
        self._clock = clock
        self._identities = identities

    async def has(self, host: str) -> bool:
        """Return whether a host is a machine of Ironic's, after a look where it is not known."""
        sight = self._sight
        if host not in sight.nodes and host not in sight.services:
            await sight.look()
        return host in sight.nodes

    async def node(self, host: str) -> Node:
        """Return a machine as Ironic has it now, if it is the one that it was.

        Raises as `billow.ports.Bmc.power`.
        """
        node = await self._read(host, await self._uuid(host))
        await self._check(host, node)
        return node

    async def settled(self, host: str) -> Node:
        """Return a machine when no order of power is under way. Raises as `ports.Bmc.power`."""
        node = await self._settled(host, await self._uuid(host))
        await self._check(host, node)
        return node

    async def power(self, host: str) -> Power:
        """Return what Ironic recorded last of a machine. Raises as `billow.ports.Bmc`."""
        return bare_power(await self.node(host))

    async def off(self, host: str) -> str:
        """Turn a machine off, and have it read off twice. Raises as `billow.ports.Bmc`."""
        with self._doubting():
            node = await self.node(host)
            first = await self._turned(host, node, OFF)
            read_at = self._clock.now()
            await self._clock.sleep(APART_S)
            apart_s = self._clock.now() - read_at
            await self._turned(host, first, OFF)
        machine = self._identities.recorded(node.uuid)
        return (
            f"Ironic was told to turn off its node {node.uuid}, machine {machine}, and its "
            f"conductor read off twice, {apart_s:.1f} s apart; {_OPEN}"
        )

    async def on(self, host: str) -> None:
        """Turn a machine on, and have that read. Raises as `billow.ports.Bmc`."""
        with self._doubting():
            await self._turned(host, await self.node(host), ON)

    async def identity(self, host: str) -> str:
        """Return a machine's system UUID or serial number; its node's id where Ironic has neither.

        Raises as `billow.ports.Bmc`.
        """
        node = await self._read(host, await self._uuid(host))
        return (await self._told(node))[0]

    def server_name(self, node: Node) -> str:
        """Return what the pool calls the server on a machine; its id where that is not seen."""
        servers = self._sight.servers.items()
        named = (name for name, each in servers if each.uuid == node.instance)
        return next(named, node.instance)

    def changed(self) -> None:
        """Let the next look read all machines again."""
        self._sight.doubt_nodes()

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.changed()

    async def _uuid(self, host: str) -> str:
        if not await self.has(host):
            raise NotFound(f"{host} is no machine of Ironic's")
        return self._sight.nodes[host].uuid

    async def _read(self, host: str, uuid: str) -> Node:
        version = await self._cloud.microversion("baremetal", NODES)
        with _plainly(f"Ironic does not show {host}"):
            return node_of(await self._cloud.get("baremetal", f"/nodes/{uuid}", version))

    async def _turned(self, host: str, before: Node, target: str) -> Node:
        """Order a power, wait until Ironic has done with it, and return the machine.

        Ironic tells in one text whether a controller refused, or did not answer: either way nothing
        is proved.

        Raises:
            Unavailable: it is not as ordered.
            Refused: Ironic does not take the order.
        """

        async def taken() -> bool:
            now = await self._read(host, before.uuid)
            return now.target == target or (now.power == target and before.power != target)

        try:
            with _plainly(f"Ironic does not {target} {host}"):
                await order(lambda: self._send(before.uuid, target), taken)
        except Conflict as error:
            brief = f"Ironic is at work on {host}, and does not end that"
            raise Unavailable(brief, error.details, "wait for it", error.code) from error
        now = await self._settled(host, before.uuid)
        if now.power != target or (now.error and before.power == target):
            brief = f"{host} was told to {target}, and Ironic does not read that"
            shown = f"Ironic shows: {now.power or 'no power state'}"
            fix = f"openstack baremetal node show {now.uuid}"
            raise Unavailable(brief, tuple(filter(None, (now.error, shown))), fix)
        return now

    async def _send(self, uuid: str, target: str) -> None:
        version = await self._cloud.microversion("baremetal", NODES)
        path = f"/nodes/{uuid}/states/power"
        await self._cloud.call("PUT", "baremetal", path, {"target": target}, version)

    async def _settled(self, host: str, uuid: str) -> Node:
        async for waited in looks():
            node = await steadfast(lambda: self._read(host, uuid))
            if not node.target and not node.locked_by:
                return node
            if waited > TURNED_S:
                by = f"{node.target or 'nothing'}, by {node.locked_by or 'nobody'}"
                raise Unavailable(f"Ironic does not end its work on {host}", (by,))
        raise Bug("looking came to an end")

    async def _check(self, host: str, node: Node) -> None:
        """Refuse a node that is another machine by now; one that is new is recorded, if sound."""
        told, known = await self._told(node), self._identities.recorded(node.uuid)
        if not known:
            if not node.maintenance and not node.fault and node.power:
                await self._identities.record(node.uuid, told[0])
        elif not any(same_machine(known, each) for each in told):
            raise Refused(
                f"the node of {host} is another machine now",
                (f"recorded: {known}", f"Ironic says: {' and '.join(told)}"),
                "enroll another machine as another node; do not believe its power until then",
                WRONG_HOST,
            )

    async def _told(self, node: Node) -> tuple[str, ...]:
        """Return what tells a machine from all others, as far as Ironic knows; its node's id last.

        A machine that is known by its node's id alone stays the same when it is inspected later.
        """
        found = tuple(filter(is_identity, node.identities)) or await self._inspected(node)
        return (*found, node.uuid)

    async def _inspected(self, node: Node) -> tuple[str, ...]:
        if await self._cloud.microversion("baremetal", INVENTORY) != INVENTORY:
            return ()
        try:
            path = f"/nodes/{node.uuid}/inventory"
            answer = await self._cloud.get("baremetal", path, INVENTORY)
        except (NotFound, Denied):
            return ()
        vendor = mapping(mapping(answer, "inventory"), "system_vendor")
        return tuple(filter(is_identity, identities_of(vendor)))


@contextlib.contextmanager
def _plainly(brief: str) -> Iterator[None]:
    """Say in plain words what Ironic refuses. Raises NotFound, Conflict, Unavailable, Refused."""
    try:
        yield
    except NotFound as error:
        raise NotFound(brief, error.details) from error
    except (Conflict, Unavailable):
        raise
    except BillowError as error:
        denied = isinstance(error, Denied)
        fix = "let Billow's user own the node, or give it a role on the whole system"
        why = error.details[-1:] or (error.brief,)
        raise Refused(f"{brief}: {why[0]}", why[1:], fix if denied else "", error.code) from error
