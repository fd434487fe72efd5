# SPDX-License-Identifier: Apache-2.0
"""What stands in an action's way on this machine, with what is under way counted as there."""

from collections.abc import Sequence
from typing import Final

from billow.act.claims import claims_of
from billow.engines.qemu.evacuate import hindrances
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.images import BUILT_IN, FIRMWARE, Catalogue
from billow.engines.qemu.probe import NO_GROUPS
from billow.engines.qemu.rules import blockers
from billow.engines.qemu.sight import Sight
from billow.errors import Invalid, NotFound, Refused, Unavailable
from billow.model.action import Action, Evacuate, Migrate, Place, PowerOff, Throttle
from billow.model.pool import Pool
from billow.ports import Blocker, Clock

_BLINK_S: Final = 0.05
_RUSH_S: Final = 0.5
"""How old a look may be while nothing but evacuations happens: what these take is added to it."""


class Obstacles:
    """Looks for obstacles, at a pool that is at most a blink old."""

    def __init__(self, ground: Ground, sight: Sight, catalogue: Catalogue, clock: Clock) -> None:
        self._ground = ground
        self._sight = sight
        self._catalogue = catalogue
        self._clock = clock
        self._glanced: Pool | None = None
        self._is_old = False
        self._since: dict[str, Action] = {}

    def look_again(self) -> None:
        """Take what was seen for old."""
        self._is_old = True

    async def of(self, action: Action, under_way: Sequence[Action]) -> list[Blocker]:
        """Return why an action must not be done now."""
        found = await self._image(action)
        found += self._seen(action, under_way)
        if isinstance(action, Evacuate):
            found += hindrances(self._ground, action)
        return [*found, *self._lacking(action)]

    def _seen(self, action: Action, under_way: Sequence[Action]) -> list[Blocker]:
        """Return what the pool says against it.

        A dead host's instances are evacuated by the dozen: the pool is not looked at for each. What
        was seen a moment ago does, with all that was let through since counted as still to come;
        only when that says no, the pool is looked at anew.
        """
        if isinstance(action, Evacuate) and self._is_rush(action, under_way):
            others = {each.id: each for each in (*self._since.values(), *under_way)}
            others.pop(action.id, None)
            if self._glanced and not _against(self._glanced, action, list(others.values())):
                self._since[action.id] = action
                return []
        found = _against(self._glance(under_way), action, under_way)
        self._since[action.id] = action
        return found

    def _is_rush(self, action: Evacuate, under_way: Sequence[Action]) -> bool:
        """Whether nothing but evacuations, of other instances, was done since the last look."""
        others = [each for each in (*self._since.values(), *under_way) if each.id != action.id]
        quiet = all(isinstance(each, Evacuate) for each in others)
        same = any(each.subject == action.subject for each in others)
        now = self._clock.now()
        young = self._glanced is not None and 0 <= now - self._glanced.taken_at < _RUSH_S
        return young and quiet and not same

    def _lacking(self, action: Action) -> list[Blocker]:
        """Return what this machine lacks for an action."""
        found, findings = [], self._ground.findings
        if not findings.version and isinstance(action, Place | Migrate | Evacuate):
            what = _image_of(action) if isinstance(action, Place) else "instance"
            missing = findings.missing[0]
            why = f"the {what} cannot run here: {missing.what} is missing"
            found.append(Blocker(why, missing.fix))
        if _limits(action) and not self._ground.groups.limits:
            why = f"no cgroup CPU controller: {NO_GROUPS.effect}"
            found.append(Blocker(why, NO_GROUPS.fix))
        return found

    def _glance(self, under_way: Sequence[Action]) -> Pool:
        """Return the pool, at most a blink old and never older than the last action's end."""
        now, seen = self._clock.now(), self._glanced
        if seen is None or self._is_old or now - seen.taken_at > _BLINK_S:
            self._glanced = seen = self._sight.pool(now)
            self._is_old, self._since = False, {each.id: each for each in under_way}
        return seen

    async def _image(self, action: Action) -> list[Blocker]:
        if not isinstance(action, Place) or action.instance.image in {"", *BUILT_IN}:
            return []
        try:
            await self._catalogue.find(action.instance.image)
        except (Invalid, NotFound, Refused, Unavailable) as error:
            why = "; ".join((error.brief, *error.details))
            return [Blocker(f"the {_image_of(action)} cannot be used: {why}", error.fix)]
        return []


def _against(pool: Pool, action: Action, others: Sequence[Action]) -> list[Blocker]:
    return [*_busy(action, others), *blockers(pool, action, claims_of(pool, others))]


def _busy(action: Action, under_way: Sequence[Action]) -> list[Blocker]:
    """Return what is under way on a host that shall be turned off."""
    if not isinstance(action, PowerOff):
        return []
    return [
        Blocker(f"action {other.id} is under way on {action.host}", "wait for it")
        for other in under_way
        if action.host in other.hosts and other.subject != action.subject
    ]


def _limits(action: Action) -> bool:
    """Return whether an action wants an instance to be held to a limit."""
    if isinstance(action, Throttle):
        return True
    return isinstance(action, Place) and action.instance.cpu_limit_milli > 0


def _image_of(action: Place) -> str:
    return f"image {ascii(action.instance.image or FIRMWARE)[:100]}"
