# SPDX-License-Identifier: Apache-2.0
"""What follows a proof: instances start elsewhere, and their host comes back clean or not at all.

Part of the protocol (`protocol`), and under its laws.
"""

from dataclasses import replace

from billow.model.ha.incident import Fate, Incident, Phase, Victim
from billow.model.ha.response import Answer, Clean, CloseOff, Severity, StartElsewhere, Tell, Turn
from billow.plan.ha.facts import Facts, Terms


def recovering(incident: Incident, facts: Facts, terms: Terms) -> Turn | None:
    """Start what waits and has a room; take in what became of the others."""
    victims = tuple(_next_of(each, incident, facts, terms) for each in incident.victims)
    if all(each.fate in {Fate.STARTED, Fate.LEFT} for each in victims):
        left = [each for each in victims if each.fate is Fate.LEFT]
        done = replace(incident, phase=Phase.QUARANTINE, victims=victims)
        text = f"{len(victims) - len(left)} of {len(victims)} instances run elsewhere"
        grave = Severity.CRITICAL if left else Severity.NOTICE
        return Turn(done, (Tell(f"{incident.id}/recovered", grave, text),), text)
    if victims == incident.victims:
        return None
    deeds = tuple(
        StartElsewhere(now.instance, incident.host, now.target, now.epoch)
        for was, now in zip(incident.victims, victims, strict=True)
        if now.fate is Fate.STARTING and now != was
    )
    run = sum(each.fate is Fate.STARTED for each in victims)
    why = f"{run} of {len(victims)} run elsewhere, " if run else ""
    why += f"{len(deeds)} starts begin"
    return Turn(replace(incident, victims=victims), deeds, why)


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
    deed = StartElsewhere(victim.instance, incident.host, victim.target, victim.epoch)
    answer = facts.answer(deed, victim.began_at)
    if answer is None:
        return victim
    return _after(victim, answer, terms)


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


def closed(incident: Incident, facts: Facts, outcome: str) -> Turn:
    """Let nothing more be done."""
    done = replace(incident, phase=Phase.CLOSED, held="", closed_at=facts.now, outcome=outcome)
    text = f"{incident.host}: {outcome}"
    opening = (CloseOff(incident.host, closed=False),) if incident.cordoned else ()
    tell = Tell(f"{incident.id}/closed", Severity.NOTICE, text)
    return Turn(done, (*opening, tell), outcome)
