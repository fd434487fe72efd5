# SPDX-License-Identifier: Apache-2.0
"""The leases of watchdogs: which hosts are armed, and when a lease that is over proves a death.

An armed host that no controller acknowledges lets its watchdog reset it, unless a majority of its
peers says to be unserved as well: so losing every controller ends nothing. A controller may take a
lease for over only once a majority of those peers has promised to say so to that host no more; of
any two majorities of three, one peer is in both. Decision 0024 has the argument.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from billow.errors import Unavailable
from billow.model.ha.evidence import NETWORKS, AgentReport, Network
from billow.model.ha.view import View
from billow.model.resources import BoolArray
from billow.ports import Commander

EVERY_S: Final = 0.5
PEERS: Final = 3
"""So many peers a host asks; with fewer hosts that can be asked none is armed."""
_TRUSTED_S: Final = 45.0
"""A promise holds for 60 s from when a peer was asked; it is counted for less."""
_AGAIN_S: Final = 20.0
"""A promise that holds no longer than this is asked for again."""
_ARMED_AGAIN_S: Final = 30.0
_AT_ONCE: Final = 32
_ANSWER_S: Final = 5.0
log = structlog.get_logger()


class Leases:
    """What this controller knows of leases. `turn` is for the leading controller alone."""

    def __init__(
        self, commander: Commander, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._commander, self._monotonic = commander, monotonic
        self._refused: dict[str, dict[str, float]] = {}
        self._asked_at: dict[str, float] = {}
        self._marks: dict[str, tuple[AgentReport, AgentReport]] = {}
        self._reports: Mapping[str, AgentReport] = {}
        self._heard: dict[str, tuple[Network, ...]] = {}

    def marked(self, view: View) -> View:
        """Return a view that says of each armed host whether its peers may still excuse it."""
        self._reports, missed = view.reports, view.missed(view.at)
        self._heard = dict(zip(view.hosts, map(_heard_on, missed), strict=True))
        for host in [each for each in self._refused if self._heard.get(each)]:
            del self._refused[host]
        armed = {host: self._marked(each) for host, each in view.reports.items() if each.lease_s}
        return replace(view, reports={**view.reports, **armed}) if armed else view

    def _marked(self, report: AgentReport) -> AgentReport:
        """Return a report with the mark; the same one as long as nothing has changed."""
        said, marked = self._marks.get(report.host, (report, report))
        excused = not self.proves(report)
        if said is not report or marked.lease_excused != excused:
            marked = replace(report, lease_excused=excused)
            self._marks[report.host] = report, marked
        return marked

    def proves(self, report: AgentReport) -> bool:
        """Return whether a host without acknowledgements must have been reset after its lease.

        So it is when it has no peers, or when a majority of them refuses to excuse it.
        """
        now, refused = self._monotonic(), self._refused.get(report.host, {})
        refusing = sum(refused.get(peer, 0.0) > now for peer in set(report.peers))
        return not report.peers or 2 * refusing > len(set(report.peers))

    async def turn(self, fence: int) -> None:
        """Arm hosts that are not, and make the peers of silent ones refuse them.

        Args:
            fence: This controller's, the leading one's.
        """
        now = self._monotonic()
        silent = [
            each for host, each in self._reports.items() if each.peers and not self._heard.get(host)
        ]
        refusals = [
            self._refuse(each, peer, fence)
            for each in silent
            for peer in each.peers
            if self._refused.get(each.host, {}).get(peer, 0.0) < now + _AGAIN_S
        ]
        arming = [self._arm(each, fence) for each in self._unarmed(now)]
        await asyncio.gather(*refusals, *arming)

    def _unarmed(self, now: float) -> list[AgentReport]:
        """Return some hosts that can be armed, are not, and were not asked for a while."""
        found = [
            each
            for host, each in self._reports.items()
            if each.lease_possible_s
            and not each.lease_s
            and self._heard.get(host)
            and now - self._asked_at.get(host, -_ARMED_AGAIN_S) >= _ARMED_AGAIN_S
        ]
        return found[:_AT_ONCE]

    async def _arm(self, report: AgentReport, fence: int) -> None:
        peers = {peer: dict(self._reports[peer].asked_at) for peer in self._peers_of(report.host)}
        if len(peers) < PEERS:
            return
        self._asked_at[report.host] = self._monotonic()
        lease_s = report.lease_possible_s
        order = {"do": "arm", "fence": fence, "lease_s": lease_s, "peers": peers}
        answer = await self._order(report.host, order)
        if answer.get("ok") is not True:
            log.warning("a host was not armed", host=report.host, why=str(answer.get("text", "")))

    def _peers_of(self, host: str) -> list[str]:
        """Return the peers of a host: always the same ones of those that can be asked."""
        able: Iterable[str] = (
            each
            for each, report in self._reports.items()
            if each != host and report.asked_at and self._heard.get(each)
        )
        return sorted(able, key=lambda peer: _digest(host, peer))[:PEERS]

    async def _refuse(self, report: AgentReport, peer: str, fence: int) -> None:
        """Let a peer promise not to excuse a host; while a word of its still counts it says no."""
        asked_at = self._monotonic()
        lease_s = report.lease_s
        order = {"do": "refuse", "fence": fence, "host": report.host, "lease_s": lease_s}
        answer = await self._order(peer, order)
        if answer.get("ok") is True:
            self._refused.setdefault(report.host, {})[peer] = asked_at + _TRUSTED_S

    async def _order(self, host: str, order: Mapping[str, object]) -> Mapping[str, object]:
        """Return an agent's answer over a network on which it is heard; nothing when none came."""
        for network in self._heard.get(host, ()):
            try:
                async with asyncio.timeout(_ANSWER_S):
                    return await self._commander.order(host, network, order)
            except (Unavailable, TimeoutError):
                continue
        return {}


def _heard_on(missed: BoolArray) -> tuple[Network, ...]:
    """Return the networks of one row of a view on which its host is heard."""
    return tuple(network for network, lost in zip(NETWORKS, missed, strict=True) if not lost)


def _digest(host: str, peer: str) -> bytes:
    return hashlib.blake2b(f"{host} {peer}".encode(), digest_size=8).digest()
