# SPDX-License-Identifier: Apache-2.0
"""What an incident is about, in short and in the words of all faces.

Pure; it must not decide anything.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from billow.model.ha.incident import Incident, Method, Phase
from billow.model.ha.response import Response, Severity
from billow.model.ha.step import IncidentStep
from billow.model.pool import Pool
from billow.plan.ha.protocol import EARLY, WELL
from billow.plan.ha.table import row_of

_PROVED_BY: Final = {
    Method.AGENT: "its agent",
    Method.GASP: "its dying kernel",
    Method.BMC: "its management controller",
    Method.LEASE: "its watchdog's lease",
    Method.WORD: "a person's word",
}
_LOUDNESS: Final = tuple(Severity)


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
