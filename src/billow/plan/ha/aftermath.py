# SPDX-License-Identifier: Apache-2.0
"""What follows a proof: instances start elsewhere, and their host comes back clean or not at all.

Part of the protocol (`protocol`), and under its laws.
"""

from dataclasses import replace
from typing import Final
from zlib import crc32

from billow.model.ha.incident import Fate, Incident, Phase, Victim
from billow.model.ha.response import Answer, Clean, CloseOff, Severity, StartElsewhere, Tell, Turn
from billow.plan.ha.facts import Facts, Terms
from billow.plan.ha.recovery import NO_ROOM

NOBODY_HAS_ROOM: Final = f"instances wait, and {NO_ROOM}"
UNSEEN: Final = "the pool was not looked at since the proof: nobody knows yet what else ran there"


def recovering(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """Start what waits and has a room; take in what became of the others.

    It ends only when the pool was looked at since the proof: something may have come to the host
    after the look before.
    """
    known = merged(incident.victims, facts.victims)
    victims = tuple(_next_of(each, incident, facts, terms) for each in known)
    after = replace(incident, victims=victims, held="" if victims != known else incident.held)
    if all(each.fate in {Fate.STARTED, Fate.LEFT} for each in victims) and not facts.unseen:
        return _ended(after)
    if after == incident:
        return _stuck(incident, facts, terms)
    deeds = tuple(
        start_of(now, incident)
        for was, now in zip(known, victims, strict=True)
        if now.fate is Fate.STARTING and now != was
    )
    run = sum(each.fate is Fate.STARTED for each in victims)
    why = f"{run} of {len(victims)} run elsewhere, " if run else ""
    why += f"{len(deeds)} starts begin"
    return Turn(after, deeds, why)


def _ended(incident: Incident) -> Turn:
    left = sum(each.fate is Fate.LEFT for each in incident.victims)
    done = replace(incident, phase=Phase.QUARANTINE, held="")
    text = f"{len(incident.victims) - left} of {len(incident.victims)} instances run elsewhere"
    grave = Severity.CRITICAL if left else Severity.NOTICE
    return Turn(done, (Tell(f"{incident.id}/recovered", grave, text),), text)


def _stuck(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """Tell people once, when it takes long, why not all is recovered.

    Where nobody has room and the host itself is back, they start there what waits: others may have
    to wait for this very host, as after a loss of power of all.
    """
    why = _lacking(incident, facts)
    proved_at = incident.proof.at if incident.proof else facts.now
    if not why or not facts.is_over(proved_at, terms.bmc_s):
        return None
    back = not facts.sight.lost and facts.sight.clean_beats >= terms.clean_beats
    if why == NOBODY_HAS_ROOM and back:
        left = tuple(_left(each) for each in incident.victims)
        return Turn(replace(incident, victims=left, held=""), why=f"{why}, but it is back")
    if incident.held == why:
        return None
    tell = told_why(incident, why, f"{incident.host}: {why}")
    return Turn(replace(incident, held=why), (tell,), why)


def _lacking(incident: Incident, facts: Facts) -> str:
    """Return what recovery waits for in vain; empty while something goes on.

    Who waits for its turn, or for a host to be chosen, does not wait in vain.
    """
    if any(each.fate is Fate.STARTING for each in incident.victims):
        return ""
    waiting = [each.instance for each in incident.victims if each.fate is Fate.WAITING]
    if not waiting:
        return UNSEEN if facts.unseen else ""
    reasons = {facts.nowhere.get(each, "") for each in waiting}
    if "" in reasons:
        return ""
    return f"instances wait, and {max(reasons - {NO_ROOM}, default=NO_ROOM)}"


def told_why(incident: Incident, why: str, text: str) -> Tell:
    """Return the alarm of what holds an incident: one for each reason."""
    key = f"{incident.id}/held/{crc32(why.encode()):08x}"
    return Tell(key, Severity.CRITICAL, text)


def _left(victim: Victim) -> Victim:
    """Leave who still waits to people."""
    if victim.fate is not Fate.WAITING:
        return victim
    return replace(victim, fate=Fate.LEFT, why="no host has room, and its own is back: start it")


def merged(known: tuple[Victim, ...], now: tuple[Victim, ...]) -> tuple[Victim, ...]:
    """Return the victims, with those that were not known before."""
    names = {each.instance for each in known}
    return (*known, *(each for each in now if each.instance not in names))


def _next_of(victim: Victim, incident: Incident, facts: Facts, terms: Terms) -> Victim:
    if victim.fate is Fate.WAITING and victim.instance in facts.rooms:
        return replace(
            victim,
            fate=Fate.STARTING,
            target=facts.rooms[victim.instance],
            epoch=victim.epoch + 1,
            fence=facts.fence,
            began_at=facts.now,
        )
    if victim.fate is not Fate.STARTING:
        return victim
    if victim.fence != facts.fence or victim.began_at > facts.now:
        return replace(victim, fence=facts.fence, began_at=facts.now)
    answer = facts.answer(start_of(victim, incident), victim.began_at)
    if answer is None:
        return victim
    return _after(victim, answer, terms)


def start_of(victim: Victim, incident: Incident) -> StartElsewhere:
    """Return the order by which an instance is being started elsewhere."""
    return StartElsewhere(victim.instance, incident.host, victim.target, victim.epoch)


def _after(victim: Victim, answer: Answer, terms: Terms) -> Victim:
    if answer.ok:
        return replace(victim, fate=Fate.STARTED, why="")
    fate = Fate.LEFT if victim.epoch >= terms.starts else Fate.WAITING
    return replace(victim, fate=fate, target="", why=answer.text)


def quarantined(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """Let the host count again when it is back, sound, cleaned, and was clean for a while."""
    sight = facts.sight
    if sight.lost or sight.hardware or sight.clean_beats < terms.clean_beats:
        return None
    order = Clean(incident.host, sight.reachable[0], facts.fence, sight.boot)
    key = f"clean/{facts.fence}"
    asked = key in incident.noticed
    answer = facts.answer(order, incident.since) if asked else None
    if answer is not None and answer.ok:
        return closed(incident, facts, "back, and clean")
    if asked and not facts.is_over(incident.since, terms.again_s):
        return None
    noticed = incident.noticed if asked else (*incident.noticed, key)
    asking = replace(incident, noticed=noticed, since=facts.now)
    return Turn(asking, (order,), "it is back: clean it")


def closed(
    incident: Incident, facts: Facts, outcome: str, severity: Severity = Severity.NOTICE
) -> Turn:
    """Let nothing more be done."""
    done = replace(incident, phase=Phase.CLOSED, held="", closed_at=facts.now, outcome=outcome)
    text = f"{incident.host}: {outcome}"
    opening = (CloseOff(incident.host, closed=False),) if incident.cordoned else ()
    tell = Tell(f"{incident.id}/closed", severity, text)
    return Turn(done, (*opening, tell), outcome)
