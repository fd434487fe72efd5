# SPDX-License-Identifier: Apache-2.0
"""See the pool: what the records say, and what the processes show. Changes nothing."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from billow.engines.qemu.ground import Ground
from billow.engines.qemu.ledger import home_of, why
from billow.engines.qemu.process import alive, cpu_and_memory, ended_by_itself, process_id
from billow.engines.qemu.record import HostPlan, HostRecord, InstanceRecord, Resident, Stage
from billow.engines.qemu.translate import facts_of, gaps_of, host_of, instance_of
from billow.errors import Refused
from billow.model.group import Fact, Gap, Group
from billow.model.instance import Instance
from billow.model.kinds import Power, State
from billow.model.pool import Pool

UNSEEN: Final = (math.nan, math.nan)
_SHORTEST_S: Final = 0.5
"""CPU use over less than that says nothing."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """CPU seconds of a process at a moment, and what was made of it."""

    process: int
    at_s: float
    cpu_s: float
    milli: float = math.nan


class Sight:
    """The eyes of one engine; they remember how much CPU was used, to tell the use per second."""

    def __init__(
        self, ground: Ground, plans: tuple[HostPlan, ...], notices: tuple[Gap, ...] = ()
    ) -> None:
        """Look at hosts as they were laid out; `notices` are gaps that are always there."""
        self._notices = notices
        self._ground = ground
        self._plans = plans
        self._samples: dict[str, _Sample] = {}

    def pool(self, now: float) -> Pool:
        """Return the pool as it is. Reads a few small files for each instance."""
        survey = self._ground.ledger.survey()
        seen = [
            each
            for name, record in survey.records.items()
            if record and (each := self._instance(record, survey.residents.get(name, {})))
        ]
        instances = [instance for instance, _, _ in seen]
        self._samples = {name: self._samples[name] for name in self._samples.keys() & _ids(seen)}
        gaps = [Gap(f"instance/{name}", why) for name, why in survey.unreadable.items()]
        records = [self._host(plan.name, gaps) for plan in self._plans]
        findings = self._ground.findings
        return Pool.build(
            [
                host_of(plan, record, findings, _used(plan, instances))
                for plan, record in zip(self._plans, records, strict=True)
            ],
            instances,
            groups={group.name: group for _, group, _ in seen if group}.values(),
            facts=[fact for _, _, facts in seen for fact in facts],
            gaps=[*gaps_of(findings), *self._notices, *gaps],
            taken_at=now,
        )

    def _host(self, host: str, gaps: list[Gap]) -> HostRecord:
        """Return what changes of a host; with a gap, nothing may come to it."""
        try:
            return self._ground.ledger.host(host)
        except Refused as error:
            gaps.append(Gap(f"host/{host}", why(error)))
            return HostRecord(power=Power.UNKNOWN, cordon=error.brief)

    def _instance(
        self, record: InstanceRecord, residents: Mapping[str, Resident]
    ) -> tuple[Instance, Group | None, list[Fact]] | None:
        """Return one instance, its group, and its facts; None for one that is not made yet."""
        name, home = record.machine.instance, home_of(residents)
        if record.stage is Stage.CREATING or home is None:
            return None
        host, resident = home
        state = self._state(record, host, resident)
        used = self._use(name, host) if state is State.RUNNING else UNSEEN
        instance = instance_of(record, host, resident.nodes, state, used)
        serial = str(self._ground.ledger.folder.volume(name).serial)
        return instance, record.description.group, facts_of(record, serial)

    def _state(self, record: InstanceRecord, host: str, resident: Resident) -> State:
        """Tell the state by the process: it lives, it ended in order, or it was killed."""
        if record.stage is Stage.DELETING:
            return State.UNKNOWN
        residence = self._ground.ledger.folder.residence(host, record.machine.instance)
        if alive(residence) or resident.wanted is State.STOPPED:
            return resident.wanted
        return State.STOPPED if ended_by_itself(residence) else State.FAILED

    def _use(self, name: str, host: str) -> tuple[float, float]:
        """Return CPU in thousandths since the last look, and resident memory in MiB."""
        number = process_id(self._ground.ledger.folder.residence(host, name))
        if number is None:
            return UNSEEN
        now, (cpu_s, memory_mib) = time.monotonic(), cpu_and_memory(number)
        last = self._samples.get(name)
        if last is None or last.process != number:
            self._samples[name] = _Sample(number, now, cpu_s)
            return math.nan, memory_mib
        if now - last.at_s < _SHORTEST_S:
            return last.milli, memory_mib
        milli = 1000 * (cpu_s - last.cpu_s) / (now - last.at_s)
        self._samples[name] = _Sample(number, now, cpu_s, milli)
        return milli, memory_mib


def _ids(seen: list[tuple[Instance, Group | None, list[Fact]]]) -> set[str]:
    return {instance.id for instance, _, _ in seen}


def _used(plan: HostPlan, instances: list[Instance]) -> tuple[float, float]:
    """Add up what a host's instances use; what was not seen counts as nothing."""
    mine = [each for each in instances if each.host == plan.name]
    cpu = sum(each.cpu_used_milli for each in mine if not math.isnan(each.cpu_used_milli))
    memory = sum(each.memory_used_mib for each in mine if not math.isnan(each.memory_used_mib))
    return cpu, memory
