# SPDX-License-Identifier: Apache-2.0
"""A CPU as a short text: the nearest model that QEMU knows, and what it has less and more.

`Skylake-Server-v3 -pku +gfni` is readable, the same on every host of one kind, and stands for a set
of features. The vendor is a feature (`intel`, `amd`): a guest keeps to that of the CPU on which it
was started. Nothing is known of a CPU whose text is empty.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Final

from billow.errors import Invalid
from billow.model.cpu.data import MODELS
from billow.model.kinds import Arch

Features = frozenset[str]

VENDORS: Final = frozenset({"intel", "amd", "hygon", "zhaoxin"})
_CHANGE: Final = re.compile(r"[+-][a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_LONGEST: Final = 4096
_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Model:
    """One model that can be asked for.

    Attributes:
        name: The versioned one, whose meaning never changes.
        names: That one first, then its other names.
        features: What a host must have to run it.
    """

    name: str
    names: tuple[str, ...]
    arch: Arch
    features: Features

    @property
    def family(self) -> str:
        """The name without its version."""
        return re.sub(r"-v\d+$", "", self.name)

    @property
    def vendor(self) -> str:
        """Whose CPU it is; empty for a model of nobody's, and on Arm."""
        return vendor_of(self.features)


@cache
def models(arch: Arch) -> tuple[Model, ...]:
    """Return every model of an architecture, those with fewer features first."""
    return tuple(model for model in _all() if model.arch is arch)


def vendor_of(features: Collection[str]) -> str:
    """Return the vendor among features; empty when there is none."""
    return next(iter(VENDORS.intersection(features)), "")


def check_cpu(what: str, text: object) -> str:
    """Return `text` if it is empty or stands for a CPU. Raises Invalid."""
    if text == "":
        return ""
    if isinstance(text, str) and len(text) <= _LONGEST:
        _resolved(text)
        return text
    raise Invalid(f"{what} must be a short text", fix=_FORM, code=_CODE)


def features_of(text: str) -> Features | None:
    """Return what a CPU has; None when nothing is known of it. Raises Invalid."""
    return _resolved(text) if text else None


def model_of(text: str) -> Model:
    """Return the model that a text names. Raises Invalid."""
    name = text.partition(" ")[0]
    known = _by_name()
    if name in known:
        return known[name]
    near = get_close_matches(name, known, 3) or ("EPYC-Rome-v4", "Skylake-Server-v3")
    raise Invalid(
        f"there is no CPU model {name[:60]!a}", fix=f"did you mean {', '.join(near)}?", code=_CODE
    )


def changes_of(text: str) -> tuple[str, ...]:
    """Return what a text adds to its model and takes from it: `("-pku", "+gfni")`."""
    return tuple(text.split(" ")[1:])


@lru_cache(maxsize=_KEPT)
def described(features: Features, arch: Arch) -> str:
    """Return the text of a CPU, by the model that is nearest; empty where no model is known."""

    def distance(model: Model) -> tuple[int, int]:
        return len(model.features ^ features), len(model.features - features)

    nearest = min(models(arch), key=distance, default=None)
    return with_changes(nearest, features) if nearest else ""


def with_changes(model: Model, features: Features) -> str:
    """Return the text of a CPU by a chosen model."""
    less = [f"-{each}" for each in sorted(model.features - features)]
    more = [f"+{each}" for each in sorted(features - model.features)]
    return " ".join([model.name, *less, *more])


@lru_cache(maxsize=_KEPT)
def _resolved(text: str) -> Features:
    has = set(model_of(text).features)
    for change in changes_of(text):
        if not _CHANGE.fullmatch(change):
            raise Invalid(f"{change[:60]!a} changes no CPU feature", fix=_FORM, code=_CODE)
        (set.add if change[0] == "+" else set.discard)(has, change[1:])
    return frozenset(has)


@cache
def _all() -> tuple[Model, ...]:
    found: dict[str, Model] = {}
    for line in MODELS.replace("\n  ", " ").splitlines():
        head, _, tail = line.partition(" =")
        arch, *names = head.split()
        found[names[0]] = Model(names[0], tuple(names), Arch(arch), _read(tail.split(), found))
    return tuple(found.values())


def _read(parts: list[str], known: Mapping[str, Model]) -> Features:
    has: set[str] = set()
    for part in parts:
        if part[0] == "+":
            has.add(part[1:])
        elif part[0] == "-":
            has.remove(part[1:])
        else:
            has |= known[part].features
    return frozenset(has)


@cache
def _by_name() -> Mapping[str, Model]:
    return dict(_names())


def _names() -> Iterator[tuple[str, Model]]:
    for model in _all():
        yield from ((name, model) for name in model.names)


_CODE: Final = "invalid-cpu"
_FORM: Final = "write a model, then features less and more: Skylake-Server-v3 -pku +gfni"
