# SPDX-License-Identifier: Apache-2.0
"""What may be a name, and what may be an amount. Every face and every engine leans on these two laws.

`check_id` is the law for anything sensed (another cloud's ids may hold slashes and colons); `check_name` is the
stricter one for names that Billow itself gives to new instances, since they become file and interface names.
"""

import math
import re
from typing import Final

from billow.errors import Invalid
from billow.model.resources import LARGEST

LONGEST_ID: Final = 253
_ID = re.compile(r"[^\s\x00-\x1f\x7f-\x9f=,\"'\\\[\]]{1,253}", re.UNICODE)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def check_id(what: str, text: str) -> str:
    """Return `text` if it can be an id in a pool.

    Raises:
        Invalid: it is empty, too long, or holds white space, control characters, quotes, commas, brackets
            or an equals sign, or starts with a dash.
    """
    if isinstance(text, str) and _ID.fullmatch(text) and text[0] not in "-#":
        return text
    raise Invalid(
        f"{what} {_shown(text)} is not a valid id",
        fix=f"use 1 to {LONGEST_ID} characters without spaces, quotes, commas, brackets, '=' "
        "or control characters, not starting with '-' or '#'",
        code="invalid-id",
    )


def check_name(what: str, text: str) -> str:
    """Return `text` if Billow may give it to something new (an RFC 1123 label).

    Raises:
        Invalid: it is not 1 to 63 characters of a-z, 0-9 and '-', or starts or ends with '-'.
    """
    if isinstance(text, str) and _NAME.fullmatch(text):
        return text
    raise Invalid(
        f"{what} {_shown(text)} is not a valid name",
        fix="use 1 to 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit",
        code="invalid-name",
    )


def check_amount(what: str, amount: int, *, least: int = 0, most: int = LARGEST) -> int:
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


def check_measure(what: str, measure: float, *, least: float = 0.0, most: float = 1e12) -> float:
    """Return `measure` if it is NaN (not seen) or between `least` and `most`.

    Raises:
        Invalid: it is not a number, infinite, or out of range.
    """
    if isinstance(measure, int | float) and not isinstance(measure, bool):
        if math.isnan(measure) or least <= measure <= most:
            return float(measure)
    raise Invalid(
        f"{what} must be a number from {least:g} to {most:g}, not {_shown(measure)}",
        fix=f"give {what} a value in that range",
        code="invalid-amount",
    )


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."
