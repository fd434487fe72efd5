# SPDX-License-Identifier: Apache-2.0
"""Figures of reports in words: one way for the command line, the API's text and the console.

A unit is a word of `model.report`: `share`, `mib`, `cpus`, `kwh`, `s`, `time`, ...; what is not
known here is a thing that is counted, and its word is written behind the number.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from billow.model.report import Better
from billow.plan.explain import duration_text, size_text

UNKNOWN = "\N{EN DASH}"
_LAST_MOMENT = 253_402_300_800
"""The year 10,000, beyond which there are no dates."""


def amount(value: float | str | None, unit: str = "", *, bare: bool = False) -> str:
    """Write a figure with its unit; a dash for what is not known.

    `bare` leaves the word of what is counted away, for columns whose head says it.
    """
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "unlimited" if value > 0 else "none"
    if unit in WRITERS:
        return WRITERS[unit](value)
    return number(value) if bare or not unit else f"{number(value)} {_counted(value, unit)}"


def change(before: float | None, after: float | None, unit: str) -> str:
    """Write how a figure changes, with its sign; empty where it does not or one is not known."""
    if before is None or after is None or not math.isfinite(after - before):
        return ""
    difference = after - before
    if unit == "time":
        text = duration_text(abs(difference))
    elif unit == "share":
        text = f"{number(abs(difference) * 100)} points"
    else:
        text = amount(abs(difference), unit)
    same = text == amount(0.0, unit) or not difference
    return "" if same else f"{'+' if difference > 0 else MINUS}{text}"


def verdict(before: float | None, after: float | None, better: str) -> str:
    """Return `better` or `worse` for a figure that changes; empty where neither can be said."""
    if better == Better.NEITHER or before is None or after is None or before == after:
        return ""
    if math.isnan(before) or math.isnan(after):
        return ""
    return "better" if (after > before) is (better == Better.UP) else "worse"


def number(value: float) -> str:
    """Write a number with three digits at least, and thousands apart."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _share(value: float) -> str:
    percent = value * 100
    return "< 0.001 %" if 0 < percent < 0.001 else f"{number(percent)} %"


def _energy(kwh: float) -> str:
    return f"{number(kwh / 1000)} MWh" if abs(kwh) >= 10_000 else f"{number(kwh)} kWh"


def _power(watts: float) -> str:
    return f"{number(watts / 1000)} kW" if abs(watts) >= 10_000 else f"{number(watts)} W"


def _moment(at: float) -> str:
    if not 0 < at < _LAST_MOMENT:
        return UNKNOWN
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _behind(word: str) -> Callable[[float], str]:
    return lambda value: f"{number(value)} {word}"


def _counted(value: float, unit: str) -> str:
    """Return the word of what is counted, for one of them without its plural's s."""
    words = unit.replace("_", " ")
    return words[:-1] if value == 1 and words.endswith("s") else words


MINUS = "\N{MINUS SIGN}"
WRITERS: Mapping[str, Callable[[float], str]] = {
    "share": _share,
    "mib": size_text,
    "mib_s": lambda value: f"{size_text(value)}/s",
    "cpus": lambda value: f"{number(value)} {_counted(value, 'CPUs')}",
    "cpu_milli": lambda milli: f"{number(milli / 1000)} {_counted(milli / 1000, 'CPUs')}",
    "kwh": _energy,
    "watts": _power,
    "s": duration_text,
    "seconds": duration_text,
    "time": _moment,
    "cpu_hours": _behind("CPU hours"),
    "euro": _behind("euro"),
    "ratio": _behind("\N{MULTIPLICATION SIGN}"),
    "kg": _behind("kg"),
    "g": _behind("g"),
    "g_per_kwh": _behind("g/kWh"),
    "celsius": _behind("°C"),
}
"""How each unit is written."""
