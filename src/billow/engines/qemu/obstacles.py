# SPDX-License-Identifier: Apache-2.0
"""What stands in an action's way on this machine, with what is under way counted as there."""

from collections.abc import Sequence
from typing import Final

from billow.engines.qemu.evacuate import hindrances
from billow.engines.qemu.ground import Ground
from billow.engines.qemu.images import BUILT_IN, FIRMWARE, Catalogue
from billow.engines.qemu.probe import NO_GROUPS
from billow.engines.qemu.rules import Claim, blockers
from billow.engines.qemu.sight import Sight
from billow.errors import Invalid, NotFound, Refused, Unavailable
from billow.model.action import Action, Evacuate, Migrate, Place, PowerOff, Resize, Throttle
from billow.model.pool import Pool
from billow.ports import Blocker, Clock

_BLINK_S: Final = 0.05


class Obstacles:
    """Looks for obstacles, at a pool that is at most a blink old."""

    def __init__(self, ground: Ground, sight: Sight, catalogue: Catalogue, clock: Clock) -> None:
        self._ground = ground
        self._sight = sight
        self._catalogue = catalogue
        self._clock = clock
        self._glanced: Pool | None = None

    def look_again(self) -> None:
        """Forget what was seen."""
        self._glanced = None

    async def of(self, action: Action, under_way: Sequence[Action]) -> list[Blocker]:
        """Return why an action must not be done now."""
        found = await self._image(action)
        pool = self._glance()
        claims = [claim for other in under_way if (claim := _claim(pool, other)) is not None]
        found += [*_busy(action, under_way), *blockers(pool, action, claims)]
        if isinstance(action, Evacuate):
            found += hindrances(self._ground, action)
        return [*found, *self._lacking(action)]

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

    def _glance(self) -> Pool:
        """Return the pool, at most a blink old and never older than the last action's end."""
        if self._glanced is None or self._clock.now() - self._glanced.taken_at > _BLINK_S:
            self._glanced = self._sight.pool(self._clock.now())
        return self._glanced

    async def _image(self, action: Action) -> list[Blocker]:
        if not isinstance(action, Place) or action.instance.image in {"", *BUILT_IN}:
            return []
        try:
            await self._catalogue.find(action.instance.image)
        except (Invalid, NotFound, Refused, Unavailable) as error:
            why = "; ".join((error.brief, *error.details))
            return [Blocker(f"the {_image_of(action)} cannot be used: {why}", error.fix)]
        return []


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


def _claim(pool: Pool, action: Action) -> Claim | None:
    """Return the room that an action under way will take and does not have yet."""
    match action:
        case Place():
            known = action.instance.id in pool.instances.row
            return None if known else Claim(action.instance.shape, action.host, action.nodes)
        case Migrate() | Evacuate():
            if action.instance not in pool.instances.row:
                return None
            shape = pool.instance(action.instance).shape
            return Claim(shape, action.target, action.target_nodes)
        case Resize():
            return Claim(action.new, action.host, action.nodes)
        case _:
            return None


def _image_of(action: Place) -> str:
    return f"image {ascii(action.instance.image or FIRMWARE)[:100]}"
