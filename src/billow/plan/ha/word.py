# SPDX-License-Identifier: Apache-2.0
"""What a person may say of an incident that does not go on by itself."""

from dataclasses import replace

from billow.errors import Conflict, Invalid
from billow.model.ha.incident import Incident, Phase
from billow.model.ha.step import IncidentStep

LONGEST_WHY = 500


def worded(
    incident: Incident, *, actor: str, why: str, at: float, is_dead: bool = False
) -> IncidentStep:
    """Return the step by which a person releases an incident.

    Args:
        incident: As it is now.
        actor: Who says so.
        why: What was seen, one sentence.
        at: Seconds since the epoch.
        is_dead: The person saw that nothing of the host runs any more: that is a proof, while it is
            heard on no network.

    Raises:
        Conflict: the incident is not held, or its host's death is proved already.
        Invalid: no word of why.
    """
    if not why.strip():
        raise Invalid("a release needs a reason", fix="say what you saw with --why")
    if incident.proof is not None or not incident.phase.open:
        raise Conflict(f"incident {incident.id} is {incident.phase}: nothing holds it")
    if not incident.held and not is_dead:
        raise Conflict(
            f"incident {incident.id} is not held",
            fix="billow incident show tells what it waits for",
        )
    word = f"{actor}: {' '.join(why.split())[:LONGEST_WHY]}"
    spoken = replace(incident, version=incident.version + 1, held="")
    spoken = replace(spoken, vouched=word) if is_dead else replace(spoken, released=word)
    said = "it is dead" if is_dead else "go on"
    return IncidentStep(at=at, actor=actor, fence=0, why=f"{said}: {why}", incident=spoken)


def waits(incident: Incident) -> bool:
    """Whether a person's word would make it go on."""
    return bool(incident.held) and incident.phase in {Phase.WAITING, Phase.FENCING}
