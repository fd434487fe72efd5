# SPDX-License-Identifier: Apache-2.0
"""Files that people export from other tools: an API's answer, or what `-f json` prints.

Rows come out, whatever stood around them; keys as the API has them. Who reads them decides what
they are.
"""

import configparser
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from billow.errors import Invalid
from billow.sense.bytes_in import read_bytes

Row = Mapping[str, Any]
Conf = Mapping[tuple[str, str], str]
"""What a configuration file sets: section and option to the text that stands there."""
YAML: Final = (".yaml", ".yml")
CONF: Final = (".conf", ".ini")
_TRUE: Final = frozenset({"true", "yes", "on", "1", "t", "y"})


def rows_in(path: Path) -> list[Row]:
    """Return the rows in a file of JSON or YAML. Raises NotFound, Invalid."""
    text = _text(path)
    return list(_rows(_yaml(text, path) if path.suffix in YAML else _json(text, path), path))


def conf_in(path: Path) -> dict[tuple[str, str], str]:
    """Return what a file of oslo.config sets. Raises NotFound, Invalid."""
    reader = configparser.RawConfigParser(
        strict=False, allow_no_value=True, default_section="", delimiters=("=", ":")
    )
    try:
        reader.read_string(_text(path))
    except configparser.Error as error:
        raise Invalid(
            f"{path.name} is no configuration file",
            (" ".join(str(error).split()),),
            fix="give masakari.conf or masakarimonitors.conf as it is",
        ) from None
    return {
        (section, option): (value or "").strip()
        for section in reader.sections()
        for option, value in reader.items(section)
    }


def flag(value: object) -> bool:
    """Return a truth value, as APIs, clients and configuration files spell it."""
    return value is True or str(value).strip().lower() in _TRUE


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid(f"{path.name} is no text", (str(error),), fix="export it again") from None


def _json(text: str, path: Path) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Invalid(
            f"{path.name} is no JSON",
            (f"line {error.lineno}: {error.msg}",),
            fix="export with `-f json`; end a name with .yaml for YAML, .conf for settings",
        ) from None


def _yaml(text: str, path: Path) -> object:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise Invalid(
            f"{path.name} is YAML, and nothing here reads that",
            fix="pip install 'billow[openstack]', or export with `-f json`",
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid(f"{path.name} is no YAML", (" ".join(str(error).split()),)) from None


def _rows(document: object, path: Path) -> Iterator[Row]:
    """Yield rows of a list, of an answer's only list, or the one thing that is there."""
    match document:
        case list():
            for each in document:
                if not isinstance(each, dict):
                    raise _no_rows(path)
                yield from _rows(each, path)
        case dict():
            inner = [value for value in document.values() if _is_rows(value)]
            wrapped = len(document) <= 2 and inner
            one = next(iter(document.values()), None)
            if wrapped:
                yield from (row for each in inner for row in map(_row, each))
            elif len(document) == 1 and isinstance(one, dict):
                yield _row(one)
            else:
                yield _row(document)
        case _:
            raise _no_rows(path)


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _row(given: Mapping[object, Any]) -> Row:
    return {str(key).strip().lower().replace(" ", "_"): value for key, value in given.items()}


def _no_rows(path: Path) -> Invalid:
    return Invalid(
        f"{path.name} holds no list of things",
        fix="give an answer of the API, or what `openstack ... list -f json` prints",
    )
