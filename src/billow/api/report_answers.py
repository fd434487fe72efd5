# SPDX-License-Identifier: Apache-2.0
"""What the API answers of reports, as schemas for OpenAPI. See `answers`."""

from pydantic import Field, JsonValue

from billow.api import answers
from billow.api.answers import Answer
from billow.api.plan_answers import FindingDocument
from billow.model.report import Better, Form

UNIT = "share (0 to 1), mib, cpus, kwh, s, time (seconds since the epoch), or what is counted"


class MeasureDocument(Answer):
    """One figure."""

    key: str = Field(description="Stable; the unit is in the name.")
    label: str
    value: answers.Measure
    unit: str = Field(description=UNIT)
    better: Better = Field(description="Which way it should go.")
    bound: answers.Measure = Field(description="The best that is possible; null when not known.")
    note: str


class ColumnDocument(Answer):
    """One column of a grid."""

    key: str = Field(description="Stable.")
    label: str
    unit: str = Field(description=UNIT)
    link: str = Field(description="`host` or `instance` for a column of ids.")


class GridDocument(Answer):
    """A table, the worst or most wanted rows first."""

    key: str
    title: str
    columns: list[ColumnDocument]
    rows: list[list[str | int | float | None]] = Field(description="A cell per column.")
    left_out: int = Field(description="How many rows exist beyond these.")
    note: str


class SeriesDocument(Answer):
    """One named row of values, as many as the picture has labels."""

    name: str
    values: list[answers.Measure]


class PictureDocument(Answer):
    """Something to look at, as its numbers."""

    key: str
    title: str
    form: Form
    labels: list[str | float]
    series: list[SeriesDocument]
    unit: str = Field(description=UNIT)
    label_unit: str
    note: str


class ReportDocument(Answer):
    """What a capability says of a pool."""

    name: str
    title: str
    summary: str = Field(description="One sentence with the main figure.")
    measures: list[MeasureDocument]
    grids: list[GridDocument]
    pictures: list[PictureDocument]
    findings: list[FindingDocument]


class ReportAnswer(Answer):
    """A report on the pool as it is, or on a plan's pool before and after it."""

    name: str
    plan_id: str = Field(description="Empty for the pool as it is.")
    policy: dict[str, JsonValue] = Field(description="Every knob that it was made with.")
    report: ReportDocument = Field(description="As it is; with a plan, before it.")
    after: ReportDocument | None = Field(description="When all steps of the plan are done.")


class ReportRow(Answer):
    """A report that can be asked for."""

    name: str
    about: str


class ReportList(Answer):
    """All reports."""

    items: list[ReportRow]
