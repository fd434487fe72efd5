# SPDX-License-Identifier: Apache-2.0
"""Fleets to decide upon, and a loop that lets decisions have their effect in virtual time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from billow.model.ha.care import Maintenance
from billow.model.ha.evidence import NETWORKS, Network, Sight
from billow.model.ha.incident import Incident, Phase, Victim
from billow.model.ha.policy import HaPolicy
from billow.model.ha.response import (
    Answer,
    AskAgent,
    Clean,
    CutPower,
    Deed,
    StartElsewhere,
    Turn,
)
from billow.model.kinds import Power
from billow.plan.ha.decide import decide
from billow.plan.ha.fleet import Evidence, Layout, Place

START = 1_000_000.0
ASKED = AskAgent | CutPower | StartElsewhere | Clean
Outside = Callable[[Deed, float], Answer | None]
Seen = Callable[[float], Mapping[str, Sight]]


def fleet(hosts: int, per_rack: int = 10, zone: str = "z") -> Layout:
    """Return hosts `h0`, `h1`, ... on as many racks, and switches of each network, as needed."""
    return Layout({f"h{n}": _place(zone, n // per_rack) for n in range(hosts)})


def _place(zone: str, rack: int) -> Place:
    switches = tuple(f"{network[0]}{rack}" for network in NETWORKS)
    return Place(zone, f"r{rack}", switches, ("pool",))


def silent(host: str, power: Power, *, at: float = START, lease_s: float = 0.0) -> Sight:
    """Return a host that is heard nowhere since an instant."""
    return Sight(
        host=host,
        lost=dict.fromkeys(NETWORKS, at),
        heard_at=at - 1.0,
        power=power,
        power_since=at + 0.1,
        lease_s=lease_s,
    )


def well(host: str, now: float, power: Power = Power.ON) -> Sight:
    """Return a host to which nothing happened."""
    return Sight(host=host, heard_at=now, power=power, clean_beats=1_000)


def lossy(host: str, now: float, *lost: Network, power: Power = Power.ON) -> Sight:
    """Return a host that is lost on some networks and heard on the others."""
    return Sight(host=host, lost=dict.fromkeys(lost, START), heard_at=now, power=power)


def obliging(deed: Deed, now: float) -> Answer | None:
    """Answer each deed at once: all goes well outside."""
    return Answer(deed, ok=True, at=now, text="done") if isinstance(deed, ASKED) else None


@dataclass
class Drive:
    """Decisions over a fleet, step by step in virtual time.

    Attributes:
        log: Every turn, and when it was taken.
        most_fencing: The most hosts that were in fencing at one instant.
    """

    layout: Layout
    seen: Seen
    outside: Outside = obliging
    policy: HaPolicy = field(default_factory=HaPolicy)
    maintenance: Sequence[Maintenance] = ()
    instances: int = 1
    bands: Mapping[str, int] = field(default_factory=dict)
    present: int = 3
    now: float = START
    open: dict[str, Incident] = field(default_factory=dict)
    history: list[Incident] = field(default_factory=list)
    log: list[tuple[float, Turn]] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    pending: dict[Deed, str] = field(default_factory=dict)
    most_fencing: int = 0

    def run(self, seconds: float, every_s: float = 0.2) -> "Drive":
        """Let so much time go by."""
        until = self.now + seconds
        while self.now < until:
            self.step()
            self.now += every_s
        return self

    def step(self) -> None:
        """Decide once, and let what was ordered happen."""
        for turn in decide(self._evidence(), self.now):
            self._take(turn)
        for deed, incident in list(self.pending.items()):
            if answer := self.outside(deed, self.now):
                del self.pending[deed]
                self.answers.setdefault(incident, []).append(answer)
        fencing = sum(each.phase is Phase.FENCING for each in self.open.values())
        self.most_fencing = max(self.most_fencing, fencing)

    def deeds(self, *kinds: type) -> list[Deed]:
        """Return the deeds of some kinds, in order."""
        return [deed for _, turn in self.log for deed in turn.deeds if isinstance(deed, kinds)]

    @property
    def fenced(self) -> set[str]:
        """Hosts for which anything was ordered that ends what runs there."""
        return {deed.host for deed in self.deeds(AskAgent, CutPower) if hasattr(deed, "host")}

    def evacuated(self) -> list[str]:
        """Return the hosts whose instances were started elsewhere, in order."""
        sources = [each.source for each in self.deeds(StartElsewhere) if hasattr(each, "source")]
        return list(dict.fromkeys(sources))

    def phases(self, hosts: Iterable[str]) -> set[Phase]:
        """Return where the incidents of some hosts stand."""
        return {self.open[host].phase for host in hosts if host in self.open}

    def _take(self, turn: Turn) -> None:
        incident = turn.incident
        before = self.open.get(incident.host)
        assert incident.version == (1 if before is None else before.version + 1)
        self.open[incident.host] = incident
        if not incident.phase.open:
            self.history.append(self.open.pop(incident.host))
        self.log.append((self.now, turn))
        for deed in turn.deeds:
            if isinstance(deed, ASKED):
                self.pending[deed] = incident.id

    def _evidence(self) -> Evidence:
        sights = self.seen(self.now)
        victims = {host: self._victims(host) for host in {*sights, *self.open}}
        names = [each.instance for every in victims.values() for each in every]
        return Evidence(
            fence=1,
            layout=self.layout,
            policy=self.policy,
            sights=sights,
            incidents=dict(self.open),
            history=tuple(self.history),
            answers=self.answers,
            victims=victims,
            rooms=dict.fromkeys(names, "spare"),
            maintenance=self.maintenance,
            controllers=3,
            present=self.present,
        )

    def _victims(self, host: str) -> tuple[Victim, ...]:
        band = self.bands.get(host, 0)
        return tuple(Victim(f"{host}-vm{n}", band) for n in range(self.instances))
