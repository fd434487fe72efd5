# SPDX-License-Identifier: Apache-2.0
"""Text that every database can keep: no zero characters, no half surrogates."""

from typing import Final

LARGEST_NUMBER: Final = 2**63 - 1


def storable(text: str) -> str:
    """Return the text with what no database can keep replaced by U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    whole = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return whole.replace("\0", "\N{REPLACEMENT CHARACTER}")
