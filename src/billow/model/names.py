# SPDX-License-Identifier: Apache-2.0
"""What may be a name, a text, and an amount. Every face and every engine leans on these laws.

`check_id` is the law for anything sensed (another cloud's ids may hold slashes and colons);
`check_name` is the stricter one for names that Billow itself gives to new instances, since they
become file and interface names.
"""

import math
import re
import string
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from billow.errors import Invalid
from billow.model.resources import LARGEST

LONGEST_ID: Final = 253
LONGEST_TEXT: Final = 4096
CURVE_POINTS: Final = 11
_ID = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f=,\"'\\\[\]"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]{1,253}"
)
_PLAIN = (string.ascii_letters + string.digits + "!#$%&()*+-./:;<>?@^_`{|}~").encode()
_HALF = re.compile(r"[\ud800-\udfff]")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def check_id(what: str, text: object) -> str:
    """Return `text` if it can be an id in a pool.

    Raises:
        Invalid: it is empty, too long, starts with '-' or '#', or holds white space, control or
            invisible characters, quotes, commas, brackets, a backslash or an equals sign.
    """
    if isinstance(text, str) and _ID.fullmatch(text) and text[0] not in "-#":
        return text
    raise Invalid(
        f"{what} {_shown(text)} is not a valid id",
        fix=f"use 1 to {LONGEST_ID} characters without spaces, quotes, commas, brackets, "
        "backslashes, '=', control or invisible characters, not starting with '-' or '#'",
        code="invalid-id",
    )


def check_ids(what: str, ids: Sequence[str]) -> None:
    """Check many ids, quickly when they are plain ASCII. Raises Invalid like `check_id`."""
    if not _all_plain(ids):
        for each in ids:
            check_id(what, each)


def _all_plain(ids: Sequence[str]) -> bool:
    """Return whether all ids are sure to be valid; False asks for a closer look."""
    try:
        lines = "\n".join(ids).encode("ascii")
        longest, shortest = max(map(len, ids), default=1), min(map(len, ids), default=1)
    except (TypeError, UnicodeEncodeError):
        return False
    opening = b"\n" + lines
    return (
        0 < shortest <= longest <= LONGEST_ID
        and lines.count(b"\n") == max(len(ids) - 1, 0)
        and not lines.translate(None, _PLAIN + b"\n")
        and b"\n-" not in opening
        and b"\n#" not in opening
    )


def check_optional_id(what: str, text: object) -> str:
    """Return `text` if it is empty or can be an id. Raises Invalid."""
    return "" if text == "" else check_id(what, text)


def check_traits(what: str, traits: object) -> frozenset[str]:
    """Return `traits` if it is a frozen set of ids. Raises Invalid."""
    if not isinstance(traits, frozenset):
        raise Invalid(
            f"{what} must be a frozen set of traits, not {_shown(traits)}",
            fix='write frozenset({"ssd"})',
            code="invalid-traits",
        )
    for trait in traits:
        check_id("trait", trait)
    return traits


def check_text(what: str, text: object) -> str:
    """Return `text` if it can be kept and shown: no half characters, not endless.

    Raises:
        Invalid: it is no text, longer than 4096 characters, or holds a lone surrogate.
    """
    if isinstance(text, str) and len(text) <= LONGEST_TEXT and not _HALF.search(text):
        return text
    raise Invalid(
        f"{what} must be a text of at most {LONGEST_TEXT} characters, not {_shown(text)}",
        fix="shorten it, or write it as valid Unicode",
        code="invalid-text",
    )


def check_curve(what: str, text: object) -> str:
    """Return `text` if it is empty or a power curve: eleven watts, slashes between them.

    Raises:
        Invalid: it is not, or a number in it is negative or too large.
    """
    if text == "":
        return ""
    try:
        watts = [float(each) for each in str(text).split("/")]
    except ValueError:
        watts = []
    if isinstance(text, str) and len(watts) == CURVE_POINTS and all(0 <= w <= 1e6 for w in watts):
        return text
    raise Invalid(
        f"{what} must be {CURVE_POINTS} numbers of watts with slashes between, not {_shown(text)}",
        fix="give the watts at 0, 10, 20 .. 100 % load, as SPECpower lists them: 86/89.4/../117",
        code="invalid-curve",
    )


def check_flag(what: str, value: object) -> None:
    """Check that a value is true or false. Raises Invalid."""
    if not isinstance(value, bool):
        raise Invalid(
            f"{what} must be true or false, not {_shown(value)}",
            fix="give true or false",
            code="invalid-flag",
        )


def check_word(what: str, value: object, vocabulary: type[StrEnum]) -> None:
    """Check that a value is of a closed vocabulary. Raises Invalid."""
    if not isinstance(value, vocabulary):
        raise Invalid(
            f"{what} must be a {vocabulary.__name__}, not {_shown(value)}",
            fix=f"use one of {', '.join(vocabulary)}",
            code="invalid-word",
        )


def check_name(what: str, text: object) -> str:
    """Return `text` if Billow may give it to something new (an RFC 1123 label).

    Raises:
        Invalid: it is not 1 to 63 characters of a-z, 0-9 and '-', or starts or ends with '-'.
    """
    if isinstance(text, str) and _NAME.fullmatch(text):
        return text
    raise Invalid(
        f"{what} {_shown(text)} is not a valid name",
        fix="use 1 to 63 characters of a-z, 0-9 and '-', "
        "starting and ending with a letter or digit",
        code="invalid-name",
    )


def check_amount(what: str, amount: object, *, least: int = 0, most: int = LARGEST) -> int:
    """Return `amount` if it is a whole number between `least` and `most`.

    Raises:
        Invalid: it is not an integer, or out of range.
    """
    if isinstance(amount, int) and not isinstance(amount, bool) and least <= amount <= most:
        return amount
    raise Invalid(
        f"{what} must be a whole number from {least} to {most}, not {_shown(amount)}",
        fix=f"give {what} a value in that range",
        code="invalid-amount",
    )


def check_measure(
    what: str, measure: object, *, least: float = 0.0, most: float = 1e12, unseen: bool = True
) -> float:
    """Return `measure` if it is between `least` and `most`, or NaN (not seen) where that may be.

    Raises:
        Invalid: it is not a number, infinite, or out of range.
    """
    if isinstance(measure, float) and unseen and math.isnan(measure):
        return measure
    number = measure if isinstance(measure, int | float) and type(measure) is not bool else None
    if number is not None and least <= number <= most:
        return float(number)
    raise Invalid(
        f"{what} must be a number from {least:g} to {most:g}, not {_shown(measure)}",
        fix=f"give {what} a value in that range",
        code="invalid-amount",
    )


def check_time(what: str, seconds: object) -> float:
    """Return `seconds` if it is a time between the years 1 and 9999. Raises Invalid."""
    return check_measure(what, seconds, least=-62_135_596_800, most=253_402_300_799, unseen=False)


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
