# SPDX-License-Identifier: Apache-2.0
"""Who moves a guest: Billow by a policy, or QEMU alone as everybody else drives it."""

import asyncio
import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.migration_lab import HOSTS, Lab
from benchmarks.migration_trial import Mover, Told
from billow.engines.qemu.command import Site, command_line
from billow.engines.qemu.lifecycle import hasten
from billow.engines.qemu.monitor import Monitor, listen, talk
from billow.engines.qemu.process import claimed, launch
from billow.errors import BillowError
from billow.model.action import Migrate
from billow.model.kinds import MigrationPolicy
from billow.model.run import Flow

BANDWIDTH_BYTES_S = 4 * 2**30
"""As good as none: the link is what limits."""
DOWNTIME_MS = 300
LOOK_EVERY_S = 0.02
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """How QEMU alone is told to move a guest.

    Attributes:
        capabilities: Migration capabilities, `postcopy-ram` for both ends.
        parameters: Migration parameters of the source.
        patience_s: After so long it is cancelled, as not ending.
    """

    name: str
    capabilities: tuple[str, ...] = ()
    parameters: Mapping[str, int] = field(default_factory=dict)
    patience_s: float = 120.0

    @property
    def post_copy(self) -> bool:
        """Whether it switches after the first round."""
        return "postcopy-ram" in self.capabilities

    async def __call__(self, lab: Lab, instance: str) -> Told:
        """Move an instance from the first host to the second."""
        began = time.monotonic()
        hasten(lab.engine.ground, lab.machine(instance), HOSTS[0])
        await _wait_for(lab, instance, HOSTS[1])
        async with (
            talk(lab.residence(HOSTS[0], instance).socket) as source,
            talk(lab.residence(HOSTS[1], instance).socket) as target,
        ):
            await self._begin(lab, source, target)
            return await self._follow(source, target, began)

    async def _begin(self, lab: Lab, source: Monitor, target: Monitor) -> None:
        await _switch_on(source, ("events", *self.capabilities))
        await _switch_on(target, ("events", *(["postcopy-ram"] if self.post_copy else [])))
        limits = {"max-bandwidth": BANDWIDTH_BYTES_S, "downtime-limit": DOWNTIME_MS}
        await source.execute("migrate-set-parameters", {**limits, **self.parameters})
        address = lab.engine.ground.network.address(HOSTS[1])
        await target.execute("migrate-incoming", {"uri": f"tcp:{address}:0"})
        waits = (await target.mapping("query-migrate"))["socket-address"]
        assert isinstance(waits, list)
        await source.execute("migrate", {"uri": f"tcp:{address}:{waits[0]['port']}"})

    async def _follow(self, source: Monitor, target: Monitor, began: float) -> Told:
        switched, throttled = False, 0.0
        while True:
            answer = await source.mapping("query-migrate")
            throttled = max(throttled, _number(answer, "cpu-throttle-percentage"))
            if answer.get("status") in {"completed", "failed", "cancelled"}:
                return await self._ended(answer, target, throttled)
            if time.monotonic() - began > self.patience_s:
                await source.execute("migrate_cancel")
                await asyncio.sleep(0.5)
                return Told(ended=False, done_at=time.monotonic(), words="cancelled: no end")
            if self.post_copy and not switched and _rounds(answer) > 1:
                switched = True
                await source.execute("migrate-start-postcopy")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _ended(self, answer: Mapping[str, object], target: Monitor, throttled: float) -> Told:
        if answer.get("status") != "completed":
            why = str(answer.get("error-desc", answer.get("status")))
            return Told(ended=False, done_at=time.monotonic(), words=why)
        while await target.status() != "running":  # noqa: ASYNC110  # another process
            await asyncio.sleep(LOOK_EVERY_S / 4)
        return Told(
            ended=True,
            done_at=time.monotonic(),
            downtime_s=_number(answer, "downtime") / 1000,
            copied_s=_number(answer, "total-time") / 1000,
            limited=throttled > 0 or "dirty-limit" in self.capabilities,
            words=f"throttle {throttled:.0f} %" if throttled else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Billow, by a policy. Moves from any host to the other."""

    policy: MigrationPolicy
    downtime_s: float | None = None
    hosts: tuple[str, str] = HOSTS

    async def __call__(self, lab: Lab, instance: str) -> Told:
        """Move an instance."""
        source, target = self.hosts
        action = Migrate(
            id=f"move-{next(_numbers)}",
            instance=instance,
            source=source,
            target=target,
            policy=self.policy,
            downtime_s=self.downtime_s,
        )
        seen = _Flows()
        try:
            async for progress in lab.engine.perform(action, fence=1):
                seen.take(progress.flow, progress.fraction)
        except BillowError as error:
            words = "; ".join((error.brief, *error.details))
            return Told(ended=False, done_at=time.monotonic(), limited=seen.limited, words=words)
        return Told(
            ended=True,
            done_at=seen.done_at or time.monotonic(),
            downtime_s=seen.downtime_s,
            copied_s=seen.seconds,
            limited=seen.limited,
            words=seen.words,
        )


class _Flows:
    """What an engine tells of a move under way."""

    def __init__(self) -> None:
        self.done_at, self.downtime_s, self.seconds = 0.0, math.nan, math.nan
        self.limited, self.words = False, ""

    def take(self, flow: Flow | None, fraction: float) -> None:
        """Look at one progress."""
        if fraction >= 1 and not self.done_at:
            self.done_at = time.monotonic()
        if flow is None:
            return
        self.seconds = flow.seconds
        if not math.isnan(flow.downtime_s):
            self.downtime_s = flow.downtime_s
        if flow.throttle or not all(map(math.isnan, flow.limits_mib_s)):
            self.limited = True
            shown = ", ".join(f"{each:.0f}" for each in flow.limits_mib_s)
            self.words = f"{flow.way} {shown}".strip()


async def can_dirty_limit(lab: Lab) -> bool:
    """Return whether this QEMU has the capability `dirty-limit`."""
    from benchmarks.migration_lab import Guest, reader

    instance = await lab.boot(Guest((reader(20, 4),), memory_mib=64))
    try:
        async with talk(lab.residence(HOSTS[0], instance).socket) as monitor:
            known = await monitor.execute("query-migrate-capabilities")
    finally:
        await lab.remove(instance)
    rows = known if isinstance(known, list) else []
    return any(row.get("capability") == "dirty-limit" for row in rows)


PLAIN = Peer(name="plain pre-copy", patience_s=15.0)
AUTO_CONVERGE = Peer(
    name="auto-converge",
    capabilities=("auto-converge",),
    parameters={"cpu-throttle-initial": 20, "cpu-throttle-increment": 10},
)
AGGRESSIVE = Peer(
    name="auto-converge 70+20",
    capabilities=("auto-converge",),
    parameters={"cpu-throttle-initial": 70, "cpu-throttle-increment": 20},
)
DELTAS = Peer(
    name="plain pre-copy, xbzrle",
    capabilities=("xbzrle",),
    parameters={"xbzrle-cache-size": 256 * 2**20},
    patience_s=30.0,
)
POST_COPY = Peer(name="post-copy", capabilities=("postcopy-ram",))


def dirty_limit(mib_s: int, period_ms: int) -> Peer:
    """Return QEMU's own dirty limit at a setting."""
    return Peer(
        name=f"dirty-limit {mib_s} MB/s, period {period_ms} ms",
        capabilities=("dirty-limit",),
        parameters={"vcpu-dirty-limit": mib_s, "x-vcpu-dirty-limit-period": period_ms},
    )


def ours(policy: MigrationPolicy) -> tuple[str, Mover]:
    """Return Billow's name for a policy, and who moves by it."""
    return f"Billow {policy.value.replace('_', '-')}", Ours(policy=policy)


async def _wait_for(lab: Lab, instance: str, host: str) -> None:
    """Start a process that waits for the guest, and lets it run as soon as it has it."""
    ground, machine = lab.engine.ground, lab.machine(instance)
    residence, volume = lab.residence(host, instance), lab.folder.volume(instance)
    residence.path.mkdir(parents=True, exist_ok=True)
    with claimed(residence) as lock, listen(residence.socket) as server:
        site = Site(
            binary=Path(ground.findings.qemu),
            qmp=server.fileno(),
            cache=lab.folder.cache,
            pid=residence.pid,
            serial=volume.serial,
            disk=volume.disk,
            seed=volume.seed,
            orders=volume.orders,
            incoming=True,
            sandbox=ground.findings.sandbox,
        )
        words = (word for word in command_line(machine, site) if word != "-S")
        enter = ground.groups.entering(host, instance, machine.cpus)
        where = ground.network.namespace(host)
        await launch((*enter, *words), residence, (server.fileno(), lock), netns=where)


async def _switch_on(monitor: Monitor, names: tuple[str, ...]) -> None:
    states = [{"capability": name, "state": True} for name in names]
    await monitor.execute("migrate-set-capabilities", {"capabilities": states})


def _number(answer: Mapping[str, object], name: str) -> float:
    value = answer.get(name, 0)
    return float(value) if isinstance(value, int | float) else math.nan


def _rounds(answer: Mapping[str, object]) -> int:
    ram = answer.get("ram")
    return int(ram["dirty-sync-count"]) if isinstance(ram, dict) else 0
