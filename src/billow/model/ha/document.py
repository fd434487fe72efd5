# SPDX-License-Identifier: Apache-2.0
"""Incidents and their steps as documents and back, each with a stable schema.

Deeds carry their kind as `do`. Reading is as strict as in `billow.model.codec`.
"""

import json
import zlib
from collections.abc import Iterable
from typing import Final, cast

from billow.model.document import (
    Document,
    Reader,
    checked_mapping,
    fields_reader,
    list_reader,
    misfit,
    read,
    read_as,
    reader_of,
    shown,
    written,
)
from billow.model.ha.incident import Incident
from billow.model.ha.response import (
    Answer,
    AskAgent,
    Clean,
    CloseOff,
    CutPower,
    Deed,
    MoveAway,
    StartElsewhere,
    Tell,
)
from billow.model.ha.step import IncidentStep

DEEDS: Final[dict[str, type]] = {
    "ask-agent": AskAgent,
    "cut-power": CutPower,
    "start-elsewhere": StartElsewhere,
    "move-away": MoveAway,
    "close-off": CloseOff,
    "clean": Clean,
    "tell": Tell,
}
_WORDS: Final = {kind: word for word, kind in DEEDS.items()}


def incident_document(incident: Incident) -> Document:
    """Return an incident as a document."""
    return cast(Document, written(incident))


def incident_from_document(document: object) -> Incident:
    """Return the incident that a document stands for. Raises Invalid."""
    return read(Incident, document, "the incident")


def deed_document(deed: Deed) -> Document:
    """Return a deed as a document; `do` says which."""
    return {"do": _WORDS[type(deed)], **cast(Document, written(deed))}


def answer_document(answer: Answer) -> Document:
    """Return how a deed ended as a document."""
    rest = {name: written(getattr(answer, name)) for name in ("ok", "at", "text", "gone")}
    return {"deed": deed_document(answer.deed), **rest}


def step_document(step: IncidentStep) -> Document:
    """Return a step as a document."""
    return {
        "at": step.at,
        "actor": step.actor,
        "fence": step.fence,
        "why": step.why,
        "incident": incident_document(step.incident),
        "deeds": deeds_document(step.deeds),
        "facts": written(step.facts),
        "explanation": None if step.explanation is None else written(step.explanation),
    }


def step_from_document(document: object) -> IncidentStep:
    """Return the step that a document stands for. Raises Invalid."""
    return cast(IncidentStep, read_as(_STEP, document, "the incident's step"))


def deeds_document(deeds: Iterable[Deed]) -> list[Document]:
    """Return deeds as documents."""
    return [deed_document(each) for each in deeds]


def pack_step(step: IncidentStep) -> bytes:
    """Return a step for keeping; an incident with many instances has many long ones."""
    text = json.dumps(step_document(step), separators=(",", ":"))
    return zlib.compress(text.encode(), 1)


def unpack_step(packed: bytes) -> IncidentStep:
    """Return a step that was kept. Raises Invalid."""
    return step_from_document(json.loads(zlib.decompress(packed)))


def read_deed(document: object) -> object:
    """Read a deed, as a reader of `billow.model.document` does."""
    mapping = dict(checked_mapping(document))
    word = mapping.pop("do", None)
    kind = DEEDS.get(word) if isinstance(word, str) else None
    if kind is None:
        raise misfit(f"{shown(word)} is no deed", fix=f"use one of {', '.join(DEEDS)}")
    return reader_of(kind)(mapping)


def _as_it_is(document: object) -> object:
    return dict(checked_mapping(document))


read_answer: Final[Reader] = fields_reader(Answer, {"deed": read_deed})
"""Reads an answer, its deed with it."""
_STEP: Final[Reader] = fields_reader(
    IncidentStep, {"deeds": list_reader(read_deed), "facts": _as_it_is}
)
