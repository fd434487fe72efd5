# SPDX-License-Identifier: Apache-2.0
"""Bring a move that nobody follows any more to a clear end: the machine is on one host, unlimited.

A move that still goes on is taken back, unless the machine runs on the target already: then it is
waited for. libvirt itself removes what a move left on the other host; what it could not, because
its daemon died meanwhile, is removed here, and only where the machine surely runs elsewhere.
"""

import asyncio
import contextlib
from typing import Final

from billow.engines.libvirt.fleet import Fleet
from billow.engines.libvirt.limits import release
from billow.engines.libvirt.line import Fault
from billow.engines.libvirt.records import Records
from billow.engines.libvirt.wire import Api
from billow.engines.libvirt.words import Domain, DomainState
from billow.errors import Lost, Unavailable

PATIENCE_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.1
_RUNS: Final = (DomainState.RUNNING, DomainState.BLOCKED)


async def settle(fleet: Fleet, records: Records, uuid: str, source: str, target: str) -> None:
    """See to it that a machine is on one of two hosts, and held back by nothing. Repeatable.

    Raises:
        Lost: that did not come about in time; try again.
        Unavailable: a host does not answer, and it may be there.
    """
    key = bytes.fromhex(uuid.replace("-", ""))
    here = await fleet.api(source)
    async with asyncio.timeout(PATIENCE_S):
        await _still(here, key)
    await release(records, uuid, here, await here.find(key))
    try:
        there = await fleet.api(target)
    except Unavailable:
        if await _state(here, await here.find(key)) in _RUNS:
            return  # it never left, and libvirt starts no second copy
        raise
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S / 3):
            while await here.find(key) and await there.find(key):
                if await _settled_by_hand(here, there, key):
                    return
                await asyncio.sleep(_LOOK_EVERY_S)
            return
    raise Lost(f"the machine {uuid} is on {source} and on {target}", code="move-unclear")


async def _still(api: Api, key: bytes) -> None:
    """Take back what is done with a machine, and wait until nothing is."""
    while (domain := await api.find(key)) is not None and domain.number >= 0:
        try:
            kind, _ = await api.job(domain)
            if kind == 0:
                return
            await api.abort(domain)
        except Fault:
            pass  # it ended just now, or must not be taken back any more: look again
        await asyncio.sleep(_LOOK_EVERY_S)


async def _settled_by_hand(here: Api, there: Api, key: bytes) -> bool:
    """Remove the copy that does not run, when the other one does. Return whether one was."""
    copies = [(here, await here.find(key)), (there, await there.find(key))]
    states = [await _state(api, domain) for api, domain in copies]
    for (api, domain), mine, other in zip(copies, states, states[::-1], strict=True):
        if domain is not None and other in _RUNS and mine is DomainState.SHUTOFF:
            await api.undefine(domain)
            return True
    return False


async def _state(api: Api, domain: Domain | None) -> DomainState:
    if domain is None:
        return DomainState.NONE
    with contextlib.suppress(Fault):
        return (await api.state(domain))[0]
    return DomainState.NONE
