# SPDX-License-Identifier: Apache-2.0
"""The gates: what must be so before anything is ended or moved for a host, whatever its row says.

They hold back what is right for one host and wrong for a hundred: a switch that fails looks like
many dead hosts. A gate never orders anything. Pure; linear in the incidents, not in the fleet.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import floor, inf
from typing import Final

from billow.model.ha.care import Maintenance, Reach
from billow.model.ha.evidence import Sight
from billow.model.ha.explanation import Gate
from billow.model.ha.incident import Fate, Incident, Phase, Recovery
from billow.model.kinds import Power
from billow.plan.ha.fleet import Evidence, Scope

MOST_UNEVEN_S: Final = 4.0
"""So long after its host was suspected an incident waits for a controller that was held up."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one gate says of one host.

    Attributes:
        rule: Why it is shut: the same sentence as long as the reason is the same.
    """

    gate: Gate
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Storm:
    """Hosts that share something were suspected together.

    Attributes:
        began_at, ended_at: Seconds since the epoch; `inf` while it lasts.
    """

    scope: Scope
    began_at: float
    ended_at: float

    @property
    def key(self) -> str:
        """What tells it from other storms."""
        return f"{self.scope.kind}/{self.scope.name}/{self.began_at:.0f}"


@dataclass(frozen=True, slots=True)
class Tally:
    """What is being ended in one zone.

    Attributes:
        busy: Hosts for which proof is sought.
        begun: When each search for proof of late began, in order.
    """

    busy: int
    begun: tuple[float, ...]


def is_dark(sight: Sight | None, incident: Incident | None) -> bool:
    """Whether a host has no power, by a management controller that was never caught lying."""
    if sight is None or (incident is not None and incident.distrust):
        return False
    return sight.silent and sight.power is Power.OFF


@dataclass(slots=True)
class Gates:
    """The gates at one instant, for one decision over the fleet.

    `note` makes room for what was decided for the hosts before: the order of the calls counts.
    """

    evidence: Evidence
    now: float
    current: dict[str, Incident] = field(init=False)
    _members: dict[Scope, dict[str, Incident]] = field(init=False)
    _past: dict[str, dict[str, float]] = field(init=False)
    _storms: dict[Scope, Storm | None] = field(init=False, default_factory=dict)
    _tallies: dict[Scope, Tally] = field(init=False, default_factory=dict)
    _known: dict[str, tuple[Scope, ...]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.current = {}
        self._members = defaultdict(dict)
        self._past = defaultdict(dict)
        for incident in (*self.evidence.history, *self.evidence.incidents.values()):
            self.note(incident)

    def note(self, incident: Incident) -> None:
        """Take in how the incident of a host stands."""
        if incident.phase.open:
            self.current[incident.host] = incident
        elif incident.host in self.current:
            del self.current[incident.host]
        if incident.suspected_at:
            self._past[incident.host][incident.id] = incident.suspected_at
            zone = self._scopes(incident.host)[0]
            if _counts(self._members[zone].get(incident.id)) != _counts(incident):
                self._tallies.pop(zone, None)
            for scope in self._scopes(incident.host):
                self._members[scope][incident.id] = incident

    def rulings(self, host: str, recovery: Recovery) -> tuple[Ruling, ...]:
        """Return what each gate says of a host, in the order in which they are asked."""
        usual = tuple(self._usual(host, recovery))
        if any(each.rule for each in usual) and self._own_way(host, recovery):
            return (*self._always(host), *self._in_the_dark(host))
        return usual

    def shut(self, host: str, recovery: Recovery, *, released: bool = False) -> str:
        """Return why nothing may be ended or moved for a host now; empty when it may.

        A person's word opens the gates that count hosts, and no other.
        """
        if released:
            return _first(self._always(host))
        rule = _first(self._usual(host, recovery))
        if rule and self._own_way(host, recovery):
            return _first((*self._always(host), *self._in_the_dark(host)))
        return rule

    def _always(self, host: str) -> Iterator[Ruling]:
        yield self._armed()
        yield self._maintained(host)
        yield self._quorum()

    def _usual(self, host: str, recovery: Recovery) -> Iterator[Ruling]:
        yield from self._always(host)
        yield self._calm(host)
        mine = self.current.get(host)
        if recovery is Recovery.RESTART and (mine is None or mine.phase is not Phase.FENCING):
            yield self._even(mine)
            yield self._canary(host)
            yield self._at_once(host)
            yield self._window(host)

    def _own_way(self, host: str, recovery: Recovery) -> bool:
        """Whether a host is proved dark: such go slowly even where others may not go at all."""
        mine = self.current.get(host)
        return recovery is Recovery.RESTART and is_dark(self.evidence.sights.get(host), mine)

    def _in_the_dark(self, host: str) -> Iterator[Ruling]:
        mine = self.current.get(host)
        if mine is None or mine.phase is not Phase.FENCING:
            yield self._at_once(host)
            yield self._dark(host)

    def storm(self, host: str) -> Storm | None:
        """Return the storm that a host stands in, its cool-down included."""
        storms = (self._storm(scope) for scope in self._scopes(host))
        return next((each for each in storms if each is not None and self._fresh(each)), None)

    def flaps(self, host: str) -> bool:
        """Whether a host failed so often of late that it does not count.

        Where most of those that share something with it failed as often, it is not the host.
        """
        if not self._fails_often(host):
            return False
        return not any(self._fail_together(scope) for scope in self._scopes(host))

    def _fails_often(self, host: str) -> bool:
        policy = self.evidence.policy
        times = sorted(self._past[host].values())
        bursts = zip(times, times[policy.flaps - 1 :], strict=False)
        return any(
            last - first <= policy.flap_s and self.now - last < policy.quarantine_s
            for first, last in bursts
        )

    def _fail_together(self, scope: Scope) -> bool:
        hosts = {each.host for each in self._members[scope].values()}
        return sum(self._fails_often(host) for host in hosts) >= self._needed(scope)

    def flapping(self, host: str) -> Ruling:
        """Say whether a host flaps; that never keeps it from being recovered."""
        policy = self.evidence.policy
        count = sum(1 for at in self._past[host].values() if at > self.now - policy.flap_s)
        text = f"{count} failures within {policy.flap_s:g} s, {policy.flaps} are too many"
        return Ruling(Gate("flapping", not self.flaps(host), text))

    def _scopes(self, host: str) -> tuple[Scope, ...]:
        if host not in self._known:
            self._known[host] = self.evidence.layout.place(host).scopes()
        return self._known[host]

    def _armed(self) -> Ruling:
        by = self._cared(Reach.POOL)
        text = "high availability is armed" if by is None else f"disarmed by {by.owner}: {by.why}"
        return Ruling(Gate("armed", by is None, text), "" if by is None else text)

    def _maintained(self, host: str) -> Ruling:
        by = self._cared(Reach.HOST, Reach.RACK, Reach.ZONE, host=host)
        if by is None:
            return Ruling(Gate("maintenance", open=True, text="nobody works on it"))
        text = f"maintenance of {by.reach} {by.name} by {by.owner}: {by.why}"
        return Ruling(Gate("maintenance", open=False, text=text), text)

    def _cared(self, *reaches: Reach, host: str = "") -> Maintenance | None:
        place = self.evidence.layout.place(host)
        return next(
            (
                each
                for each in self.evidence.maintenance
                if each.reach in reaches
                and each.holds(self.now)
                and each.covers(host, place.rack, place.zone)
            ),
            None,
        )

    def _quorum(self) -> Ruling:
        have, need, of = self.evidence.present, self.evidence.quorum, self.evidence.controllers
        text = f"{have} of {of} controllers speak, {need} are needed"
        rule = "" if have >= need else f"fewer than {need} of {of} controllers speak"
        return Ruling(Gate("quorum", have >= need, text), rule)

    def _calm(self, host: str) -> Ruling:
        storm = self.storm(host)
        if storm is None:
            return Ruling(Gate("storm", open=True, text="no storm about it"))
        share = self._share(storm.scope)
        lasts = "it lasts" if storm.ended_at == inf else "it is over, the cool-down runs"
        rule = f"storm in {storm.scope}: {share:.0%} of its hosts or more were suspected together"
        return Ruling(Gate("storm", open=False, text=f"{rule}; {lasts}"), rule)

    def _even(self, incident: Incident | None) -> Ruling:
        """Wait for who was held up: it misses late, and a storm would be seen too late.

        Not for one that is held up again and again.
        """
        if not self.evidence.uneven or incident is None:
            return Ruling(Gate("even", open=True, text="no controller was held up just now"))
        suspected_s = abs(self.now - incident.suspected_at)
        text = f"a controller was held up just now, its host is suspected for {suspected_s:.1f} s"
        if suspected_s >= MOST_UNEVEN_S:
            return Ruling(Gate("even", open=True, text=text))
        rule = "a controller was held up: it may miss other hosts later"
        return Ruling(Gate("even", open=False, text=text), rule)

    def _canary(self, host: str) -> Ruling:
        """Let the first evacuation after a storm go alone."""
        zone = self._scopes(host)[0]
        storms = (self._storm(scope) for scope in self._scopes(host))
        ended = (each.ended_at for each in storms if each is not None)
        after = max((each for each in ended if each <= self.now), default=inf)
        first = [each for each in self._members[zone].values() if self._begun_at(each) > after]
        if not first or not all(self._still_sings(each) for each in first):
            return Ruling(Gate("canary", open=True, text="no evacuation after a storm is awaited"))
        text = "the first evacuation after a storm goes alone"
        return Ruling(Gate("canary", open=False, text=text), _by_turns(zone))

    def _still_sings(self, incident: Incident) -> bool:
        begun = {Phase.FENCING, Phase.RECOVERING}
        if incident.phase not in begun or any(v.fate is Fate.STARTED for v in incident.victims):
            return False
        return self.now - self._begun_at(incident) < self.evidence.policy.canary_s

    def _at_once(self, host: str) -> Ruling:
        zone = self._scopes(host)[0]
        limit = self._count(zone, self.evidence.policy.fencing_share)
        busy = self._tally(zone).busy
        text = f"{busy} hosts of {zone} are being fenced, at most {limit} at once"
        rule = "" if busy < limit else _by_turns(zone)
        return Ruling(Gate("at_once", busy < limit, text), rule)

    def _window(self, host: str) -> Ruling:
        policy = self.evidence.policy
        return self._bucket(host, "window", policy.window_share, policy.window_s)

    def _dark(self, host: str) -> Ruling:
        policy = self.evidence.policy
        return self._bucket(host, "dark", policy.dark_share, policy.dark_s)

    def _bucket(self, host: str, name: str, share: float, within_s: float) -> Ruling:
        zone = self._scopes(host)[0]
        limit = self._count(zone, share)
        begun = self._tally(zone).begun
        count = len(begun) - bisect_right(begun, self.now - within_s)
        text = f"{count} hosts of {zone} were fenced within {within_s:g} s, at most {limit}"
        rule = "" if count < limit else _by_turns(zone)
        return Ruling(Gate(name, count < limit, text), rule)

    def _tally(self, zone: Scope) -> Tally:
        """Return what is being ended in a zone; remembered until that changes."""
        if zone not in self._tallies:
            members = self._members[zone].values()
            busy = sum(1 for each in members if each.phase is Phase.FENCING and not each.held)
            begun = sorted(at for each in members if (at := self._begun_at(each)))
            self._tallies[zone] = Tally(busy, tuple(begun))
        return self._tallies[zone]

    def _count(self, scope: Scope, share: float) -> int:
        return max(1, floor(share * self.evidence.layout.sizes.get(scope, 1) + 1e-9))

    def _share(self, scope: Scope) -> float:
        policy = self.evidence.policy
        return policy.storm_share if scope.kind == "zone" else policy.storm_group_share

    def _needed(self, scope: Scope) -> float:
        """Return how many hosts of a scope together are no accident."""
        share = self._share(scope) * self.evidence.layout.sizes.get(scope, 1) - 1e-9
        return max(float(self.evidence.policy.storm_hosts), share)

    def _fresh(self, storm: Storm) -> bool:
        return storm.ended_at + self.evidence.policy.cooldown_s > self.now

    def _storm(self, scope: Scope) -> Storm | None:
        """Return the last storm of a scope; remembered, as a decision asks for it often."""
        if scope not in self._storms:
            self._storms[scope] = self._looked_for(scope)
        return self._storms[scope]

    def _looked_for(self, scope: Scope) -> Storm | None:
        needed = self._needed(scope)
        members, faint = self._members[scope].values(), self._faint_in(scope)
        if len({*faint, *(each.host for each in members)}) < needed:
            return None
        spans = [(each.host, *self._suspect(each)) for each in members]
        spans += [(host, self.now, inf) for host in faint]
        spans = [each for each in spans if not self._maintained(each[0]).rule]
        return _last_storm(scope, spans, needed, self.now)

    def _faint_in(self, scope: Scope) -> list[str]:
        known = self.evidence.incidents
        faint = (each for each in self.evidence.faint if each not in known)
        return [host for host in faint if scope in self._scopes(host)]

    def _suspect(self, incident: Incident) -> tuple[float, float]:
        """Return from when to when a host counts as suspected: until something became of it."""
        begin = min(incident.suspected_at, self.now)  # a clock may have been put back
        dark = is_dark(self.evidence.sights.get(incident.host), incident)
        lasts = incident.phase is Phase.WAITING and not dark
        return begin, inf if lasts else begin + self.evidence.policy.storm_s

    def _begun_at(self, incident: Incident) -> float:
        """Return when the search for a proof of death began; 0 when it did not, or cannot."""
        if incident.attempts:
            return incident.attempts[0].began_at
        if incident.proof is not None:
            return incident.proof.at
        begins = incident.phase is Phase.FENCING and not incident.held
        return self.now if begins else 0.0


def _counts(incident: Incident | None) -> tuple[object, ...]:
    """Return what of an incident a tally is made from."""
    if incident is None:
        return ()
    return incident.phase, incident.held, incident.attempts, incident.proof


def _by_turns(zone: Scope) -> str:
    """Return one sentence for all that keeps hosts in a queue: which gate it is changes often."""
    return f"the hosts of {zone} are recovered a few at a time"


def _first(rulings: Iterable[Ruling]) -> str:
    return next((each.rule for each in rulings if each.rule), "")


def _last_storm(
    scope: Scope, spans: Iterable[tuple[str, float, float]], needed: float, now: float
) -> Storm | None:
    """Return the last time in which as many hosts as needed were suspected at once."""
    events = sorted(
        event for host, begin, end in spans for event in ((begin, 1, host), (end, -1, host))
    )
    count: dict[str, int] = defaultdict(int)
    suspects, began, last = 0, 0.0, None
    for at, change, host in events:
        if at > now:
            break
        was = suspects
        suspects += _flips(count, host, change)
        if suspects >= needed > was:
            began, last = at, Storm(scope, at, inf)
        elif was >= needed > suspects:
            last = Storm(scope, began, at)
    return last


def _flips(count: dict[str, int], host: str, change: int) -> int:
    """Return by how much the number of different suspects changes."""
    before = count[host] > 0
    count[host] += change
    return (count[host] > 0) - before
