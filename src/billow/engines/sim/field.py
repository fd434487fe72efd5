# SPDX-License-Identifier: Apache-2.0
"""The hosts of a simulated world as they truly are: networks, power, kernels, agents, leases.

It is the testbed of high availability: faults change it, agents and management controllers tell
of it, and it knows which copies of an instance really run, so that one that runs twice is found
whatever the records say. It must not decide anything, and everything happens in the agenda's time.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Self

from billow.engines.sim.agenda import Agenda
from billow.engines.sim.condition import BEAT_S, BOOT_S, LEASE_S, Bmc, Condition, Kernel
from billow.engines.sim.copies import Copies
from billow.engines.sim.fault import Blow, Fault, Whom
from billow.engines.sim.ground import Ground
from billow.errors import Invalid
from billow.model.action import Action, Evacuate, Fence, PowerOff, PowerOn, Start
from billow.model.ha.evidence import NETWORKS, Hardware, Network
from billow.model.host import Host
from billow.model.hosts import Hosts
from billow.model.kinds import Health, Power, code_of
from billow.model.pool import Pool


class Field:
    """What is true of hosts beside the pool's own record.

    Attributes:
        conditions: Of each host that anything ever befell.
        deaf: Networks that an observer has lost, by its name, and since when.
        copies: What really runs on them.
    """

    def __init__(
        self, ground: Ground, agenda: Agenda, interrupt: Callable[[str, str], None]
    ) -> None:
        """Let all be well. `interrupt(host, why)` is told when actions on a host can only fail."""
        self.conditions: dict[str, Condition] = {}
        self.deaf: dict[str, dict[Network, float]] = {}
        self.copies = Copies(ground, agenda, self.condition)
        self._watched: tuple[Hosts, frozenset[str], frozenset[str], tuple[str, ...]] | None = None
        self._ground = ground
        self._agenda = agenda
        self._interrupt = interrupt

    @property
    def rests(self) -> bool:
        """Whether nothing of it must be remembered."""
        mended = self.copies.rest and not any(self.deaf.values())
        return mended and all(each.well for each in self.conditions.values())

    def strike(self, fault: Fault) -> None:
        """Let a fault befall. Raises Invalid when it befalls nobody."""
        if fault.whom is Whom.OBSERVER:
            was = self.deaf.get(fault.name, {})
            lost = _without(frozenset(was), fault)
            self.deaf[fault.name] = {each: was.get(each, self._agenda.now) for each in lost}
        else:
            for host in self.hosts_of(fault):
                self.befall(host, fault)
        self._agenda.tell(str(fault))

    @classmethod
    def of(cls, pool: Pool) -> Self:
        """Return the field of a pool in which nothing happens."""
        return cls(Ground(pool), Agenda(), lambda _host, _why: None)

    def befallen(self, fault: Fault) -> list[str]:
        """Return whom a fault befalls, an observer too. Raises Invalid: nobody."""
        return [fault.name] if fault.whom is Whom.OBSERVER else self.hosts_of(fault)

    def hosts_of(self, fault: Fault) -> list[str]:
        """Return whom a fault befalls. Raises Invalid: nobody."""
        names = (fault.name,) if fault.whom is Whom.HOST else self._ground.host_names
        found = [
            host.id
            for host in map(self._ground.host, names)
            if host is not None and _is_meant(host, fault)
        ]
        if not found:
            raise Invalid(f"there is no {fault.whom} {fault.name!a:.80} for a fault")
        return found

    def condition(self, host: str) -> Condition:
        """Return what is true of a host; that of one that is well is not kept."""
        return self.conditions.get(host) or Condition()

    def is_silent(self, host: str) -> bool:
        """Return whether nothing reaches a host."""
        return not self.condition(host).audible

    def befall(self, host: str, fault: Fault) -> None:
        """Let a fault befall one host."""
        there = self.conditions.setdefault(host, Condition())
        now, before, told = self._agenda.now, there.audible, there.says(self._agenda.now)
        was_clean = there.clean
        _BLOWS[fault.blow](self, host, there, fault)
        after = there.audible
        if before:
            gasped = fault.blow is Blow.GASPS
            there.told = replace(told, gasped=True) if gasped else told
        self._note_silence(there, before, after)
        self._watch_lease(host, there)
        self._ground.unlocked.discard(host)
        if Network.STORAGE in there.lost:
            self._ground.unlocked.add(host)
        if not (was_clean and there.clean):
            there.clean_since = now
        for name in self.copies.strays_on(host):
            self.copies.audit(name)

    def follow(self, action: Action) -> None:
        """Let what an action did be true of hosts as well."""
        match action:
            case Fence() | PowerOff():
                self.befall(action.host, Fault(Whom.HOST, action.host, Blow.DARK))
                self.conditions[action.host].retired = isinstance(action, PowerOff)
            case PowerOn():
                self._on(action.host)
            case Start():
                there = self._ground.instance(action.instance)
                if there is not None and there.is_host:
                    self._on(action.host)
            case Evacuate():
                self.copies.audit(action.instance)
            case _:
                pass

    def die(self, host: str) -> None:
        """Let a host and its management controller lose power: nobody can tell either."""
        for blow in (Blow.BMC_DIES, Blow.DARK):
            self.befall(host, Fault(Whom.HOST, host, blow))
        self._show(host, Power.UNKNOWN, Health.FAILED)

    def come_back(self, host: str) -> None:
        """Let a host be well again, with power."""
        for blow in (Blow.HEALS, Blow.UP):
            self.befall(host, Fault(Whom.HOST, host, blow))
        self._show(host, Power.ON, Health.OK)

    def watched(self) -> tuple[str, ...]:
        """Return the hosts that somebody misses: not those that a plan has turned off.

        The same object when nothing changed. Linear in hosts when something did.
        """
        hosts = self._ground.fold().hosts
        retired = frozenset(name for name, there in self.conditions.items() if there.retired)
        ailing = frozenset(self.conditions) - retired
        known = self._watched
        if known is None or known[0] is not hosts or known[1:3] != (retired, ailing):
            lit = zip(hosts.id, (hosts.power != code_of(Power.OFF)).tolist(), strict=True)
            found = (name for name, on in lit if (on or name in ailing) and name not in retired)
            known = self._watched = hosts, retired, ailing, tuple(found)
        return known[3]

    def _note_silence(
        self, there: Condition, before: tuple[Network, ...], after: tuple[Network, ...]
    ) -> None:
        """Remember when a host was heard last, on each network that is silent now."""
        last_beat = self._agenda.now // BEAT_S * BEAT_S
        for network in NETWORKS:
            if network in after:
                there.heard.pop(network, None)
            elif network in before:
                there.heard[network] = last_beat

    def _watch_lease(self, host: str, there: Condition) -> None:
        """Count from the last acknowledged beat; a watchdog asks no kernel."""
        there.armed |= bool(there.audible)
        if there.audible or not there.armed or not there.powered:
            there.silent_since = None
            return
        if there.silent_since is None:
            there.silent_since = max(there.heard.values(), default=self._agenda.now)
        if there.lease_s:
            there.version += 1
            due = there.silent_since + there.lease_s
            self._agenda.schedule(due, partial(self._expire, host, there.version))

    def _expire(self, host: str, version: int) -> None:
        """Let a watchdog reset its host, unless its peers are not heard either."""
        there = self.condition(host)
        if there.version != version or there.silent_since is None or not there.powered:
            return
        names = self._ground.host_names
        if not any(self.condition(other).audible for other in names if other != host):
            self._agenda.schedule(self._agenda.now + 1.0, partial(self._expire, host, version))
            return
        self.reset(host, "its watchdog reset it")

    def reset(self, host: str, why: str) -> None:
        """Let a host end all that it runs and boot anew."""
        there = self.conditions.setdefault(host, Condition())
        before = there.audible
        there.told = there.says(self._agenda.now)
        self._end(host, why)
        self._note_silence(there, before, ())
        self._begin_boot(host, there)
        self._agenda.tell(f"host {host}: {why}")

    def _begin_boot(self, host: str, there: Condition) -> None:
        there.kernel, there.silent_since, there.armed = Kernel.BOOTING, None, False
        there.version += 1
        due = self._agenda.now + BOOT_S
        self._agenda.schedule(due, partial(self._boot, host, there.version))

    def _boot(self, host: str, version: int) -> None:
        there = self.condition(host)
        if there.version == version and there.powered:
            self._booted(host, there)

    def _booted(self, host: str, there: Condition) -> None:
        """Let a host be up: it starts nothing, and counts only when it was cleaned."""
        self.copies.forget_strays(host)
        there.powered, there.kernel, there.agent = True, Kernel.ALIVE, True
        there.hung = False
        there.gasped, there.quarantined, there.retired = False, True, False
        there.boot += 1
        there.version += 1
        there.silent_since = None
        there.clean_since = self._agenda.now
        for network in there.audible:
            there.heard.pop(network, None)
        self._show(host, Power.ON, Health.OK)
        self._watch_lease(host, there)

    def _end(self, host: str, why: str) -> None:
        self._interrupt(host, f"host {host}: {why}")
        self.copies.end(host)

    def _show(self, host: str, power: Power, health: Health) -> None:
        row = self._ground.host(host)
        if row is not None:
            self._ground.put_host(replace(row, power=power, health=health))

    def _lose(self, _host: str, there: Condition, fault: Fault) -> None:
        there.lost = _without(there.lost, fault)

    def _freeze(self, host: str, there: Condition, _fault: Fault) -> None:
        if there.kernel is Kernel.ALIVE:
            there.kernel = Kernel.FROZEN
            self._show(host, Power.ON, Health.FAILED)

    def _thaw(self, host: str, there: Condition, _fault: Fault) -> None:
        if there.kernel is Kernel.FROZEN:
            there.kernel = Kernel.ALIVE
            self._show(host, Power.ON, Health.OK)

    def _crash(self, host: str, there: Condition, fault: Fault) -> None:
        self._end(host, "its kernel died")
        there.kernel, there.gasped = Kernel.DEAD, fault.blow is Blow.GASPS
        self._show(host, Power.ON, Health.FAILED)

    def _darken(self, host: str, there: Condition, _fault: Fault) -> None:
        self._end(host, "it lost power")
        there.powered, there.kernel = False, Kernel.DEAD
        there.version += 1
        row = self._ground.host(host)
        self._show(host, Power.OFF, row.health if row else Health.OK)

    def _on(self, host: str) -> None:
        """Let a host that a plan has turned on be up; it may never have been off."""
        there = self.conditions.get(host)
        if there is not None and not there.works:
            retired = there.retired
            self._booted(host, there)
            there.quarantined = not retired

    def _bmc_on(self, host: str, there: Condition, _fault: Fault) -> None:
        if not there.powered:
            there.powered = True
            self._begin_boot(host, there)
            self._show(host, Power.ON, Health.FAILED)

    def _come_up(self, host: str, there: Condition, _fault: Fault) -> None:
        if not there.works:
            self._booted(host, there)

    def _agent(self, _host: str, there: Condition, fault: Fault) -> None:
        there.agent = fault.blow is Blow.AGENT_STARTS
        there.hung = fault.blow is Blow.AGENT_HANGS

    def _ail(self, _host: str, there: Condition, fault: Fault) -> None:
        if there.hardware is not fault.grade:
            there.hardware, there.ill_since = fault.grade, self._agenda.now

    def _lease(self, _host: str, there: Condition, fault: Fault) -> None:
        there.lease_s = fault.number

    def _bmc(self, _host: str, there: Condition, fault: Fault) -> None:
        there.bmc = _BMC[fault.blow]
        if fault.blow is Blow.BMC_ANSWERS:
            there.bmc_s = fault.number

    def _heal(self, host: str, there: Condition, fault: Fault) -> None:
        there.lost, there.bmc, there.lease_s = frozenset(), Bmc.HONEST, LEASE_S
        there.bmc_s, there.hardware = Condition().bmc_s, Hardware.SOUND
        there.agent, there.hung = True, False
        self._thaw(host, there, fault)

    def _fenced(self, host: str, there: Condition, fault: Fault) -> None:
        there.obeyed = int(fault.number)
        self.copies.end(host)

    def _cleaned(self, host: str, there: Condition, fault: Fault) -> None:
        there.obeyed, there.quarantined = int(fault.number), False
        self.copies.forget_strays(host)


_Struck = Callable[[Field, str, Condition, Fault], None]
_BLOWS: Final[dict[Blow, _Struck]] = {
    Blow.LOSES: Field._lose,  # noqa: SLF001  # its own table
    Blow.REGAINS: Field._lose,  # noqa: SLF001
    Blow.FREEZES: Field._freeze,  # noqa: SLF001
    Blow.THAWS: Field._thaw,  # noqa: SLF001
    Blow.CRASHES: Field._crash,  # noqa: SLF001
    Blow.GASPS: Field._crash,  # noqa: SLF001
    Blow.DARK: Field._darken,  # noqa: SLF001
    Blow.UP: Field._come_up,  # noqa: SLF001
    Blow.AGENT_DIES: Field._agent,  # noqa: SLF001
    Blow.AGENT_HANGS: Field._agent,  # noqa: SLF001
    Blow.AGENT_STARTS: Field._agent,  # noqa: SLF001
    Blow.HARDWARE: Field._ail,  # noqa: SLF001
    Blow.LEASE: Field._lease,  # noqa: SLF001
    Blow.BMC_DIES: Field._bmc,  # noqa: SLF001
    Blow.BMC_LIES: Field._bmc,  # noqa: SLF001
    Blow.BMC_SWAPPED: Field._bmc,  # noqa: SLF001
    Blow.BMC_ANSWERS: Field._bmc,  # noqa: SLF001
    Blow.BMC_ON: Field._bmc_on,  # noqa: SLF001
    Blow.HEALS: Field._heal,  # noqa: SLF001
    Blow.FENCED: Field._fenced,  # noqa: SLF001
    Blow.CLEANED: Field._cleaned,  # noqa: SLF001
}
_BMC: Final = {
    Blow.BMC_DIES: Bmc.DEAD,
    Blow.BMC_LIES: Bmc.LYING,
    Blow.BMC_SWAPPED: Bmc.SWAPPED,
    Blow.BMC_ANSWERS: Bmc.HONEST,
}


def _without(lost: frozenset[Network], fault: Fault) -> frozenset[Network]:
    named = frozenset(fault.networks)
    return lost | named if fault.blow is Blow.LOSES else lost - named


def _is_meant(host: Host, fault: Fault) -> bool:
    match fault.whom:
        case Whom.HOST:
            return host.id == fault.name
        case Whom.RACK:
            return host.rack == fault.name
        case Whom.ZONE:
            return host.zone == fault.name
        case _:
            return True
