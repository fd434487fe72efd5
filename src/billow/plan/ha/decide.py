# SPDX-License-Identifier: Apache-2.0
"""What is to be done for all hosts of the fleet, at one instant, by what is known of them.

Row of the table, gates, protocol: this module only joins them. It must not do I/O, read a clock or
throw dice: the same evidence at the same instant gives the same turns.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from billow.model.ha.evidence import NETWORKS, Hardware, Network, Sight
from billow.model.ha.incident import Fate, Incident, Phase, Recovery
from billow.model.ha.policy import HaPolicy
from billow.model.ha.response import Grace, Response, Turn
from billow.model.kinds import Power
from billow.plan.ha.facts import Facts, Terms
from billow.plan.ha.fleet import Evidence
from billow.plan.ha.gates import Gates, Ruling
from billow.plan.ha.protocol import EARLY, WELL, advance, opened
from billow.plan.ha.table import key_of, respond

_LAST_BAND: Final = 1_000_000
_BY_SIGHT: Final = EARLY | {Phase.QUARANTINE}
"""Where what is seen of a host decides how it goes on."""
UNHEARD_S: Final = 3.0
"""Who was heard by nobody for so long is not well, whatever may not be judged about it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One turn, with what it was made from.

    Attributes:
        rulings: What each gate said when it was made.
    """

    turn: Turn
    facts: Facts
    rulings: tuple[Ruling, ...]


def decide(evidence: Evidence, clock: float) -> tuple[Turn, ...]:
    """Return the next step of each incident that has one, and the first of each new one."""
    return tuple(each.turn for each in decisions(evidence, clock))


def decisions(evidence: Evidence, clock: float) -> tuple[Decision, ...]:
    """Return the turns of `decide`, each with its reasons.

    New incidents come first, so that a storm is seen before anything is ended; then the others by
    what is most urgent on their hosts. Each turn is decided as if those before it were done.

    Args:
        evidence: What is known.
        clock: Seconds since the epoch, taken before the evidence was read.
    """
    gates = Gates(evidence, clock)
    return (*_new(evidence, gates), *_next(evidence, gates))


def _decided(turn: Turn, facts: Facts, gates: Gates) -> Decision:
    """Keep the reasons of a turn, and let those after it be decided as if it were done."""
    host = facts.sight.host
    released = _released(turn.incident)
    rulings = gates.rulings(host, facts.response.recovery, released=released)
    gates.note(turn.incident)
    return Decision(turn, facts, (*rulings, gates.flapping(host)))


def judged(sight: Sight, incident: Incident | None, policy: HaPolicy, now: float) -> Response:
    """Return the row that a host falls under, by as much of its power reading as is believed.

    "Off" is no proof against beats that are heard long afterwards, and is one where nothing was
    heard since. Whoever was caught lying is not asked any more. While nobody has answered yet
    nothing speaks against asking: it is as good as "on", as cutting power gives its own proof.
    """
    if sight.power is Power.UNKNOWN and not sight.power_since:
        sight = replace(sight, power=Power.ON)
    lies = sight.power is Power.OFF and not sight.lost
    distrusted = incident is not None and incident.distrust
    if not distrusted and (sight.power is not Power.OFF or sight.silent):
        return _patient(respond(sight), sight)
    blind = replace(sight, power=Power.UNKNOWN)
    if distrusted:
        return respond(sight) if lies else _patient(respond(blind), sight)
    since = sight.power_since
    if since and sight.heard_at - since >= policy.doubt_s:
        return respond(sight) if lies else replace(respond(blind), distrust=True)
    if lies:
        return respond(blind)
    if since and sight.heard_at < since <= now - policy.doubt_s:
        return respond(replace(sight, lost=_everywhere(sight, now)))
    return replace(respond(sight), distrust=False)


def _everywhere(sight: Sight, since: float) -> dict[Network, float]:
    return {**dict.fromkeys(NETWORKS, since), **sight.lost}


def _is_unheard(sight: Sight, now: float) -> bool:
    """Whether nobody hears a host, though it is not agreed that it is silent.

    Observers that are deaf themselves may not judge: it is neither lost nor well then.
    """
    return not sight.silent and 0.0 < sight.heard_at < now - UNHEARD_S


def _patient(response: Response, sight: Sight) -> Response:
    """Give a host time that only hangs: frozen for some seconds, it would look the same."""
    alive = sight.answers and sight.hardware is not Hardware.FATAL
    hangs = sight.silent and alive and not sight.gasped and sight.power is not Power.OFF
    return replace(response, grace=Grace.HUNG) if hangs else response


def facts_for(evidence: Evidence, gates: Gates, host: str, incident: Incident | None) -> Facts:
    """Return what the protocol is told of one host."""
    facts, storm = _ungated(evidence, gates, host, incident), gates.storm(host)
    return replace(
        facts,
        shut=gates.shut(host, facts.response.recovery, released=_released(incident)),
        storm="" if storm is None else storm.key,
    )


def barred(evidence: Evidence, clock: float) -> set[str]:
    """Return the hosts that are being emptied live, and whose gates are shut by now."""
    gates = Gates(evidence, clock)
    return {
        each.host
        for each in evidence.incidents.values()
        if each.phase is Phase.MOVING
        and gates.shut(each.host, each.recovery, released=_released(each))
    }


def _released(incident: Incident | None) -> bool:
    return incident is not None and bool(incident.released or incident.vouched)


def _ungated(evidence: Evidence, gates: Gates, host: str, incident: Incident | None) -> Facts:
    sight = evidence.sights.get(host) or Sight(host=host)
    if incident is not None and incident.phase is Phase.FENCING and _is_unheard(sight, gates.now):
        sight = replace(sight, lost=_everywhere(sight, sight.heard_at))
    if gates.flaps(host) and sight.hardware is Hardware.SOUND and not sight.silent:
        sight = replace(sight, hardware=Hardware.PREDICTED)
    return Facts(
        now=gates.now,
        fence=evidence.fence,
        sight=sight,
        response=judged(sight, incident, evidence.policy, gates.now),
        answers=tuple(evidence.answers.get(incident.id, ())) if incident is not None else (),
        victims=evidence.victims.get(host, ()),
        unseen=host in evidence.unseen,
        rooms=evidence.rooms,
        nowhere=_nowhere(evidence, incident),
    )


def _nowhere(evidence: Evidence, incident: Incident | None) -> dict[str, str]:
    victims = () if incident is None else incident.victims
    names = [each.instance for each in victims if each.instance in evidence.nowhere]
    return {name: evidence.nowhere[name] for name in names}


def name_of(host: str, now: float) -> str:
    """Return the id of an incident of a host that begins now."""
    return f"ha-{host}-{round(now * 1000)}"


def _new(evidence: Evidence, gates: Gates) -> Iterator[Decision]:
    """Open an incident for each host that is not well; all are counted before one is judged."""
    suspects = dict(_suspects(evidence, gates))
    for incident in suspects.values():
        gates.note(incident)
    for host in sorted(suspects.keys() - evidence.incidents.keys()):
        facts = facts_for(evidence, gates, host, None)
        yield _decided(opened(name_of(host, gates.now), facts), facts, gates)


def _suspects(evidence: Evidence, gates: Gates) -> Iterator[tuple[str, Incident]]:
    """Yield how the incidents of the hosts stand that are suspected from now on."""
    for host in evidence.sights:
        incident = evidence.incidents.get(host)
        facts = _ungated(evidence, gates, host, incident)
        response = facts.response
        if incident is None and (response.severity not in WELL or facts.sight.rebooted):
            yield host, opened(name_of(host, gates.now), facts).incident
        elif incident is not None and incident.phase in EARLY and _turns_suspect(incident, facts):
            yield host, replace(incident, suspected_at=gates.now)


def _turns_suspect(incident: Incident, facts: Facts) -> bool:
    recovery = facts.response.recovery
    fresh = not incident.suspected_at or recovery is not incident.recovery
    return fresh and bool(facts.sight.lost or recovery is not Recovery.NONE)


def _next(evidence: Evidence, gates: Gates) -> Iterator[Decision]:
    terms = Terms.of(evidence.policy)
    for incident in sorted(evidence.incidents.values(), key=lambda it: _urgency(it, evidence)):
        if incident.host not in evidence.sights and incident.phase is not Phase.RECOVERING:
            continue
        facts = facts_for(evidence, gates, incident.host, incident)
        if incident.phase in _BY_SIGHT and _is_moot(facts):
            continue
        turn = advance(incident, facts, terms)
        if turn is not None:
            yield _decided(turn, facts, gates)


def _is_moot(facts: Facts) -> bool:
    """Whether too little is known of a host to do anything, or to take it for well."""
    is_dark = all(key_of(facts.response.row).lost)
    return _is_unheard(facts.sight, facts.now) and not is_dark


def _urgency(incident: Incident, evidence: Evidence) -> tuple[bool, int, int, float, str]:
    """Order by what is begun, then by the lowest band and how many are in it, then by age."""
    victims = incident.victims or evidence.victims.get(incident.host, ())
    waiting = [each.band for each in victims if each.fate is not Fate.LEFT]
    band = min(waiting, default=_LAST_BAND)
    begun = incident.phase in {Phase.FENCING, Phase.RECOVERING}
    return not begun, band, -waiting.count(band), incident.since, incident.host
