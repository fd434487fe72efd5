# SPDX-License-Identifier: Apache-2.0
"""See the pool: ask every host at once, and put what they say together. Changes nothing.

A host that does not answer is a gap; what was last seen on it stays, in a state that is not known.
A machine that is on two hosts, as it is while it moves, is one instance, where it runs.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from billow.engines.libvirt.cpu import host_cpu, needed
from billow.engines.libvirt.fleet import Fleet
from billow.engines.libvirt.line import Fault
from billow.engines.libvirt.machine import Machine, Stage
from billow.engines.libvirt.records import HostRecord, Records
from billow.engines.libvirt.translate import (
    host_of,
    host_record,
    instance_of,
    machine_of,
    name_of,
    parsed,
    state_of,
)
from billow.engines.libvirt.use import UNSEEN, Use, Uses
from billow.engines.libvirt.wire import Api
from billow.engines.libvirt.words import Domain, DomainState, Error
from billow.engines.libvirt.xdr import Value
from billow.errors import BillowError
from billow.model.group import Fact, Gap, Group
from billow.model.host import Host
from billow.model.instance import Instance
from billow.model.kinds import State, Storage
from billow.model.pool import Pool
from billow.ports import Clock

READ_AGAIN_S: Final = 30.0
"""How long a definition is taken for what was last read of it; who changes one says so."""
ANSWERS_WITHIN_S: Final = 5.0
"""A host that takes longer does not answer, and must not keep the others waiting."""
FIRST_ANSWER_S: Final = 30.0
"""A libvirtd that was just started looks at its QEMU before it answers."""
ASKED_AGAIN_S: Final = 15.0
"""How long a host that did not answer in time is left alone."""
_RUNS: Final = (DomainState.RUNNING, DomainState.BLOCKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One machine on one host, at one look."""

    host: str
    domain: Domain
    machine: Machine
    state: DomainState
    reason: int
    use: Use = UNSEEN

    @property
    def rank(self) -> tuple[bool, bool]:
        """How sure it is that the machine is at home there: the highest wins."""
        return self.state in _RUNS, self.domain.number >= 0


@dataclass(slots=True)
class _Station:
    """What is remembered of a host."""

    record: HostRecord | None = None
    machines: dict[bytes, tuple[float, tuple[int, int], Machine]] = field(default_factory=dict)
    seen: tuple[Sighting, ...] = ()
    use: Use = UNSEEN
    gap: str = "it was not looked at yet"
    left_until: float = 0.0


class Sight:
    """The eyes of one engine; they remember the last look."""

    def __init__(
        self, fleet: Fleet, records: Records, clock: Clock, *, shared_storage: bool
    ) -> None:
        self._fleet = fleet
        self._shared_storage = shared_storage
        self._records = records
        self._clock = clock
        self._uses = Uses()
        self._stations = {name: _Station() for name in fleet.names}
        self._homes: dict[str, str] = {}
        self.found: dict[str, Sighting] = {}

    async def pool(self) -> Pool:
        """Return the pool as it is now."""
        await asyncio.gather(*(self._visit(name) for name in self._fleet.names))
        seen = [each for station in self._stations.values() for each in station.seen]
        self._uses.forget_others(each.domain.uuid.hex() for each in seen)
        homes = self._at_home(seen)
        taken: dict[str, str] = {}
        self.found = {}
        for each in sorted(homes, key=lambda it: (it.machine.description is None, it.host)):
            name = name_of(each.machine, taken)
            taken[name] = each.machine.uuid
            self.found[name] = each
        return self._built()

    def forget(self, uuid: bytes) -> None:
        """Read a machine's definition anew at the next look."""
        for station in self._stations.values():
            station.machines.pop(uuid, None)

    async def _visit(self, name: str) -> None:
        station = self._stations[name]
        if self._clock.now() < station.left_until:
            return
        limit_s = FIRST_ANSWER_S if station.record is None else ANSWERS_WITHIN_S
        try:
            async with asyncio.timeout(limit_s):
                api = await self._fleet.api(name)
                station.seen = await self._look(name, api, station)
            station.gap = ""
        except BillowError as error:
            station.gap = "; ".join((error.brief, *error.details))
        except TimeoutError:
            station.gap = f"libvirt on {name} did not answer within {limit_s:g} s"
            station.left_until = self._clock.now() + ASKED_AGAIN_S
            self._fleet.distrust(name)

    async def _look(self, name: str, api: Api, station: _Station) -> tuple[Sighting, ...]:
        cpu, memory, stats = await asyncio.gather(api.node_cpu(), api.node_memory(), api.stats())
        now = self._clock.now()
        if station.record is None or station.gap:
            await self._study(name, api, memory["total"])
        station.use = self._uses.host(name, cpu, memory, now)
        found = []
        for domain, figures in stats:
            state, reason = _state(figures)
            machine = await self._machine(api, station, domain, (state, domain.number))
            if machine is not None:
                use = self._uses.machine(domain, figures, now)
                sighting = Sighting(
                    host=name, domain=domain, machine=machine, state=state, reason=reason, use=use
                )
                found.append(sighting)
        gone = station.machines.keys() - {each.domain.uuid for each in found}
        for uuid in gone:
            del station.machines[uuid]
        return tuple(found)

    async def _study(self, name: str, api: Api, memory_kib: int) -> None:
        """Learn what a host is, and write it down for when it does not answer."""
        known = self._records.host(name)
        record = host_record(await api.capabilities(), memory_kib, known)
        if record.kvm:
            with contextlib.suppress(Fault):  # an old libvirt, or one that cannot say
                said = parsed(await api.domain_capabilities())
                record = replace(record, cpu_model=host_cpu(said, record.arch))
        if record != known:
            self._records.save_host(name, record)
        self._stations[name].record = record

    async def _machine(
        self, api: Api, station: _Station, domain: Domain, as_it_is: tuple[int, int]
    ) -> Machine | None:
        """Return a machine's definition; None when it went away meanwhile."""
        now = self._clock.now()
        read = station.machines.get(domain.uuid)
        if read is not None and read[1] == as_it_is and now - read[0] < READ_AGAIN_S:
            return read[2]
        try:
            machine = machine_of(await api.xml(domain))
        except Fault as fault:
            if fault.number == Error.NO_DOMAIN:
                return None
            raise
        station.machines[domain.uuid] = (now, as_it_is, machine)
        return machine

    def _at_home(self, seen: Iterable[Sighting]) -> list[Sighting]:
        """Return each machine once: where it runs, or else where it was before."""
        copies: dict[str, list[Sighting]] = {}
        for each in seen:
            copies.setdefault(each.machine.uuid, []).append(each)
        homes = [max(each, key=self._likelihood) for each in copies.values()]
        self._homes = {each.machine.uuid: each.host for each in homes}
        return homes

    def _likelihood(self, each: Sighting) -> tuple[bool, bool, bool, bool]:
        answers = not self._stations[each.host].gap
        return answers, *each.rank, self._homes.get(each.machine.uuid) == each.host

    def _built(self) -> Pool:
        shown = {
            name: each
            for name, each in self.found.items()
            if each.machine.description is None
            or each.machine.description.stage is not Stage.CREATING
        }
        descriptions = [each.machine.description for each in shown.values()]
        groups: Mapping[str, Group] = {
            each.group.name: each.group for each in descriptions if each and each.group
        }
        gaps = [
            Gap(f"host/{name}", station.gap)
            for name, station in self._stations.items()
            if station.gap
        ]
        return Pool.build(
            [self._host(name, station) for name, station in self._stations.items()],
            [self._instance(name, each) for name, each in shown.items()],
            groups=groups.values(),
            facts=[fact for name, each in shown.items() for fact in _facts(name, each)],
            gaps=gaps,
            taken_at=self._clock.now(),
        )

    def _host(self, name: str, station: _Station) -> Host:
        record = self._records.host(name)
        seen = not station.gap
        use = station.use if seen else UNSEEN
        host = host_of(name, record, seen=seen)
        return replace(host, cpu_used_milli=use.cpu_milli, memory_used_mib=use.memory_mib)

    def _instance(self, name: str, each: Sighting) -> Instance:
        state = state_of(each.state, each.reason)
        if self._stations[each.host].gap or (
            each.machine.description and each.machine.description.stage is Stage.DELETING
        ):
            state = State.UNKNOWN
        instance = instance_of(each.machine, name, each.host, state)
        own = bool(each.machine.disks) and not self._shared_storage
        here = self._records.host(each.host).cpu_model
        return replace(
            instance,
            disk=Storage.OWN if own else Storage.SHARED,
            cpu_model=needed(each.machine.cpu, here, runs=each.domain.number >= 0),
            cpu_used_milli=each.use.cpu_milli,
            memory_used_mib=each.use.memory_mib,
            cpu_wait=each.use.cpu_wait,
        )


def _state(figures: Mapping[str, Value]) -> tuple[DomainState, int]:
    return DomainState(int(figures.get("state.state", 0))), int(figures.get("state.reason", 0))


def _facts(name: str, each: Sighting) -> Sequence[Fact]:
    subject, machine = f"instance/{name}", each.machine
    maker = "billow" if machine.description else "somebody else"
    return (
        Fact(subject, "accelerator", "kvm" if machine.kvm else "tcg"),
        Fact(subject, "libvirt_name", machine.name),
        Fact(subject, "libvirt_uuid", str(UUID(machine.uuid))),
        Fact(subject, "made_by", maker),
    )
