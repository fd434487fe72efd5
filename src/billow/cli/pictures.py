# SPDX-License-Identifier: Apache-2.0
"""Pictures of reports in text: bars, stripes and lines as wide as half a terminal."""

import math
from collections.abc import Iterator, Sequence

from billow.cli.output import Document
from billow.plan.amounts import amount

WIDTH = 48
ROWS = 24
"""Labels that are drawn; the rest is counted."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
LEVELS = "▁▂▃▄▅▆▇█"
FILLS = "█▓▒░#+"


def drawn(picture: Document) -> str:
    """Return a picture as lines of text, its title first."""
    draw = {"bars": _bars, "stripes": _stripes, "lines": _lines}[picture["form"]]
    return "\n".join([picture["title"], *draw(picture)])


def _bars(picture: Document) -> Iterator[str]:
    unit, labels = picture["unit"], _labels(picture)
    most = max((abs(each) for each in _all(picture)), default=0.0)
    most = max(most, 1.0) if unit == "share" else most or 1.0
    names = [series["name"] if len(picture["series"]) > 1 else "" for series in picture["series"]]
    wide, named = _width(labels), _width(names)
    for place, label in enumerate(labels):
        for turn, series in enumerate(picture["series"]):
            value = _value(series, place)
            head = f"{label if not turn else '':<{wide}}  {names[turn]:<{named}}"
            yield f"{head.rstrip():<{wide + named + 2}} {_bar(value / most)} {amount(value, unit)}"
    yield from _rest(picture)


def _stripes(picture: Document) -> Iterator[str]:
    labels = _labels(picture)
    wide = _width(labels)
    for place, label in enumerate(labels):
        cells, share = "", 0.0
        for turn, series in enumerate(picture["series"]):
            share += max(_value(series, place), 0.0)
            cells += FILLS[turn % len(FILLS)] * (min(round(share * WIDTH), WIDTH) - len(cells))
        yield f"{label:<{wide}}  {cells:<{WIDTH}}|"
    yield from _rest(picture)
    parts = enumerate(picture["series"])
    yield "  ".join(f"{FILLS[turn % len(FILLS)]} {series['name']}" for turn, series in parts)


def _lines(picture: Document) -> Iterator[str]:
    unit, labels = picture["unit"], picture["labels"]
    if not labels:
        return
    wide = _width([series["name"] for series in picture["series"]])
    for series in picture["series"]:
        values = [math.nan if each is None else each for each in series["values"]]
        seen = [each for each in values if not math.isnan(each)]
        if seen:
            least, most = min(seen), max(seen)
            reach = f"{amount(least, unit)} .. {amount(most, unit)}"
            yield f"{series['name']:<{wide}}  {_spark(values, least, most)}  {reach}"
    ends = [amount(label, picture["label_unit"]) for label in (labels[0], labels[-1])]
    yield f"{'':<{wide}}  {ends[0]} .. {ends[1]}"


def _spark(values: Sequence[float], least: float, most: float) -> str:
    """Return one character per step, the mean of what falls into it."""
    steps = min(WIDTH, len(values))
    text = ""
    for step in range(steps):
        part = values[step * len(values) // steps : (step + 1) * len(values) // steps]
        seen = [each for each in part if not math.isnan(each)]
        if not seen:
            text += " "
            continue
        share = (sum(seen) / len(seen) - least) / (most - least) if most > least else 0.5
        text += LEVELS[min(int(share * len(LEVELS)), len(LEVELS) - 1)]
    return text


def _bar(share: float) -> str:
    """Return a bar of a share of the width, to an eighth of a character."""
    eighths = round(min(max(share, 0.0), 1.0) * WIDTH * 8)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def _labels(picture: Document) -> list[str]:
    return [amount(label, picture["label_unit"]) for label in picture["labels"][:ROWS]]


def _rest(picture: Document) -> Iterator[str]:
    if len(picture["labels"]) > ROWS:
        yield f"and {len(picture['labels']) - ROWS:,} more"


def _all(picture: Document) -> list[float]:
    values = (each for series in picture["series"] for each in series["values"])
    return [each for each in values if each is not None]


def _value(series: Document, place: int) -> float:
    value = series["values"][place]
    return 0.0 if value is None else float(value)


def _width(texts: Sequence[str]) -> int:
    return max(map(len, texts), default=0)
