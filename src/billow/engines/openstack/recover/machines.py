# SPDX-License-Identifier: Apache-2.0
"""What is done to Ironic's machines: power alone, since Nova keeps no record of their lives.

One nova-compute drives many of them, so none is ever told to be dead for one.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Final

import structlog

from billow.engines.openstack.answers import Node
from billow.engines.openstack.hosts import bare_power
from billow.engines.openstack.recover.metal import Metal
from billow.errors import NotFound, Refused, Unavailable
from billow.model.action import Fence, PowerOff, PowerOn
from billow.model.kinds import Power
from billow.model.run import Progress
from billow.ports import Blocker

AT_REST: Final = frozenset(
    {"", "enroll", "manageable", "available", "active", "rescue", "error"}
    | {f"{verb} failed" for verb in ("inspect", "clean", "deploy", "rescue", "unrescue")}
    | {f"{verb} failed" for verb in ("adopt", "service")}
)
"""Provision states in which Ironic waits for somebody; in all others it is at work itself."""
_BORNE: Final = frozenset({"active", "rescue"})
log = structlog.get_logger()


async def blockers(
    metal: Metal, action: Fence | PowerOn | PowerOff, coming: Sequence[str]
) -> list[Blocker]:
    """Return why a machine must not be turned; a fence is kept only by what proves nothing.

    Args:
        metal: Who turns it.
        action: What shall be done.
        coming: Who is on his way to it.
    """
    try:
        node = await metal.node(action.host)
    except (NotFound, Refused) as error:
        return [Blocker(error.brief, error.fix)]
    except Unavailable as error:
        return [Blocker(f"the power of {action.host} cannot be read: {error.brief}")]
    if isinstance(action, Fence):
        return []
    found = list(_held(action.host, node))
    names = ", ".join([*_on(metal, node), *coming])
    if isinstance(action, PowerOff) and names:
        fix = "a machine's server cannot move: stop it, which turns its machine off, or delete it"
        found.append(Blocker(f"{action.host} is not empty: {names}", fix))
    return found


def _on(metal: Metal, node: Node) -> Iterator[str]:
    """Yield what is on a machine: others than Nova let Ironic deploy, too, and say not what."""
    if node.instance:
        yield f"server {metal.server_name(node)}"
    elif node.state in _BORNE:
        yield f"something that Ironic deployed, which is {node.state}"


def _held(host: str, node: Node) -> Iterator[Blocker]:
    """Yield why Ironic, or whoever repairs a machine, wants it left alone."""
    if node.maintenance or node.fault:
        why = "; ".join(dict.fromkeys(filter(None, (node.reason, node.fault)))) or "no reason given"
        fix = f"openstack baremetal node maintenance unset {node.uuid}"
        yield Blocker(f"{host} is in maintenance by Ironic's word: {why}", fix)
    if node.state not in AT_REST:
        yield Blocker(f"Ironic is at work on {host}: {node.state}", "wait for it")


async def turn(metal: Metal, action: Fence | PowerOn | PowerOff) -> AsyncGenerator[Progress, None]:
    """Turn a machine off with proof, or on. Raises as `billow.ports.Bmc`."""
    if isinstance(action, PowerOn):
        yield Progress(0.0, "turning it on")
        await metal.on(action.host)
        yield Progress(1.0, "on", 0.0)
        return
    yield Progress(0.0, "cutting the power" if isinstance(action, Fence) else "turning it off")
    proof = await metal.off(action.host)
    log.info("a machine of Ironic's is off", host=action.host, why=proof)
    yield Progress(1.0, "off", 0.0)


async def mend(metal: Metal, action: Fence | PowerOn | PowerOff) -> bool:
    """Return whether a machine is as an action wanted it, when Ironic has done with it.

    An error that Ironic noted keeps what it had recorded before from counting. Raises Unavailable.
    """
    metal.changed()
    node = await metal.settled(action.host)
    wanted = Power.ON if isinstance(action, PowerOn) else Power.OFF
    return bare_power(node) is wanted and not node.error
