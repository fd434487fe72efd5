# SPDX-License-Identifier: Apache-2.0
"""Amounts as people say and type them."""

import re
from typing import Any

from billow.errors import Invalid

_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_SENTENCE = 500
_SCALES = {"": 1, "m": 1, "mib": 1, "g": 1024, "gib": 1024, "t": 1024**2, "tib": 1024**2}


def cpus(milli: float) -> str:
    """Return thousandths of a CPU as CPUs."""
    return f"{milli / 1000:g}"


def memory(mib: float) -> str:
    """Return MiB with the unit that suits it, in the words of all faces."""
    from billow.plan.explain import size_text

    return size_text(mib)


def lasting(seconds: float) -> str:
    """Return a duration, in the words of all faces."""
    from billow.plan.explain import duration_text

    return duration_text(seconds)


def percent(fraction: Any) -> str:  # noqa: ANN401 (a number or null, as JSON has it)
    """Return a fraction as a percentage; nothing where it is not known."""
    return "" if fraction is None else f"{fraction:.0%}"


def milli_of(text: str) -> int:
    """Return CPUs as typed (`2`, `0.5`, `500m`) in thousandths. Raises Invalid."""
    from billow.model.spelling import read_cores

    try:
        return read_cores(text)
    except Invalid:
        brief = f"{ascii(text)[:60]} is no number of CPUs"
        raise Invalid(brief, fix="give one like 2, 0.5 or 500m") from None


def seconds_of(text: str) -> float:
    """Return a time as typed (`50ms`, `0.3`, `0.3s`) in seconds. Raises Invalid."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(ms|s|)", text.lower())
    if match:
        return float(match[1]) / (1000 if match[2] == "ms" else 1)
    raise Invalid(f"{ascii(text)[:60]} is no length of time", fix="give one like 50ms or 0.3s")


def span_of(text: str, most_days: int = 30) -> float:
    """Return a span as typed (`90s`, `30m`, `2h`, `1d`) in seconds. Raises Invalid.

    A maintenance must end within a month: nothing longer is taken unless told.
    """
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)\s*([smhd])", text.strip().lower())
    if match:
        seconds = float(match[1]) * _SPANS[match[2]]
        if not 0 < seconds <= most_days * _SPANS["d"]:
            raise Invalid(f"{text} is no such time", fix=f"more than 0, at most {most_days}d")
        return seconds
    raise Invalid(f"{ascii(text)[:60]} is no span of time", fix="give one like 30m, 2h or 1d")


def sentence_of(text: str, name: str) -> str:
    """Return what a person says, without blanks around it. Raises Invalid for none, or too much."""
    said = text.strip()
    if not said:
        raise Invalid(f"{name} is empty", fix=f"say it in one sentence with {name}")
    if len(said) > LONGEST_SENTENCE:
        fix = f"at most {LONGEST_SENTENCE} letters"
        raise Invalid(f"{name} is too long, {len(said)} letters", fix=fix)
    return said


def mib_of(text: str) -> int:
    """Return memory as typed (`512`, `512MiB`, `4GiB`) in MiB. Raises Invalid."""
    match = re.fullmatch(r"([0-9]{1,9})\s*([a-z]*)", text.lower())
    if match and match[2] in _SCALES:
        return int(match[1]) * _SCALES[match[2]]
    raise Invalid(f"{ascii(text)[:60]} is no amount of memory", fix="give one like 512MiB or 4GiB")
