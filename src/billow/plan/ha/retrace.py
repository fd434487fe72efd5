# SPDX-License-Identifier: Apache-2.0
"""Take the steps of a recorded incident again, with what was known then and the rules of now.

Pure: it is the production protocol that is asked, so a step that comes out otherwise means that the
rules have changed since, or that the record is not whole.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from billow.model.ha.incident import Incident
from billow.model.ha.response import Response, Turn
from billow.model.ha.step import IncidentStep
from billow.plan.ha.facts import Facts
from billow.plan.ha.protocol import advance, opened
from billow.plan.ha.record import facts_from_document
from billow.plan.ha.table import row_of


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


def _row_now(was: Response) -> str | None:
    """Say how the row of the table has changed since; None when it has not."""
    now = row_of(was.row)
    if (now.recovery, now.fence, now.grace) == (was.recovery, was.fence, was.grace):
        return None
    return f"row {was.row} asks for {now.recovery} now, it asked for {was.recovery}"
