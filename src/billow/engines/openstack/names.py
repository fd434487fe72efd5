# SPDX-License-Identifier: Apache-2.0
"""What servers and groups are called in the pool: a name where it is free, else the cloud's id.

Names in a cloud need not be unique, nor be names at all. Whoever has one keeps it while he lives,
so that a plan means the same server when another of that name appears.
"""

import re
from collections.abc import Iterable
from typing import Final

from billow.errors import Invalid
from billow.model.names import LONGEST_ID, check_id

OWN_NAME: Final = "billow_instance"
"""Metadata that names an instance, where Billow made the server."""
_ODD: Final = re.compile(r"[^A-Za-z0-9_.:@/+-]+")


class Names:
    """Ids in the pool, by the ids of the cloud."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}
        self._taken: dict[str, str] = {}

    def settle(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Give each its id, first come, first served; forget those that are not there.

        Args:
            wanted: The cloud's ids with the names that they would like, the oldest first.
        """
        asked = dict(wanted)
        for uuid in self.given.keys() - asked.keys():
            del self._taken[self.given.pop(uuid)]
        for uuid, name in asked.items():
            if uuid not in self.given:
                chosen = name if valid(name) and name not in self._taken else uuid
                self.given[uuid] = chosen
                self._taken[chosen] = uuid

    def owner(self, name: str) -> str:
        """Return whose id it is; empty when nobody's."""
        return self._taken.get(name, "")


def valid(name: str) -> bool:
    """Return whether a name can be an id."""
    try:
        check_id("name", name)
    except Invalid:
        return False
    return True


def plain(name: str) -> str:
    """Return a name as an id: what cannot stand in one becomes `_`."""
    if not name or valid(name):
        return name
    return _ODD.sub("_", name).lstrip("-#")[:LONGEST_ID] or "_"
