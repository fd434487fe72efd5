# SPDX-License-Identifier: Apache-2.0
"""Knobs of a policy as fields of a form and parameters of a URL.

An empty field leaves a knob as it is set, so a URL holds only what somebody asked for.
"""

import json
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from billow.errors import Invalid
from billow.policies import Knob

PREFIX = "knob."
"""What the name of a field begins with."""
MOST_LETTERS = 2000

Given = Mapping[str, str]
"""Knobs as they were typed, by name, without those that were left empty."""


def given_in(pairs: Iterable[tuple[str, str]], knobs: Iterable[Knob]) -> dict[str, str]:
    """Return the knobs that fields or parameters set. Raises Invalid for one that is too long."""
    known = {knob.name for knob in knobs}
    given = {}
    for name, value in pairs:
        knob = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and knob in known and value.strip():
            given[knob] = value.strip()
    if any(len(value) > MOST_LETTERS for value in given.values()):
        raise Invalid("a knob's value is too long", fix="set it in billow.toml")
    return given


def values_of(given: Given) -> dict[str, object]:
    """Return what was typed as values: what reads as JSON is taken as such, else it is a word."""
    return {name: _value(text) for name, text in given.items()}


def query_of(given: Given, plan_id: str = "") -> str:
    """Return the query of a report's URL, with its `?`; empty for none."""
    parameters = {"plan": plan_id} if plan_id else {}
    parameters |= {PREFIX + name: text for name, text in given.items()}
    return f"?{urlencode(parameters)}" if parameters else ""


def shown(value: object) -> str:
    """Return a knob's value as one types it."""
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)
