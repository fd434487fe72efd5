# SPDX-License-Identifier: Apache-2.0
"""Pictures of reports as shapes of an SVG: bars, stripes, lines. Numbers in, places out.

This module must not know a template; colours are classes that the style sheet names.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from billow.model.report import Form, Picture
from billow.plan.amounts import amount

WIDTH = 720.0
LETTER, LEAST_LEFT, MOST_LEFT, RIGHT = 6.3, 70.0, 250.0, 84.0
"""Room for labels before, by their letters, and for figures behind."""
MOST_LABELS = 400
TALLEST_ROW, LOWEST_ROW, LEAST_FOR_TEXT = 17.0, 2.0, 11.0
MOST_HEIGHT = 620.0
LINE_HEIGHT = 190.0
COLOURS = 6
LABEL_LETTERS = 38


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    title: str


@dataclass(frozen=True, slots=True)
class Word:
    """A text; `anchor` is `start`, `middle` or `end`."""

    x: float
    y: float
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Course:
    """A line through points, as SVG writes them."""

    points: str
    colour: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """What an SVG holds.

    Attributes:
        left_out: Labels that are not drawn, since there are too many.
    """

    height: float
    boxes: tuple[Box, ...] = ()
    words: tuple[Word, ...] = ()
    courses: tuple[Course, ...] = ()
    left_out: int = 0
    width: float = WIDTH


def draw(picture: Picture) -> Drawing:
    """Return a picture's shapes."""
    if picture.form is Form.LINES:
        return _lines(picture)
    return _bars(picture) if picture.form is Form.BARS else _stripes(picture)


def _bars(picture: Picture) -> Drawing:
    labels = picture.labels[:MOST_LABELS]
    rows = max(len(labels) * len(picture.series), 1)
    tall = _row_height(rows)
    most = max((abs(each) for each in _seen(picture)), default=0.0) or 1.0
    left = _left(picture)
    scale = (WIDTH - left - RIGHT) / (max(most, 1.0) if picture.unit == "share" else most)
    boxes, words = [], []
    for place, label in enumerate(labels):
        name = amount(label, picture.label_unit)
        top = place * len(picture.series) * tall
        words += _label(name, left, top, tall * len(picture.series))
        for turn, series in enumerate(picture.series):
            value, y = series.values[place], top + turn * tall
            text = amount(value, picture.unit)
            wide = (
                0.0 if not math.isfinite(value) else min(abs(value) * scale, WIDTH - left - RIGHT)
            )
            title = f"{name}, {series.name}: {text}"
            boxes.append(Box(left, y + 1, round(wide, 1), tall - 2, turn % COLOURS, title))
            if tall >= LEAST_FOR_TEXT:
                words.append(Word(left + round(wide, 1) + 5, y + tall / 2 + 4, text))
    return Drawing(rows * tall, tuple(boxes), tuple(words), left_out=_left_out(picture))


def _stripes(picture: Picture) -> Drawing:
    labels = picture.labels[:MOST_LABELS]
    tall = _row_height(len(labels) or 1)
    left = _left(picture)
    scale = WIDTH - left - 8
    gap = 2.0 if tall >= LEAST_FOR_TEXT else 0.0
    boxes: list[Box] = []
    words: list[Word] = []
    for place, label in enumerate(labels):
        name, x, y = amount(label, picture.label_unit), left, place * tall
        words += _label(name, left, y, tall)
        for turn, series in enumerate(picture.series):
            share = series.values[place]
            wide = 0.0 if not math.isfinite(share) else max(min(share, 1.0), 0.0) * scale
            wide = min(wide, left + scale - x)
            title = f"{name}, {series.name}: {amount(share, 'share')}"
            boxes.append(Box(round(x, 1), y, round(wide, 1), tall - gap, turn % COLOURS, title))
            x += wide
    return Drawing(
        max(len(labels), 1) * tall, tuple(boxes), tuple(words), left_out=_left_out(picture)
    )


def _lines(picture: Picture) -> Drawing:
    seen, at = _seen(picture), [float(each) for each in picture.labels]
    if not seen or not at:
        return Drawing(LEAST_FOR_TEXT)
    low, high = min(0.0, *seen), max(seen)
    left, bottom = LEAST_LEFT, LINE_HEIGHT - 22
    wide, span, reach = WIDTH - left - 12, (at[-1] - at[0]) or 1.0, (high - low) or 1.0
    courses = []
    for turn, series in enumerate(picture.series):
        points = [
            (left + (x - at[0]) / span * wide, bottom - (y - low) / reach * (bottom - 8))
            for x, y in zip(at, series.values, strict=True)
        ]
        courses += [Course(part, turn % COLOURS) for part in _pieces(points)]
    words = (
        Word(left - 6, 14, amount(high, picture.unit), "end"),
        Word(left - 6, bottom, amount(low, picture.unit), "end"),
        Word(left, LINE_HEIGHT - 5, amount(at[0], picture.label_unit)),
        Word(WIDTH - 12, LINE_HEIGHT - 5, amount(at[-1], picture.label_unit), "end"),
    )
    return Drawing(LINE_HEIGHT, (), words, tuple(courses))


def _pieces(points: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Yield each piece of a line that is interrupted where nothing was seen."""
    piece: list[str] = []
    for x, y in [*points, (0.0, math.nan)]:
        if math.isfinite(y):
            piece.append(f"{x:.1f},{y:.1f}")
        elif piece:
            yield " ".join(piece if len(piece) > 1 else piece * 2)
            piece = []


def _row_height(rows: int) -> float:
    return max(min(MOST_HEIGHT / rows, TALLEST_ROW), LOWEST_ROW)


def _left(picture: Picture) -> float:
    names = (amount(label, picture.label_unit) for label in picture.labels[:MOST_LABELS])
    longest = min(max(map(len, names), default=0), LABEL_LETTERS)
    return min(max(longest * LETTER + 12, LEAST_LEFT), MOST_LEFT)


def _label(name: str, left: float, top: float, tall: float) -> list[Word]:
    if tall < LEAST_FOR_TEXT:
        return []
    short = name if len(name) <= LABEL_LETTERS else f"{name[: LABEL_LETTERS - 1]}…"
    return [Word(left - 8, top + tall / 2 + 4, short, "end")]


def _seen(picture: Picture) -> list[float]:
    values = (each for series in picture.series for each in series.values)
    return [each for each in values if math.isfinite(each)]


def _left_out(picture: Picture) -> int:
    return max(len(picture.labels) - MOST_LABELS, 0)
