# SPDX-License-Identifier: Apache-2.0
"""The protocol of an incident: one step at a time, as a pure function.

A controller makes the step durable by compare-and-set, and only then does its deeds; each deed may
be done twice without harm. So a controller may die between any two instants, and another goes on.
The model checker (`tests/plan/ha`) and the simulator run this very function.

The laws:
- nothing is started elsewhere before a proof is in the record;
- a time-out is never a proof;
- once something was ordered to end, only a proof ends the search for one, or the certainty that
  nothing was ended.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from billow.model.ha.evidence import Network, Sight
from billow.model.ha.incident import (
    Attempt,
    Incident,
    Method,
    Phase,
    Proof,
    Recovery,
)
from billow.model.ha.response import (
    AskAgent,
    CloseOff,
    CutPower,
    Grace,
    MoveAway,
    Severity,
    Tell,
    Turn,
)
from billow.plan.ha.aftermath import closed, merged, quarantined, recovering, told_why
from billow.plan.ha.facts import Facts, Terms

EARLY: Final = frozenset({Phase.NOTED, Phase.MOVING, Phase.WAITING})
"""Nothing was ended yet: the row that holds now is followed."""

NEVER_ADMITTED: Final = "it was never heard well on all networks: see to how it is set up"

_ANOTHER: Final = "another one"
"""The boot of a host of which nothing is known but that it is over."""

WELL: Final = frozenset({Severity.NONE, Severity.NOTICE})
"""How loud a row is that nobody has to do anything for."""


def opened(name: str, facts: Facts) -> Turn:
    """Return the first step of a new incident."""
    response = facts.response
    incident = Incident(
        id=name,
        host=facts.sight.host,
        opened_at=facts.now,
        row=response.row,
        since=min((*facts.sight.lost.values(), facts.now)),
        phase=_phase(response.recovery),
        recovery=response.recovery,
        boot=_ANOTHER if facts.sight.rebooted else facts.sight.boot,
    )
    why = "it has booted anew, and nobody missed it" if facts.sight.rebooted else response.diagnosis
    return _under_row(incident, facts, why, fresh=True)


def advance(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """Return the next step, or None while there is nothing but to wait.

    Pure: the same record and the same facts give the same step.
    """
    turn: Turn | None = None
    match incident.phase:
        case phase if phase in EARLY:
            turn = _before(incident, facts, terms)
        case Phase.FENCING:
            turn = _fencing(incident, facts, terms)
        case Phase.RECOVERING:
            turn = recovering(incident, facts, terms)
        case Phase.QUARANTINE:
            turn = quarantined(incident, facts, terms)
        case Phase.CLOSED:
            pass
    if turn is None:
        return None
    return replace(turn, incident=replace(turn.incident, version=incident.version + 1))


def _before(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """Nothing was ended yet: follow the row that holds now, and begin when it is time."""
    response = facts.response
    if _is_new(facts):
        return None
    if _booted(incident, facts.sight):
        return _held(incident, facts, facts.shut) if facts.shut else _after_boot(incident, facts)
    if response.row != incident.row or (response.distrust and not incident.distrust):
        return _changed(incident, facts)
    if response.cordon and not incident.cordoned and not facts.storm:
        why = "the storm is over: nothing new may come to it"
        return _under_row(incident, facts, why, fresh=False)
    return _after_grace(incident, facts, terms)


def _after_grace(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """The row is the same: close what is well again, or begin when the row has held long enough."""
    response = facts.response
    if response.severity in WELL and facts.sight.clean_beats >= terms.clean_beats:
        return closed(incident, facts, "it is well again")
    grace_s = terms.grace_s(response.grace)
    if incident.phase is not Phase.WAITING or _held_s(incident, facts) < grace_s:
        return None
    if not facts.is_over(incident.opened_at, terms.settle_s):
        return None  # it may be lost for long, and be judged only now: others come back just then
    if shut := facts.shut or _newness(incident, facts):
        return _held(incident, facts, shut)
    return _begun(incident, facts)


def _newness(incident: Incident, facts: Facts) -> str:
    """Say that a host never was well in this boot: what is lost then never was there."""
    sight = facts.sight
    fresh = sight.quarantined and not sight.silent and incident.boot == sight.boot
    return NEVER_ADMITTED if fresh else ""


def _held_s(incident: Incident, facts: Facts) -> float:
    """Return how long the row holds, by the record and by what is seen: the shorter of the two.

    What is seen is counted in ages, so a clock that is put forward cuts no grace short; one that
    is put back makes the record worthless.
    """
    by_record_s = facts.now - incident.since
    lost = facts.sight.lost
    if not lost:
        return by_record_s
    by_sight_s = facts.now - min(_lost_at(facts.sight), facts.now)
    return min(by_record_s, by_sight_s) if by_record_s >= 0 else by_sight_s


def _lost_at(sight: Sight) -> float:
    """Return since when a host is lost in the way that its row speaks of, seconds since the epoch.

    Storage alone is waited for where it is what is missing; else the network that was lost last.
    """
    if Network.STORAGE in sight.lost and not sight.silent:
        return sight.lost[Network.STORAGE]
    return max(sight.lost.values())


def _begun(incident: Incident, facts: Facts) -> Turn:
    """Begin what the row asks for: a search for proof, or live moves."""
    why = f"{facts.response.diagnosis}; the gates are open"
    if facts.response.recovery is Recovery.RESTART:
        fencing = replace(incident, phase=Phase.FENCING, held="", victims=facts.victims)
        return Turn(fencing, why=why)
    away = MoveAway(incident.host, at_once=incident.recovery is Recovery.MOVE)
    return Turn(replace(incident, phase=Phase.MOVING, held=""), (away,), why)


def _phase(recovery: Recovery) -> Phase:
    return Phase.NOTED if recovery is Recovery.NONE else Phase.WAITING


def _changed(incident: Incident, facts: Facts) -> Turn:
    """Stand under another row from now on; what goes on in the same way keeps its clock."""
    response = facts.response
    same = response.recovery is incident.recovery
    changed = replace(
        incident,
        row=response.row,
        since=incident.since if same else facts.now,
        recovery=response.recovery,
        phase=incident.phase if same else _phase(response.recovery),
        held="",
        released=incident.released if same else "",
        vouched=incident.vouched if same else "",
    )
    return _under_row(changed, facts, f"now: {response.diagnosis}", fresh=not same)


def _under_row(incident: Incident, facts: Facts, why: str, *, fresh: bool) -> Turn:
    """Keep what the row makes known, close the host off where it asks for that, tell people."""
    response, sight, was = facts.response, facts.sight, incident.suspected_at
    closing = response.cordon and not incident.cordoned and not facts.storm
    suspect = sight.lost or sight.rebooted or response.recovery is not Recovery.NONE
    known = replace(
        incident,
        suspected_at=facts.now if suspect and (fresh or not was) else was,
        distrust=incident.distrust or response.distrust,
        cordoned=incident.cordoned or closing,
    )
    deeds = (CloseOff(incident.host, closed=True, why=f"ha: {response.diagnosis}"),)
    return _told(Turn(known, deeds if closing else (), why), facts)


def _fencing(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """Look for a proof; else see to the try under way, or begin the next one."""
    if _booted(incident, facts.sight):
        return _anew(incident, facts)
    if proof := _proof(incident, facts, terms):
        return _proved(incident, facts, proof)
    if _is_new(facts):
        return None
    if _is_another_case(incident, facts) and not _may_have_ended(incident):
        back = replace(incident, attempts=(), cut=False, phase=Phase.WAITING)
        return _changed(back, facts)
    last = incident.attempts[-1] if incident.attempts else None
    if last is None or last.failed:
        return _next_try(incident, facts, terms)
    return _under_way(incident, last, facts, terms)


def _is_another_case(incident: Incident, facts: Facts) -> bool:
    """Whether what holds now asks for no proof, or for one only after a grace of its own."""
    response = facts.response
    waits = response.row != incident.row and response.grace is not Grace.NONE
    return waits or response.recovery is not Recovery.RESTART


def _proved(incident: Incident, facts: Facts, proof: Proof) -> Turn:
    """Begin to start elsewhere what ran on a host of which nothing runs any more."""
    victims = merged(incident.victims, facts.victims)
    proved = replace(incident, phase=Phase.RECOVERING, proof=proof, held="", victims=victims)
    return Turn(proved, why=proof.text)


def _booted(incident: Incident, sight: Sight) -> bool:
    """Whether a host is heard under another boot: nothing runs any more of what ran before."""
    return bool(incident.boot and sight.boot and sight.reachable) and sight.boot != incident.boot


def _after_boot(incident: Incident, facts: Facts) -> Turn:
    """Go on after another boot, but not where guests came up while a gate held the host.

    People, or the host itself, have started them: to end these for the sake of others is wrong.
    """
    guests = facts.sight.guests
    if not (incident.held and guests):
        return _anew(incident, facts)
    missing = sorted({each.instance for each in facts.victims}.difference(guests))
    text = f"it has booted anew, and {len(guests)} guests run on it again: nothing starts elsewhere"
    text += f"; not among them by name: {', '.join(missing)}" if missing else ""
    return closed(incident, facts, text, Severity.CRITICAL if missing else Severity.NOTICE)


def _anew(incident: Incident, facts: Facts) -> Turn:
    """Let the agent of the new boot prove that nothing runs: what starts by itself would again."""
    here = replace(
        incident,
        phase=Phase.FENCING,
        boot=facts.sight.boot,
        attempts=(),
        held="",
        victims=merged(incident.victims, facts.victims),
    )
    why = "it has booted anew: what ran before is gone, and what may have started since must end"
    return _begin(here, facts, Method.AGENT, facts.sight.reachable[0], why)


def _under_way(incident: Incident, last: Attempt, facts: Facts, terms: Terms) -> Turn | None:
    if why := _unanswerable(last, facts):  # in its place: nobody will say how the old try ended
        others = replace(incident, attempts=incident.attempts[:-1])
        return _begin(others, facts, last.method, last.over, f"{why}: again")
    limit_s = terms.agent_s if last.method is Method.AGENT else terms.bmc_s
    answer = facts.answer(_deed(incident, last), last.began_at)
    if answer is not None:
        return _failed(incident, answer.text or "it was not done")
    if facts.is_over(last.began_at, limit_s):
        return _failed(incident, f"no answer within {limit_s:g} s")
    return None


def _unanswerable(attempt: Attempt, facts: Facts) -> str:
    """Return why nobody will ever say how a try ended; empty where somebody may."""
    if attempt.fence != facts.fence:
        return "its controller is gone"
    return "the clock was put back" if attempt.began_at > facts.now else ""


def _is_new(facts: Facts) -> bool:
    """Whether a watch has just begun: nobody misses the host, and nobody heard it either."""
    sight = facts.sight
    return not (sight.lost or sight.clean_beats or sight.hardware or sight.symptoms)


def _proof(incident: Incident, facts: Facts, terms: Terms) -> Proof | None:
    sight, now = facts.sight, facts.now
    if sight.gasped and sight.silent:
        return Proof(Method.GASP, now, "its kernel said that nothing runs any more")
    if incident.vouched and sight.silent:
        return Proof(Method.WORD, now, f"seen to be dead: {incident.vouched}")
    over_at = sight.heard_at + sight.lease_s + terms.margin_s
    if _is_bound(facts) and now >= over_at:
        waited_s = now - sight.heard_at
        text = f"not heard for {waited_s:.1f} s; its watchdog resets it after {sight.lease_s:g} s"
        return Proof(Method.LEASE, now, text)
    for attempt in incident.attempts:
        answer = facts.answer(_deed(incident, attempt), attempt.began_at)
        if attempt.fence == facts.fence and answer is not None and answer.ok:
            return Proof(attempt.method, answer.at, answer.text)
    return None


def _is_bound(facts: Facts) -> bool:
    """Whether a host's watchdog will reset it, if it still lives."""
    sight = facts.sight
    binds = sight.silent and sight.lease_s > 0 and not sight.lease_excused
    return binds and Method.LEASE in facts.response.fence


def _may_have_ended(incident: Incident) -> bool:
    """Whether something that was ordered may have ended instances, or may still do so.

    A management controller that said no, or nothing, while the host is heard again has not done it;
    an agent that did not answer may have.
    """
    return incident.asked or any(not each.failed for each in incident.attempts)


def _next_try(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    if facts.shut and not incident.cut:
        return _held(incident, facts, facts.shut)
    tried = {(each.method, each.over) for each in incident.attempts}
    ways = list(_ways(incident, facts))
    for method, over in ways:
        if (method, over) not in tried:
            free = replace(incident, held="")
            return _begin(free, facts, method, over, "the next way to a proof")
    last = incident.attempts[-1] if incident.attempts else None
    if ways and last is not None and facts.is_over(last.began_at, terms.again_s):
        again = replace(incident, attempts=())
        return _begin(again, facts, *ways[0], "all ways were tried: once more")
    if _is_bound(facts):
        return None  # its lease will be the proof: it is busy, and no case for people
    return _held(incident, facts, "nothing proves yet that it is dead")


def _ways(incident: Incident, facts: Facts) -> Iterator[tuple[Method, Network | None]]:
    """Yield the ways to a proof that can be tried now, in order."""
    for method in facts.response.fence or ((Method.AGENT,) if incident.asked else ()):
        if method is Method.AGENT:
            yield from ((method, network) for network in facts.sight.reachable)
        elif method is Method.BMC:
            yield method, None


def _begin(
    incident: Incident, facts: Facts, method: Method, over: Network | None, why: str
) -> Turn:
    attempt = Attempt(method, facts.now, facts.fence, over)
    asked = incident.asked or method is Method.AGENT
    attempts = (*incident.attempts, attempt)
    begun = replace(incident, attempts=attempts, cut=True, asked=asked)
    return Turn(begun, (_deed(begun, attempt),), why)


def _deed(incident: Incident, attempt: Attempt) -> AskAgent | CutPower:
    if attempt.method is Method.AGENT and attempt.over is not None:
        return AskAgent(incident.host, attempt.over, attempt.fence)
    return CutPower(incident.host)


def _failed(incident: Incident, why: str) -> Turn:
    *before, last = incident.attempts
    failed = replace(last, failed=why)
    return Turn(replace(incident, attempts=(*before, failed)), why=f"{last.method}: {why}")


def _held(incident: Incident, facts: Facts, why: str) -> Turn | None:
    """Say once why it does not go on; people are told of each reason once."""
    if incident.held == why:
        return None
    text = f"{incident.host}: {facts.response.diagnosis}; held: {why}"
    tells = () if facts.storm else (told_why(incident, why, text),)
    return Turn(replace(incident, held=why), tells, f"held: {why}")


def _told(turn: Turn, facts: Facts) -> Turn:
    """Tell people of a row, each row once; of a storm once for all of its hosts."""
    response, incident = facts.response, turn.incident
    key = f"storm/{facts.storm}" if facts.storm else f"{incident.id}/{response.row}"
    if response.severity is Severity.NONE or key in incident.noticed:
        return turn
    text = f"{incident.host}: {response.diagnosis}. {response.advice}"
    tell = Tell(key, response.severity, text)
    if facts.storm:
        tell = Tell(key, Severity.CRITICAL, facts.shut or text)
    noticed = replace(incident, noticed=(*incident.noticed, key))
    return replace(turn, incident=noticed, deeds=(*turn.deeds, tell))
