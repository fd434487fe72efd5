# SPDX-License-Identifier: Apache-2.0
"""The options of the text form's lines: key, where the value goes, and how it is spelled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, TypeVar

from billow.model.column import Declared
from billow.model.hosts import Hosts
from billow.model.instances import Instances
from billow.model.kinds import Arch, Health, MigrationPolicy, Power, Service, Storage
from billow.model.shape import Shape
from billow.model.spelling import (
    read_cores,
    read_measure,
    read_number,
    read_size,
    read_traits,
    read_whole,
    written_cores,
    written_size,
    written_text,
    written_traits,
    wrong,
)

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a line.

    Attributes:
        key: As it is written.
        name: The column, or the shape's field, that holds it.
        attribute: What the row's value calls it.
        default: What is not written.
    """

    key: str
    name: str
    attribute: str
    default: object
    write: Callable[[Any], str]
    read: Callable[[str], object]


def word_reader(vocabulary: type[Word]) -> Callable[[str], Word]:
    """Return a reader of a closed vocabulary. The reader raises Invalid."""
    words: Mapping[str, Word] = {each.value: each for each in vocabulary}

    def read_word(text: str) -> Word:
        if text not in words:
            name = vocabulary.__name__.lower()
            raise wrong(text, f"a known {name}", f"use one of {', '.join(words)}")
        return words[text]

    return read_word


def with_unit(unit: str) -> Callable[[object], str]:
    """Return a writer of numbers with a unit behind them."""
    return lambda number: str(number) + unit


def read_text(text: str) -> str:
    """Return the text as it is."""
    return text


def _of_table(
    table: type[Hosts | Instances], spelled: Mapping[str, tuple[Any, ...]]
) -> list[Option]:
    declared: dict[str, Declared] = table.declared()
    return [
        Option(key, name, declared[name].attribute, declared[name].default, write, read)
        for name, (key, write, read) in spelled.items()
    ]


def _of_shape(spelled: Mapping[str, tuple[Any, ...]]) -> list[Option]:
    default = {each.name: each.default for each in fields(Shape)}
    default["traits"] = frozenset()
    return [
        Option(key, name, name, default[name], write, read)
        for name, (key, write, read) in spelled.items()
    ]


SHAPE_OPTIONS = _of_shape(
    {
        "cpu_milli": ("cpu", written_cores, read_cores),
        "memory_mib": ("memory", written_size, read_size),
        "numa_nodes": ("numa", str, read_whole),
        "gpus": ("gpus", str, read_whole),
        "arch": ("arch", str, word_reader(Arch)),
        "traits": ("traits", written_traits, read_traits),
    }
)
SHAPE_FLAGS = {"huge": "huge_pages", "dedicated": "dedicated"}
"""Words of a shape's line, and the fields that they set."""

HOST_OPTIONS = _of_table(
    Hosts,
    {
        "arch": ("arch", str, word_reader(Arch)),
        "cpu_model": ("cpu", written_text, read_text),
        "sockets": ("sockets", str, read_whole),
        "zone": ("zone", str, read_text),
        "rack": ("rack", str, read_text),
        "traits": ("traits", written_traits, read_traits),
        "gpu_model": ("gpu", str, read_text),
        "power": ("power", str, word_reader(Power)),
        "health": ("health", str, word_reader(Health)),
        "cordon": ("cordon", written_text, read_text),
        "cpu_ratio": ("cpu-ratio", str, read_number),
        "memory_ratio": ("memory-ratio", str, read_number),
        "bandwidth": ("bandwidth", with_unit("MiB/s"), read_measure),
        "cpu_used": ("cpu-used", with_unit("m"), read_measure),
        "memory_used": ("memory-used", with_unit("MiB"), read_measure),
        "power_curve": ("power-curve", str, read_text),
        "load": ("load", str, read_number),
        "cpu_pressure": ("cpu-pressure", str, read_number),
        "memory_pressure": ("memory-pressure", str, read_number),
        "swap": ("swap", with_unit("MiB/s"), read_measure),
        "watts": ("watts", str, read_number),
    },
)
INSTANCE_OPTIONS = _of_table(
    Instances,
    {
        "priority": ("priority", str, read_whole),
        "group": ("group", str, read_text),
        "tenant": ("tenant", str, read_text),
        "zone": ("zone", str, read_text),
        "image": ("image", str, read_text),
        "immovable": ("immovable", written_text, read_text),
        "migration": ("migration", str, word_reader(MigrationPolicy)),
        "cpu_model": ("cpu", written_text, read_text),
        "disk": ("disk", str, word_reader(Storage)),
        "service": ("service", str, word_reader(Service)),
        "cpu_limit": ("cpu-limit", str, read_whole),
        "dirty": ("dirty", with_unit("MiB/s"), read_measure),
        "cpu_used": ("cpu-used", with_unit("m"), read_measure),
        "memory_used": ("memory-used", with_unit("MiB"), read_measure),
        "cpu_wait": ("cpu-wait", str, read_number),
        "ballooned": ("ballooned", with_unit("MiB"), read_measure),
        "disk_used": ("disk-used", with_unit("MiB"), read_measure),
    },
)
