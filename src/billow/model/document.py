# SPDX-License-Identifier: Apache-2.0
"""The model's dataclasses as plain documents (what JSON can hold) and back.

It exists so that the annotations of a dataclass are its schema: a new field needs no line here.
`codec` gives the documents their names; this module must know no noun but the verbs, which carry
their name as `verb`.

Not a number (a measurement that was not seen) and infinity become null, since JSON has neither.
Reading is strict: no unknown field, no word for a number, no boolean for a whole number.
"""

import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from billow.errors import Invalid
from billow.model.action import VERBS
from billow.model.verb import Verb

Value = TypeVar("Value")
Document: TypeAlias = dict[str, object]
Reader: TypeAlias = Callable[[object], object]

_WORDS = (str, int, bool, types.NoneType)
_LARGEST = 2**63


class Misfit(Exception):
    """Something does not fit its place; the path grows on the way up."""

    def __init__(self, cause: Invalid) -> None:
        super().__init__(cause.brief)
        self.cause = cause
        self.path: list[str] = []


def written(value: object) -> object:
    """Return a value of the model as a document. Raises TypeError for anything else."""
    if type(value) in _WORDS:
        return value
    if isinstance(value, float | StrEnum | IntEnum):
        return _written_word(value)
    if isinstance(value, tuple | list):
        return [written(each) for each in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return {str(key): written(each) for key, each in value.items()}
    return _written_fields(value)


def read(kind: type[Value], document: object, what: str) -> Value:
    """Return the value that a document stands for; `what` names the document in errors.

    Raises:
        Invalid: a field is unknown, missing or of the wrong kind, or the value breaks a law of the
            model.
    """
    return cast(Value, read_as(reader_of(kind), document, what))


def read_as(reader: Reader, document: object, what: str) -> object:
    """Read with a reader at hand. Raises Invalid that says where."""
    try:
        return reader(document)
    except Misfit as misfit:
        cause = misfit.cause
        path = "".join(reversed(misfit.path)).removeprefix(".")
        where = f"in {what}, at {path}" if path else f"in {what}"
        raise Invalid(cause.brief, (where, *cause.details), cause.fix, cause.code) from None


def reader_of(kind: Any) -> Reader:  # noqa: ANN401 (an annotation has no type of its own)
    """Return the reader of what an annotation allows."""
    if kind not in _READERS:
        _READERS[kind] = _made_reader(kind)
    return _READERS[kind]


_READERS: dict[object, Reader] = {}


def _made_reader(kind: Any) -> Reader:  # noqa: ANN401 (see above)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if isinstance(kind, type) and issubclass(kind, StrEnum | IntEnum):
        return _word_reader(kind)
    if is_dataclass(kind):
        return fields_reader(cast(type, kind), {})
    return _generic_reader(get_origin(kind), get_args(kind))


def _generic_reader(origin: object, arguments: tuple[object, ...]) -> Reader:
    if origin in (Union, types.UnionType):
        return _union_reader(arguments)
    if origin in (dict, Mapping):
        return _mapping_reader(reader_of(arguments[0]), reader_of(arguments[1]))
    if origin in (tuple, frozenset):
        return list_reader(reader_of(arguments[0]), cast(type, origin))
    raise TypeError(f"no document for {origin!r}")


_NAMES: dict[type, tuple[str, ...]] = {}


def _names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 (any dataclass)
    if kind not in _NAMES:
        _NAMES[kind] = tuple(each.name for each in fields(kind))
    return _NAMES[kind]


def _written_word(value: float | StrEnum | IntEnum) -> object:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, IntEnum):
        return value.name.lower()
    return value if math.isfinite(value) else None


def _written_fields(value: object) -> Document:
    document: Document = {"verb": value.name} if isinstance(value, Verb) else {}
    for name in _names(type(value)):
        document[name] = written(getattr(value, name))
    return document


def misfit(brief: str, fix: str = "") -> Misfit:
    """Return the error for something that does not fit."""
    return Misfit(Invalid(brief, fix=fix, code="invalid-document"))


def shown(document: object) -> str:
    """Return a short text of anything, for errors."""
    text = ascii(document) if isinstance(document, str | int | float) else type(document).__name__
    return text if len(text) <= 60 else text[:57] + "..."


def _text(document: object) -> object:
    if isinstance(document, str):
        return document
    raise misfit(f"{shown(document)} is not a text", fix="give a text in quotes")


def _whole(document: object) -> object:
    if type(document) is int and -_LARGEST <= document < _LARGEST:
        return document
    raise misfit(f"{shown(document)} is not a whole number", fix="give a number like 16")


def _real(document: object) -> object:
    if document is None:
        return math.nan
    if type(document) is float and math.isfinite(document):
        return document
    if type(document) is int and -_LARGEST <= document < _LARGEST:
        return float(document)
    raise misfit(f"{shown(document)} is not a number", fix="give a number like 1.5, or null")


def _truth(document: object) -> object:
    if isinstance(document, bool):
        return document
    raise misfit(f"{shown(document)} is neither true nor false", fix="give true or false")


def _nothing(document: object) -> object:
    if document is None:
        return None
    raise misfit(f"{shown(document)} is not null", fix="give null")


_SIMPLE: dict[object, Reader] = {
    str: _text,
    int: _whole,
    float: _real,
    bool: _truth,
    types.NoneType: _nothing,
}


def _word_reader(vocabulary: type[StrEnum | IntEnum]) -> Reader:
    words = {str(_written_word(each)): each for each in vocabulary}

    def read_word(document: object) -> object:
        value = words.get(document) if isinstance(document, str) else None
        if value is None:
            kind = vocabulary.__name__.lower()
            raise misfit(f"{shown(document)} is no {kind}", fix=f"use one of {', '.join(words)}")
        return value

    return read_word


def list_reader(reader: Reader, kind: Callable[[list[object]], object] = tuple) -> Reader:
    """Return the reader of a list of what `reader` reads."""

    def read_list(document: object) -> object:
        if not isinstance(document, list | tuple):
            raise misfit(f"{shown(document)} is not a list", fix="give a list in brackets")
        values = []
        try:
            for each in document:
                values.append(reader(each))  # noqa: PERF401 (its length says where it failed)
        except Misfit as error:
            error.path.append(f"[{len(values)}]")
            raise
        return kind(values)

    return read_list


def _mapping_reader(key_reader: Reader, reader: Reader) -> Reader:
    def read_mapping(document: object) -> object:
        values = {}
        for key, each in checked_mapping(document).items():
            try:
                values[key_reader(key)] = reader(each)
            except Misfit as error:
                error.path.append(f".{key}")
                raise
        return values

    return read_mapping


def checked_mapping(document: object) -> Mapping[str, object]:
    """Return a document that is a mapping with text keys. Raises Misfit."""
    if isinstance(document, Mapping) and all(isinstance(key, str) for key in document):
        return document
    raise misfit(f"{shown(document)} is not an object", fix="give an object in braces")


def _union_reader(kinds: tuple[object, ...]) -> Reader:
    if all(isinstance(kind, type) and issubclass(kind, Verb) for kind in kinds):
        return _read_verb
    if set(kinds) <= _SIMPLE.keys() and len(kinds) > 2:
        return _scalar
    (kind,) = (kind for kind in kinds if kind is not types.NoneType)
    reader = reader_of(kind)
    return lambda document: None if document is None else reader(document)


def _scalar(document: object) -> object:
    if document is None or isinstance(document, bool | str):
        return document
    return _whole(document) if isinstance(document, int) else _real(document)


def _read_verb(document: object) -> object:
    mapping = dict(checked_mapping(document))
    verb = mapping.pop("verb", None)
    kind = VERBS.get(verb) if isinstance(verb, str) else None
    if kind is None:
        raise misfit(f"{shown(verb)} is no verb", fix=f"use one of {', '.join(VERBS)}")
    return reader_of(kind)(mapping)


def fields_reader(kind: type, own: Mapping[str, Reader]) -> Reader:
    """Return the reader of a dataclass, with readers of the caller's own for some fields."""
    hints = get_type_hints(kind)
    readers = {
        each.name: own.get(each.name) or reader_of(hints[each.name]) for each in fields(kind)
    }
    required = [
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    ]

    def read_fields(document: object) -> object:
        mapping = checked_mapping(document)
        check_fields(mapping, required, readers)
        values = {}
        for name, part in mapping.items():
            try:
                values[name] = readers[name](part)
            except Misfit as error:
                error.path.append(f".{name}")
                raise
        return _made(kind, values)

    return read_fields


def _made(kind: Callable[..., object], values: Mapping[str, object]) -> object:
    try:
        return kind(**values)
    except Invalid as error:
        raise Misfit(error) from None


def check_fields(
    mapping: Mapping[str, object], required: list[str], known: Mapping[str, object]
) -> None:
    """Check that a mapping has all required and no unknown fields. Raises Misfit."""
    for name in mapping:
        if name not in known:
            raise misfit(f"unknown field {shown(name)}", fix=f"known are {', '.join(known)}")
    for name in required:
        if name not in mapping:
            raise misfit(f"the field {name} is missing", fix=f"add {name}")
