# SPDX-License-Identifier: Apache-2.0
"""What another tool's settings come to in Billow: settings, commands, and what there is not.

The value and its words. Nothing is changed: a person reads it, and puts it into `billow.toml`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pydantic import ValidationError

from billow.errors import Invalid
from billow.model.document import Document, written
from billow.policies import Policies
from billow.settings import Settings

WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of `billow.toml`.

    Attributes:
        path: `("policy", "ha", "bmc_s")`, or one word.
        why: What it comes from.
    """

    path: tuple[str, ...]
    value: object
    why: str


@dataclass(frozen=True, slots=True)
class Errand:
    """A command that a person should run once, and what for."""

    command: str
    why: str


@dataclass(frozen=True, slots=True)
class Remark:
    """What a person should know of one thing that the other tool has."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What is taken over.

    Attributes:
        source: `Masakari` or `Watcher`.
        read: What was read, in a few words each.
        differs: What Billow does otherwise.
        nothing: What has no equivalent, and why.
    """

    source: str
    read: tuple[str, ...]
    settings: tuple[Setting, ...] = ()
    errands: tuple[Errand, ...] = ()
    differs: tuple[Remark, ...] = ()
    nothing: tuple[Remark, ...] = ()


def merged(settings: Sequence[Setting]) -> tuple[Setting, ...]:
    """Return settings with one value for each path: sets united, of numbers the largest."""
    ordered = sorted(settings, key=lambda each: (len(each.path), each.path))
    return tuple(_one(list(group)) for _, group in groupby(ordered, key=lambda each: each.path))


def _one(group: list[Setting]) -> Setting:
    values = [each.value for each in group]
    why = "; ".join(dict.fromkeys(each.why for each in group))
    if all(isinstance(value, list) for value in values):
        united = sorted({name for value in values if isinstance(value, list) for name in value})
        return Setting(group[0].path, united, why)
    numbers = [value for value in values if isinstance(value, int | float)]
    value = max(numbers) if len(numbers) == len(values) else values[-1]
    return Setting(group[0].path, value, why)


def checked(found: Imported, policies: Policies) -> Imported:
    """Return what was imported; all that it sets can be set. Raises Invalid."""
    nested = nested_of(found.settings)
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        details = tuple(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise Invalid(f"what {found.source} has cannot be set here", details) from error
    Policies(tuple(policies.capabilities.values()), settings.policy)
    return found


def nested_of(settings: Sequence[Setting]) -> dict[str, object]:
    """Return settings as nested mappings, as a TOML file holds them."""
    root: dict[str, object] = {}
    for each in settings:
        place = root
        for name in each.path[:-1]:
            inner = place.setdefault(name, {})
            assert isinstance(inner, dict)  # noqa: S101 - a path leads through tables only
            place = inner
        place[each.path[-1]] = each.value
    return root


def toml(found: Imported) -> str:
    """Return what was imported as a part of `billow.toml`, all else as comments."""
    return "\n".join(_toml(found)) + "\n"


def imported_document(found: Imported) -> Document:
    """Return what was imported as JSON has it."""
    return {
        "format": "billow-import",
        "version": 1,
        "source": found.source,
        "read": list(found.read),
        "settings": nested_of(found.settings),
        "why": {".".join(each.path): each.why for each in found.settings},
        "commands": written(found.errands),
        "differs": written(found.differs),
        "nothing": written(found.nothing),
    }


def _toml(found: Imported) -> Iterator[str]:
    yield f"# What {found.source} has, for billow.toml. Read: {', '.join(found.read) or 'nothing'}."
    if not found.settings:
        yield "# No setting has to change."
    ordered = sorted(found.settings, key=lambda each: each.path[:-1])
    for table, group in groupby(ordered, key=lambda each: each.path[:-1]):
        yield ""
        if table:
            yield f"[{'.'.join(table)}]"
        for each in group:
            yield from _comment(each.why)
            yield f"{each.path[-1]} = {_value(each.value)}"
    yield from _errands(found.errands)
    yield from _remarks("What Billow does otherwise:", found.differs)
    yield from _remarks("What has no equivalent:", found.nothing)


def _errands(errands: Sequence[Errand]) -> Iterator[str]:
    if errands:
        yield ""
        yield "# Then, once:"
    for command, why in {each.command: each.why for each in errands}.items():
        yield from _comment(f"{why}:", "- ")
        yield f"#     {command}"


def _remarks(title: str, remarks: Sequence[Remark]) -> Iterator[str]:
    yield from _part(title, {each.subject: each.text for each in remarks})


def _part(title: str, lines: Mapping[str, str]) -> Iterator[str]:
    if lines:
        yield ""
        yield f"# {title}"
    for subject, text in lines.items():
        yield from _comment(f"{subject}: {text}", "- ")


def _comment(text: str, mark: str = "") -> Iterator[str]:
    """Yield a text as lines of comment."""
    line, lead = mark, mark
    for word in " ".join(text.split()).split(" "):
        if len(line) + len(word) > WIDTH - 3 and line.strip(" -"):
            yield f"# {line.rstrip()}"
            line = lead = " " * len(mark)
        line += word if line == lead else f" {word}"
    yield f"# {line.rstrip()}"


def _value(value: object) -> str:
    """Return a value as TOML writes it; texts, numbers, flags and lists look as in JSON."""
    if isinstance(value, dict):
        pairs = ", ".join(f"{name} = {_value(each)}" for name, each in value.items())
        return f"{{ {pairs} }}"
    return json.dumps(value, ensure_ascii=True)
