# SPDX-License-Identifier: Apache-2.0
"""What a controller knew at a step, as a document and back, so that the step can be taken again."""

from dataclasses import fields
from typing import Final, cast

from billow.model.document import (
    Document,
    Reader,
    check_fields,
    checked_mapping,
    fields_reader,
    list_reader,
    read,
    read_as,
    written,
)
from billow.model.ha.document import answer_document, read_answer
from billow.plan.ha.facts import Facts, Terms


def facts_document(facts: Facts, terms: Terms) -> Document:
    """Return what was known, and the times that bound it, as a document."""
    known: Document = {
        each.name: written(getattr(facts, each.name))
        for each in fields(facts)
        if each.name != "answers"
    }
    known["answers"] = [answer_document(each) for each in facts.answers]
    return {"known": known, "terms": written(terms)}


def facts_from_document(document: object) -> tuple[Facts, Terms]:
    """Return what was known, and the times that bound it. Raises Invalid."""
    mapping = cast(Document, read_as(_both, document, "the facts"))
    facts = cast(Facts, read_as(_FACTS, mapping["known"], "the facts"))
    return facts, read(Terms, mapping["terms"], "the terms")


def _both(document: object) -> object:
    mapping = checked_mapping(document)
    names = ["known", "terms"]
    check_fields(mapping, names, dict.fromkeys(names))
    return dict(mapping)


_FACTS: Final[Reader] = fields_reader(Facts, {"answers": list_reader(read_answer)})
