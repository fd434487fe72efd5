# SPDX-License-Identifier: Apache-2.0
"""What cannot be guessed: tokens from 256 random bits, and their digests.

A token needs no slow hash, since nobody tries 2^256 of them, and is found by its digest, so that
the time of an answer tells nothing of how close a wrong one came. Its form is checked before
anything else is done with it, so that a huge or strange one costs nothing.
"""

import hashlib
import re
import secrets
from typing import Final

PREFIX: Final = "bw_"
"""How a token begins, so that a leaked one is found by scanners and by eye."""

_FORM: Final = re.compile(r"bw_[A-Za-z0-9_-]{43}", re.ASCII)


def new_secret() -> str:
    """Return a new token: 256 bits of the system's best randomness."""
    return PREFIX + secrets.token_urlsafe(32)


def new_id() -> str:
    """Return a new public name for a token."""
    return secrets.token_hex(8)


def is_secret(text: str) -> bool:
    """Return whether the text has the form of a token."""
    return _FORM.fullmatch(text) is not None


def digest_of(secret: str) -> str:
    """Return what is kept of a token: its SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()
