# SPDX-License-Identifier: Apache-2.0
"""The gates: what must be so before anything is ended or moved for a host, whatever its row says.

They hold back what is right for one host and wrong for a hundred: a switch that fails looks like
many dead hosts. A gate never orders anything. Pure; linear in the incidents, not in the fleet.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import floor, inf
from typing import Final

from billow.model.ha.care import Maintenance, Reach
from billow.model.ha.evidence import Sight
from billow.model.ha.explanation import Gate
from billow.model.ha.incident import Incident, Phase, Recovery
from billow.model.kinds import Power
from billow.plan.ha.flaps import Flaps
from billow.plan.ha.fleet import Evidence, Scope
from billow.plan.ha.storms import Span, Storm, last_storm
from billow.plan.ha.tally import Mark, Tally, begun_at

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
    current: dict[str, Incident] = field(init=False, default_factory=dict)
    _members: dict[Scope, dict[str, Incident]] = field(init=False)
    _flaps: Flaps = field(init=False)
    _storms: dict[Scope, Storm | None] = field(init=False, default_factory=dict)
    _tallies: dict[Scope, Tally] = field(init=False)
    _known: dict[str, tuple[Scope, ...]] = field(init=False, default_factory=dict)
    _kept: dict[str, Ruling] = field(init=False, default_factory=dict)
    _faint: dict[Scope, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._members, self._tallies = defaultdict(dict), defaultdict(Tally)
        self._flaps = Flaps(self.evidence.policy, self.now, self._scopes)
        self._faint = self._faint_ones()
        for incident in (*self.evidence.history, *self.evidence.incidents.values()):
            self.note(incident)

    def note(self, incident: Incident) -> None:
        """Take in how the incident of a host stands."""
        if incident.phase.open:
            self.current[incident.host] = incident
        elif incident.host in self.current:
            del self.current[incident.host]
        if incident.suspected_at > self.now and not incident.phase.open:
            self._forget(incident)  # a clock was put back: nobody knows how long ago it was
        elif incident.suspected_at:
            self._count(incident)

    def _forget(self, incident: Incident) -> None:
        zone = self._scopes(incident.host)[0]
        if incident.id in self._members[zone]:
            self._tallies[zone].drop(self._mark(self._members[zone][incident.id]))
        self._flaps.drop(incident)
        for scope in self._scopes(incident.host):
            self._members[scope].pop(incident.id, None)

    def _count(self, incident: Incident) -> None:
        zone = self._scopes(incident.host)[0]
        self._forget(incident)
        self._tallies[zone].take(self._mark(incident))
        self._flaps.take(incident)
        for scope in self._scopes(incident.host):
            self._members[scope][incident.id] = incident

    def _mark(self, incident: Incident) -> Mark:
        return Mark.of(incident, self.now, self.evidence.policy.canary_s)

    def rulings(
        self, host: str, recovery: Recovery, *, released: bool = False
    ) -> tuple[Ruling, ...]:
        """Return what each gate says of a host, in the order in which they are asked.

        A person's word opens the gates that count hosts, and no other.
        """
        always, counting = tuple(self._always(host)), tuple(self._counting(host, recovery))
        if released:
            return (*always, *map(_by_word, counting))
        if _first((*always, *counting)) and self._own_way(host, recovery):
            return (*always, *self._in_the_dark(host))
        return (*always, *counting)

    def shut(self, host: str, recovery: Recovery, *, released: bool = False) -> str:
        """Return why nothing may be ended or moved for a host now; empty when it may."""
        rule = _first(self._always(host))
        if rule or released:
            return rule
        rule = _first(self._counting(host, recovery))
        if rule and self._own_way(host, recovery):
            return _first(self._in_the_dark(host))
        return rule

    def _always(self, host: str) -> Iterator[Ruling]:
        yield self._armed()
        yield self._maintained(host)
        yield self._quorum()

    def _counting(self, host: str, recovery: Recovery) -> Iterator[Ruling]:
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
        if not self._flaps.often(host):
            return False
        return not any(
            self._flaps.together(scope) >= self._needed(scope) for scope in self._scopes(host)
        )

    def flapping(self, host: str) -> Ruling:
        """Say whether a host flaps; that never keeps it from being recovered."""
        policy = self.evidence.policy
        count = self._flaps.count(host)
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
        if host not in self._kept:
            self._kept[host] = self._looked_after(host)
        return self._kept[host]

    def _looked_after(self, host: str) -> Ruling:
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
        if not self._tallies[zone].sings_alone(after):
            return Ruling(Gate("canary", open=True, text="no evacuation after a storm is awaited"))
        text = "the first evacuation after a storm goes alone"
        return Ruling(Gate("canary", open=False, text=text), _by_turns(zone))

    def _at_once(self, host: str) -> Ruling:
        zone = self._scopes(host)[0]
        limit = self._most(zone, self.evidence.policy.fencing_share)
        busy = self._tallies[zone].busy
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
        limit = self._most(zone, share)
        count = self._tallies[zone].since(self.now - within_s)
        text = f"{count} hosts of {zone} were fenced within {within_s:g} s, at most {limit}"
        rule = "" if count < limit else _by_turns(zone)
        return Ruling(Gate(name, count < limit, text), rule)

    def _most(self, scope: Scope, share: float) -> int:
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
        members, faint = self._members[scope].values(), self._faint.get(scope, ())
        if len({*faint, *(each.host for each in members)}) < needed:
            return None
        spans = [self._suspect(each) for each in members]
        spans += [Span(host, self.now, inf, inf) for host in faint]
        spans = [each for each in spans if not self._maintained(each.host).rule]
        return last_storm(scope, spans, needed, self.now)

    def _faint_ones(self) -> dict[Scope, list[str]]:
        found: dict[Scope, list[str]] = defaultdict(list)
        for host in self.evidence.faint:
            if host not in self.evidence.incidents:
                for scope in self._scopes(host):
                    found[scope].append(host)
        return found

    def _suspect(self, incident: Incident) -> Span:
        """Return from when to when a host counts as suspected."""
        begin = min(incident.suspected_at, self.now)  # a clock may have been put back
        end = inf if self._lasts(incident) else begin + self.evidence.policy.storm_s
        return Span(incident.host, begin, end, _became_at(incident, self.now))

    def _lasts(self, incident: Incident) -> bool:
        """Whether a host counts for a storm until something becomes of it.

        Not one that works on, nor one that no storm holds: by and by such would add up to a storm
        that lasts because they wait, and they would wait because it lasts.
        """
        if incident.phase is not Phase.WAITING or incident.recovery is Recovery.DRAIN:
            return False
        if incident.held == _by_turns(self._scopes(incident.host)[0]):
            return False
        return not is_dark(self.evidence.sights.get(incident.host), incident)


def _became_at(incident: Incident, now: float) -> float:
    """Return when a host waited no more; 0 where it waits, and none keeps a storm alive by that."""
    if not incident.phase.open:
        return incident.closed_at
    if incident.phase in {Phase.NOTED, Phase.MOVING}:
        return incident.since
    return begun_at(incident, now)


def _by_turns(zone: Scope) -> str:
    """Return one sentence for all that keeps hosts in a queue: which gate it is changes often."""
    return f"the hosts of {zone} are recovered a few at a time"


def _by_word(ruling: Ruling) -> Ruling:
    """Return what a gate says that a person's word opens where it is shut."""
    if not ruling.rule:
        return ruling
    text = f"opened by a person's word, else shut: {ruling.gate.text}"
    return Ruling(replace(ruling.gate, open=True, text=text))


def _first(rulings: Iterable[Ruling]) -> str:
    return next((each.rule for each in rulings if each.rule), "")
