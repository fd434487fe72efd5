# SPDX-License-Identifier: Apache-2.0
"""Session cookies: a token's public name and an end, signed. Nothing of them is kept.

The form is `KEY.TOKEN.END.SIGNATURE`: the number of the key, the token's id, seconds since the
epoch, and HMAC-SHA256 over the three. A session lives no longer than its token and its key.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final, Self

from billow.model.access import SessionKey

SESSION_S: Final = 12 * 3600
"""How long a session lasts at most."""
KEY_S: Final = 7 * 24 * 3600
"""How long a key signs new sessions."""

_FORM: Final = re.compile(
    r"(?P<key>[1-9][0-9]{0,17})\.(?P<token>[0-9a-f]{16})\.(?P<end>[1-9][0-9]{0,11})"
    r"\.(?P<signature>[A-Za-z0-9_-]{43})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie says.

    Attributes:
        key: Number of the key that signed it.
        token_id: Of the token that it was opened with.
        end: When it ends, whole seconds since the epoch.
        signature: As shown; not checked yet.
    """

    key: int
    token_id: str
    end: int
    signature: str

    @classmethod
    def parsed(cls, cookie: str) -> Self | None:
        """Return what a cookie says; None when it has not the form of one."""
        found = _FORM.fullmatch(cookie)
        if found is None:
            return None
        return cls(int(found["key"]), found["token"], int(found["end"]), found["signature"])

    def signed_by(self, key: SessionKey) -> bool:
        """Return whether that key signed it. Takes the same time whatever differs."""
        signature = _signature(key, self.token_id, self.end)
        return hmac.compare_digest(self.signature, signature)


def cookie_of(key: SessionKey, token_id: str, end: int) -> str:
    """Return the cookie of a new session."""
    return f"{key.number}.{token_id}.{end}.{_signature(key, token_id, end)}"


def _signature(key: SessionKey, token_id: str, end: int) -> str:
    said = f"billow session {key.number}.{token_id}.{end}".encode()
    mac = hmac.digest(key.secret, said, hashlib.sha256)
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
