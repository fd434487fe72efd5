# SPDX-License-Identifier: Apache-2.0
"""Which tries of which incidents were begun for an instance: an older one comes too late for ever.

Nova knows no incidents. What it knows (one evacuation of a server at a time, from the host where
it is) stands behind this, for controllers that do not share this folder.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billow.act.durable import load, make_folder, save
from billow.model.evacuate import Evacuate, overtaken

KEPT: Final = 64
"""Tries that are remembered of one instance: more than an incident ever makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tries:
    """Incident and epoch of each try, oldest first."""

    tries: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Tries:
    """All tries that are remembered, in a folder of the engine's."""

    folder: Path

    def too_late(self, action: Evacuate) -> str:
        """Return why a try comes too late, in words; empty when it is the newest."""
        return overtaken(action, self._of(action.instance))

    async def remember(self, action: Evacuate) -> None:
        """Write a try down, durably, before it begins. Raises Unavailable."""
        latest = (action.incident, action.epoch)
        others = tuple(each for each in self._of(action.instance) if each != latest)
        tries = (*others, latest)[-KEPT:]
        make_folder(self.folder)
        # here and not in a thread, which would write on beside the next controller's after a cancel
        save(self._path(action.instance), _Tries(tries=tries))

    def _of(self, instance: str) -> tuple[tuple[str, int], ...]:
        found = load(_Tries, self._path(instance))
        return found.tries if found else ()

    def _path(self, instance: str) -> Path:
        return self.folder / f"{hashlib.sha256(instance.encode()).hexdigest()[:32]}.json"
