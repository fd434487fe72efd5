# SPDX-License-Identifier: Apache-2.0
"""What a capability can say of a pool without changing it: figures, tables and pictures as values.

CLI, API and console render every report alike, so a new capability brings no page of its own. A
report of the same name before and after a plan is compared figure by figure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from billow.model.plan import Finding

Cell = str | int | float | None
"""One cell of a table; a number is rendered by its column's unit, None as a dash."""


class Better(StrEnum):
    """Which way a figure should go."""

    UP = "up"
    DOWN = "down"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure.

    Attributes:
        key: Stable name in JSON, the unit in it: `fragmentation_share`, `energy_kwh`.
        label: The same for people.
        unit: `share` (0 to 1, shown as a percentage), `mib`, `cpus`, `kwh`, `slots`, `hosts`, ...
        bound: The best that is possible, where that is known.
    """

    key: str
    label: str
    value: float
    unit: str = ""
    better: Better = Better.NEITHER
    bound: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `key` is its stable name; `link` is `host` or `instance` for ids."""

    key: str
    label: str
    unit: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: the worst or the most wanted rows first.

    Attributes:
        left_out: How many rows exist beyond those that are shown.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int = 0
    note: str = ""


class Form(StrEnum):
    """How a picture is drawn."""

    BARS = "bars"
    """One group of bars per label."""
    LINES = "lines"
    """Labels are numbers along x: seconds since the epoch when the unit is `time`."""
    STRIPES = "stripes"
    """One stripe per label, made of shares that sum to at most 1: what a host is filled with."""


@dataclass(frozen=True, slots=True)
class Series:
    """One named row of values, as many as the picture has labels."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Something to look at. The same numbers stand in its series, for who cannot see it."""

    key: str
    title: str
    form: Form
    labels: tuple[str | float, ...]
    series: tuple[Series, ...]
    unit: str = ""
    label_unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a capability says of a pool.

    Attributes:
        name: The capability.
        summary: One sentence with the main figure.
    """

    name: str
    title: str
    summary: str
    measures: tuple[Measure, ...] = ()
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def figures(self) -> Mapping[str, float]:
        """The figures by key."""
        return {measure.key: measure.value for measure in self.measures}
