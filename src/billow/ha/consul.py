# SPDX-License-Identifier: Apache-2.0
"""Consul as a source of evidence: one ring of members per network, asked again and again.

A host is a member that bears its name; a ring says whether it is alive there. A ring that does not
answer, or answers nothing, says nothing of anybody: this controller is not sound on that network
then. Consul tells a death in one to ten seconds by its own settings, and a return in up to half a
minute, so beats are the better source where both are there (`Joined`).
This module must not decide anything.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx2
import numpy as np
import structlog

from billow.model.ha.evidence import NETWORKS, Network
from billow.model.ha.view import View
from billow.model.resources import FloatArray

ALIVE: Final = 1
"""The status that serf gives a member that answers; all others are on their way out, or gone."""
EVERY_S: Final = 0.2
LIMIT_S: Final = 1.0
"""What no ring has said for so long is not known any more."""
_PATIENCE_S: Final = 0.8

log = structlog.get_logger()


@dataclass
class _Ring:
    """One ring: when it last called each member alive, and when it last answered (monotonic)."""

    address: str
    answered: float = -np.inf
    alive: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    silent: bool = False


class Rings:
    """What Consul's rings say. An `Observer`; whoever owns it awaits `turn` every EVERY_S."""

    def __init__(
        self,
        observer: str,
        addresses: Mapping[Network, str],
        *,
        token: str = "",
        limit_s: float = LIMIT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the URLs of this controller's own Consul agents, one per network.

        Args:
            observer: The name under which others know this source.
            addresses: By network; one without an address says nothing of anybody.
            token: For rings that want one; without the right to see them, members are hidden.
            limit_s: Who was not called alive for so long is missed.
            monotonic: For ages.
        """
        self._observer, self._limit_s, self._monotonic = observer, limit_s, monotonic
        self._rings = {network: _Ring(url.rstrip("/")) for network, url in addresses.items()}
        headers = {"X-Consul-Token": token} if token else {}
        self._http = httpx2.AsyncClient(timeout=_PATIENCE_S, headers=headers, trust_env=False)

    async def turn(self) -> None:
        """Ask every ring once."""
        await asyncio.gather(*map(self._ask, self._rings.values()))

    def view(self, now: float) -> View:
        """Return who was called alive when, on which network."""
        at = self._monotonic()
        hosts = tuple(sorted({name for ring in self._rings.values() for name in ring.first}))
        heard = np.column_stack([self._column(network, hosts, at) for network in NETWORKS])
        return View(
            observer=self._observer,
            at=now,
            hosts=hosts,
            heard_at=heard.reshape(len(hosts), len(NETWORKS)) + (now - at),
            limit_s=np.full(len(NETWORKS), self._limit_s),
            sound=tuple(self._sound(network, at) for network in NETWORKS),
        )

    async def aclose(self) -> None:
        """Ask nobody any more."""
        await self._http.aclose()

    def _sound(self, network: Network, at: float) -> bool:
        ring = self._rings.get(network)
        return ring is not None and at - ring.answered <= self._limit_s

    def _column(self, network: Network, hosts: tuple[str, ...], at: float) -> FloatArray:
        """Return when a ring last called each host alive; who never joined was never heard."""
        ring = self._rings.get(network)
        if ring is None:
            return np.full(len(hosts), at)
        first = min(ring.first.values(), default=at)
        return np.array([ring.alive.get(host, ring.first.get(host, first)) for host in hosts])

    async def _ask(self, ring: _Ring) -> None:
        asked = self._monotonic()
        try:
            answer = await self._http.get(f"{ring.address}/v1/agent/members")
            members = members_of(answer.raise_for_status().json())
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            if not ring.silent:
                log.warning("a consul ring does not answer", address=ring.address, why=str(error))
            ring.silent = True
            return
        ring.silent, ring.answered = False, asked
        for name, alive in members.items():
            ring.first.setdefault(name, asked)
            if alive:
                ring.alive[name] = asked


def members_of(answer: object) -> dict[str, bool]:
    """Return who is alive, by name, from an answer of `/v1/agent/members`.

    Raises ValueError for what is no such answer; an empty one is none: a ring has its asker in it.
    """
    if not isinstance(answer, list) or not answer:
        raise ValueError("no members")
    found: dict[str, bool] = {}
    for each in answer:
        match each:
            case {"Name": str(name), "Status": int(status)}:
                found[name] = status == ALIVE
            case _:
                raise ValueError("a member without a name or a status")
    return found
