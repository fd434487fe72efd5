# SPDX-License-Identifier: Apache-2.0
"""See the pool: what the records say, and what the processes show. Changes nothing."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from billow.engines.qemu.balloon import Balloons
from billow.engines.qemu.disk import disk_of, stored_mib
from billow.engines.qemu.gauge import Gauge, Use
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.ledger import home_of, why
from billow.engines.qemu.migration.seal import standing
from billow.engines.qemu.process import alive, ended_by_itself, process_id
from billow.engines.qemu.record import HostPlan, HostRecord, InstanceRecord, Resident, Stage
from billow.engines.qemu.translate import facts_of, gaps_of, host_of, instance_of
from billow.errors import Refused
from billow.model.group import Fact, Gap, Group
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import Power, State
from billow.model.pool import Pool

_LIVE: Final = (State.RUNNING, State.PAUSED)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One instance at one look."""

    instance: Instance
    group: Group | None
    facts: list[Fact]
    use: Use


class Sight:
    """The eyes of one engine; they remember the last look, to tell the use per second."""

    def __init__(
        self, ground: Ground, plans: tuple[HostPlan, ...], notices: tuple[Gap, ...] = ()
    ) -> None:
        """Look at hosts as they were laid out; `notices` are gaps that are always there."""
        self._notices = notices
        self._ground = ground
        self._plans = plans
        self._gauge = Gauge()
        self._balloons = Balloons(ground.ledger)

    async def ask(self, busy: Collection[str]) -> None:
        """Ask guests for their memory, those that are busy left out, for `pool` to tell."""
        await self._balloons.ask(busy)

    def pool(self, now: float) -> Pool:
        """Return the pool as it is. Reads a few small files for each instance."""
        survey = self._ground.ledger.survey()
        seen = [
            each
            for name, record in survey.records.items()
            if record and (each := self._instance(record, survey.residents.get(name, {})))
        ]
        self._gauge.forget_others(each.instance.id for each in seen)
        gaps = [Gap(f"instance/{name}", why) for name, why in survey.unreadable.items()]
        return Pool.build(
            [self._host(plan, seen, gaps) for plan in self._plans],
            [each.instance for each in seen],
            groups={each.group.name: each.group for each in seen if each.group}.values(),
            facts=[
                Fact("engine/qemu", "live moves between hosts", standing(self._ground)),
                *(fact for each in seen for fact in each.facts),
            ],
            gaps=[*gaps_of(self._ground.findings), *self._notices, *gaps],
            taken_at=now,
        )

    def _host(self, plan: HostPlan, seen: Iterable[_Seen], gaps: list[Gap]) -> Host:
        """Return a host; with a gap, nothing may come to it."""
        try:
            record = self._ground.ledger.host(plan.name)
        except Refused as error:
            gaps.append(Gap(f"host/{plan.name}", why(error)))
            record = HostRecord(power=Power.UNKNOWN, cordon=error.brief)
        uses = [each.use for each in seen if each.instance.host == plan.name]
        used = self._gauge.host(plan.name, uses, self._ground.groups.pressure(plan.name))
        return host_of(plan, record, self._ground.findings, used)

    def _instance(self, record: InstanceRecord, residents: Mapping[str, Resident]) -> _Seen | None:
        """Return one instance, its group, and its facts; None for one that is not made yet."""
        name, home = record.machine.instance, home_of(residents)
        if record.stage is Stage.CREATING or home is None:
            return None
        host, resident = home
        state = self._state(record, host, resident)
        memory = self._balloons.memory(name) if state in _LIVE else None
        use = self._use(name, host) if state in _LIVE else Use()
        use = replace(use, ballooned_mib=memory.ballooned) if memory else use
        if record.machine.has_disk:
            disk = disk_of(self._ground.ledger.folder, record.machine, host)
            use = replace(use, disk_mib=stored_mib(disk))
        instance = instance_of(
            record, host, resident.nodes, state, use, self._ground.findings.cpu_model
        )
        serial = str(self._ground.ledger.folder.volume(name).serial)
        return _Seen(instance, record.description.group, facts_of(record, serial, memory), use)

    def _state(self, record: InstanceRecord, host: str, resident: Resident) -> State:
        """Tell the state by the process: it lives, it ended in order, or it was killed."""
        if record.stage is Stage.DELETING:
            return State.UNKNOWN
        residence = self._ground.ledger.folder.residence(host, record.machine.instance)
        if alive(residence) or resident.wanted is State.STOPPED:
            return resident.wanted
        return State.STOPPED if ended_by_itself(residence) else State.FAILED

    def _use(self, name: str, host: str) -> Use:
        process = process_id(self._ground.ledger.folder.residence(host, name))
        held_s = partial(self._ground.groups.held_s, host, name)
        return self._gauge.instance(name, process, held_s)
