# SPDX-License-Identifier: Apache-2.0
"""Somebody who is known: what they are called and what they may."""

from dataclasses import dataclass

from billow.errors import Denied
from billow.model.access import Role


@dataclass(frozen=True, slots=True)
class Person:
    """A person or a program that has shown a good token.

    Attributes:
        token_id: The token's public name, for the audit trail.
    """

    name: str
    role: Role
    token_id: str = ""

    def may(self, needed: Role) -> bool:
        """Return whether this person may do what needs the role."""
        return self.role.covers(needed)

    def require(self, needed: Role) -> None:
        """Raise Denied unless this person may do what needs the role."""
        if not self.may(needed):
            raise Denied(
                f"{self.name} is {self.role}, and this needs {needed}",
                fix=f"ask an admin for a token with the role {needed}",
            )
