# SPDX-License-Identifier: Apache-2.0
"""How amounts, times and words are spelled in the text form: one function to write, one to read.

What is written reads back as the same value, to the last bit. Readers raise Invalid that says what
was expected; they never guess.
"""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

from billow.errors import Invalid

_SIZES = {"MiB": 1, "GiB": 1024, "TiB": 1024 * 1024}
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,25})?(?:e[+-]?[0-9]{1,3})?"
_CORES = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?)(m?)", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,15})(MiB|GiB|TiB)", re.ASCII)
_MEASURE = re.compile(rf"({_NUMBER})(m|MiB|GiB|TiB|MiB/s|GiB/s)?", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_NODES = re.compile(r"[0-9]{1,2}(?:\+[0-9]{1,2})*", re.ASCII)
_BARE = re.compile(r"[A-Za-z0-9._:/@+-]+", re.ASCII)


def written_cores(cpu_milli: int) -> str:
    """Return `16` for whole CPUs, `500m` for thousandths."""
    return f"{cpu_milli}m" if cpu_milli % 1000 else str(cpu_milli // 1000)


def read_cores(text: str) -> int:
    """Return thousandths of a CPU from `16`, `1.5` or `500m`. Raises Invalid."""
    found = _CORES.fullmatch(text)
    if found and not (found[2] and "." in found[1]):
        return int(Decimal(found[1]) * (1 if found[2] else 1000))
    raise wrong(text, "an amount of CPU", "write 16 (CPUs) or 500m (thousandths)")


def written_size(mib: int) -> str:
    """Return MiB in the largest unit that is exact: `32GiB`."""
    for unit in ("TiB", "GiB"):
        if mib and mib % _SIZES[unit] == 0:
            return f"{mib // _SIZES[unit]}{unit}"
    return f"{mib}MiB"


def read_size(text: str) -> int:
    """Return MiB from `512MiB`, `32GiB` or `1TiB`. Raises Invalid."""
    found = _SIZE.fullmatch(text)
    if found:
        return int(found[1]) * _SIZES[found[2]]
    raise wrong(text, "an amount of memory", "write a whole number and MiB, GiB or TiB: 32GiB")


def read_measure(text: str) -> float:
    """Return a number, its unit in MiB, MiB/s or thousandths of a CPU. Raises Invalid."""
    found = _MEASURE.fullmatch(text)
    if found:
        scale = _SIZES.get((found[2] or "MiB").removesuffix("/s"), 1)
        return float(found[1]) * scale
    raise wrong(text, "a number with a unit", "write it like 12.5MiB, 100MiB/s or 1500m")


def read_number(text: str) -> float:
    """Return a number without a unit. Raises Invalid."""
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return float(text)
    raise wrong(text, "a number", "write it like 1.5")


def read_whole(text: str) -> int:
    """Return a whole number. Raises Invalid."""
    if _WHOLE.fullmatch(text):
        return int(text)
    raise wrong(text, "a whole number", "write it like 2")


def read_traits(text: str) -> frozenset[str]:
    """Return traits from `ssd,avx512`; their names are judged where they are used."""
    return frozenset(text.split(","))


def written_traits(traits: frozenset[str]) -> str:
    """Return traits as `avx512,ssd`."""
    return ",".join(sorted(traits))


def written_text(text: str) -> str:
    """Return free text as one word, in quotes unless it is plain."""
    if _BARE.fullmatch(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def written_time(seconds: float) -> str:
    """Return seconds since the epoch as `2026-11-22T08:00:00Z`, or as a number if that is exact."""
    moment = datetime.fromtimestamp(seconds, UTC)
    text = moment.isoformat().replace("+00:00", "Z")
    return text if moment.timestamp() == seconds else repr(seconds)


def read_time(text: str) -> float:
    """Return seconds since the epoch. Raises Invalid."""
    try:
        return float(text) if _number_like(text) else _read_moment(text)
    except (ValueError, OverflowError):
        raise wrong(text, "a time", "write it like 2026-11-22T08:00:00Z") from None


def written_place(host: str, nodes: tuple[int, ...]) -> str:
    """Return where an instance is: `h1`, `h1/0+1`, or `-` for nowhere."""
    place = host or "-"
    if nodes:
        return f"{place}/{'+'.join(map(str, nodes))}"
    return f"{place}/-" if "/" in place else place


def read_place(text: str) -> tuple[str, tuple[int, ...]]:
    """Return host and NUMA nodes of a place. Raises Invalid."""
    host, slash, tail = text.rpartition("/")
    if slash and tail == "-":
        nodes: tuple[int, ...] = ()
    elif slash and _NODES.fullmatch(tail):
        nodes = tuple(sorted(map(int, tail.split("+"))))
    else:
        host, nodes = text, ()
    if not host:
        raise wrong(text, "a place", "write HOST, HOST/NODE, HOST/NODE+NODE, or - for nowhere")
    return ("" if host == "-" else host), nodes


def wrong(text: str, what: str, fix: str) -> Invalid:
    """Return the error for a word that cannot be read."""
    shown = ascii(text) if len(text) <= 60 else ascii(text[:57]) + "..."
    return Invalid(f"{shown} is not {what}", fix=fix, code="invalid-text-form")


def _number_like(text: str) -> bool:
    return re.fullmatch("-?" + _NUMBER, text, re.ASCII) is not None


def _read_moment(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return moment.timestamp()
