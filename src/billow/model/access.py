# SPDX-License-Identifier: Apache-2.0
"""Who may do what, and what shows who asks: the nouns that identity and the store share.

Of a token only its SHA-256 is known once it has been handed out.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a person may do; each includes the ones before it."""

    VIEWER = "viewer"
    """Read everything but tokens."""
    OPERATOR = "operator"
    """Make plans and carry them out."""
    ADMIN = "admin"
    """Give and take tokens."""

    def covers(self, needed: "Role") -> bool:
        """Return whether this role may do what needs the other."""
        order = tuple(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Token:
    """A login token as it is kept.

    Attributes:
        id: A short public name for it, unique for ever.
        name: The person or program that it was given to; several tokens may bear one name.
        digest: SHA-256 of the secret, hexadecimal.
        created_at: Seconds since the epoch, as all times here.
        expires_at: 0 when it does not expire.
        revoked_at: 0 while it is good.
        last_used_at: 0 before its first use; right to about a minute.
    """

    id: str
    name: str
    role: Role
    digest: str
    created_at: float
    expires_at: float = 0.0
    revoked_at: float = 0.0
    last_used_at: float = 0.0

    def good(self, now: float) -> bool:
        """Return whether it opens anything at that time."""
        return not self.revoked_at and (not self.expires_at or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What signs the cookies of sessions, for a time.

    Attributes:
        number: Rises with each new key.
        secret: 32 random bytes.
        created_at: Seconds since the epoch.
    """

    number: int
    secret: bytes = field(repr=False)
    created_at: float
