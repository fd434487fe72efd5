# SPDX-License-Identifier: Apache-2.0
"""Take the steps of a recorded incident again, with what was known then and the rules of now.

And say in short what an incident is about, in the words of all faces. Pure: it is the production
protocol that is asked, so a step that comes out otherwise means that the rules have changed since,
or that the record is not whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.model.ha.incident import Incident, Method, Phase
from billow.model.ha.response import Response, Severity, Turn
from billow.model.ha.step import IncidentStep
from billow.model.pool import Pool
from billow.plan.ha.facts import Facts
from billow.plan.ha.protocol import EARLY, WELL, advance, opened
from billow.plan.ha.record import facts_from_document
from billow.plan.ha.table import rows

_PROVED_BY: Final = {
    Method.AGENT: "its agent",
    Method.GASP: "its dying kernel",
    Method.BMC: "its management controller",
    Method.LEASE: "its watchdog's lease",
    Method.WORD: "a person's word",
}
_LOUDNESS: Final = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Retraced:
    """One step, as it was and as it comes out now.

    Attributes:
        turn: What the protocol says now; None where it would wait, and for a person's word.
        differs: What comes out otherwise, one entry each; empty when all is the same.
    """

    step: IncidentStep
    turn: Turn | None
    differs: tuple[str, ...] = ()


def retraced(steps: Sequence[IncidentStep]) -> Iterator[Retraced]:
    """Take each step again, from the record before it. Raises Invalid for facts that are none."""
    before: Incident | None = None
    for step in steps:
        if step.fence == 0:
            yield Retraced(step, None)  # a person's word: nothing decided it
        elif not step.facts:
            yield Retraced(step, None, ("what was known was not kept",))
        else:
            yield _again(step, before)
        before = step.incident


def deciding(steps: Sequence[IncidentStep]) -> IncidentStep | None:
    """Return the step that explains an incident best: what began something, or holds it now.

    Where nothing was begun, as its host got well by itself: the last one of the worst row.
    """
    if not steps:
        return None
    last = steps[-1]
    if last.incident.held:
        return next((each for each in reversed(steps) if each.explanation is not None), None)
    early = (None, *(each.incident.phase for each in steps[:-1]))
    found = [
        step
        for step, before in zip(steps, early, strict=True)
        if (before is None or before in EARLY) and step.explanation is not None
    ]
    return max(reversed(found), key=_loudness) if _is_well(found) else next(reversed(found), None)


def _is_well(steps: Sequence[IncidentStep]) -> bool:
    """Whether nobody has to do anything for the last row of some steps."""
    return bool(steps) and row_of(steps[-1].incident.row).severity in WELL


def _loudness(step: IncidentStep) -> int:
    return _LOUDNESS.index(row_of(step.incident.row).severity)


def decisive_row(incident: Incident) -> Response:
    """Return the row that an incident is about: the one it stands under, or the worst once well."""
    here = row_of(incident.row)
    if here.severity not in WELL:
        return here
    told = (each.rpartition("/") for each in incident.noticed)
    numbers = [int(row) for name, _, row in told if name == incident.id and row.isdecimal()]
    return max(
        (here, *map(row_of, numbers)), key=lambda response: _LOUDNESS.index(response.severity)
    )


def diagnosis_of(incident: Incident) -> str:
    """Return what an incident is about, also when its host is well again."""
    worst, here = decisive_row(incident), row_of(incident.row)
    if worst.row == here.row:
        return here.diagnosis
    return f"{worst.diagnosis}; {'well again' if here.diagnosis == 'well' else here.diagnosis}"


def advice_of(incident: Incident) -> str:
    """Return what is done now, and what a person should do.

    Before a proof its row says so; after it, the row is history.
    """
    if incident.phase is Phase.CLOSED:
        return "Nothing more is done: it is closed."
    if incident.proof is None:
        return row_of(incident.row).advice
    proved = f"Its death is proved by {_PROVED_BY[incident.proof.method]}"
    if incident.phase is Phase.RECOVERING:
        return f"{proved}: its instances start elsewhere."
    return f"{proved}. It gets nothing new until it is back and clean: repair it, and start it."


def affected(incident: Incident, pool: Pool | None) -> int | None:
    """Return how many instances a failure is about; None when nobody can say.

    They are written down when a proof is sought; until then it is what the pool has on the host.
    Linear in the instances of the pool for an open incident without a proof.
    """
    if incident.victims or incident.proof is not None or not incident.phase.open:
        return len(incident.victims)
    if pool is None:
        return None
    row = pool.hosts.row.get(incident.host)
    return 0 if row is None else int(np.count_nonzero(pool.instances.host == row))


def _again(step: IncidentStep, before: Incident | None) -> Retraced:
    facts, terms = facts_from_document(step.facts)
    if before is None:
        turn: Turn | None = opened(step.incident.id, facts)
    else:
        turn = advance(before, facts, terms)
    return Retraced(step, turn, tuple(_differences(step, turn, facts)))


def _differences(step: IncidentStep, turn: Turn | None, facts: Facts) -> Iterator[str]:
    row = _row_now(facts.response)
    if row is not None:
        yield row
    if turn is None:
        yield "it would wait"
        return
    if turn.incident.phase is not step.incident.phase:
        yield f"its phase would be {turn.incident.phase}, it was {step.incident.phase}"
    elif turn.incident != step.incident:
        names = ", ".join(_fields_apart(turn.incident, step.incident))
        yield f"the record would be another one in {names}"
    if turn.deeds != step.deeds:
        yield f"{len(turn.deeds)} deeds would be begun, {len(step.deeds)} were"


def _fields_apart(one: Incident, other: Incident) -> Iterator[str]:
    for name in one.__dataclass_fields__:
        if getattr(one, name) != getattr(other, name):
            yield name


def row_of(number: int) -> Response:
    """Return a row of the decision table by its number, as it is now."""
    return next(each for each in rows().values() if each.row == number)


def _row_now(was: Response) -> str | None:
    """Say how the row of the table has changed since; None when it has not."""
    now = row_of(was.row)
    if (now.recovery, now.fence, now.grace) == (was.recovery, was.fence, was.grace):
        return None
    return f"row {was.row} asks for {now.recovery} now, it asked for {was.recovery}"
