# SPDX-License-Identifier: Apache-2.0
"""The machine behind an emulated management controller, and what is wrong with the controller."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

_BOOT, _RESTORE = "default", "previous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with a controller; by default nothing.

    Attributes:
        slow_s: Each answer takes so long.
        silent: No answer at all.
        dies_with_host: No answer while the host has no power.
        refuses_off: `off` of a host that is off is an error (Redfish: 409).
        deaf: Orders are acknowledged and not done.
        forbids: Orders are refused.
        says: What it always reads, whatever is true; empty for the truth.
        stale_s: What it reads is so old.
        off_takes_s: So long after the order the power goes.
        uuid: Who it says it is; empty for the truth.
        sessions: How many it holds at one time; 0 for any number.
        basic: Whether Redfish takes a password with each request, without a session.
        bars: Whether boot override and restore policy can be set.
    """

    slow_s: float = 0.0
    silent: bool = False
    dies_with_host: bool = False
    refuses_off: bool = False
    deaf: bool = False
    forbids: bool = False
    says: str = ""
    stale_s: float = 0.0
    off_takes_s: float = 0.0
    uuid: str = ""
    sessions: int = 0
    basic: bool = True
    bars: bool = True


class Machine:
    """A host's power, boot override and restore policy.

    Attributes:
        uuid: Its true system UUID.
        befell_at: When its faults were set last; sessions of before are forgotten then.
    """

    def __init__(self, uuid: str, turn: Callable[[str], None], told: Callable[..., None]) -> None:
        """Let a host be on; `turn` does to it what power does, `told` hears of every change."""
        self.uuid = uuid
        self.faults = Faults()
        self.boot = _BOOT
        self.restore = _RESTORE
        self.befell_at = 0.0
        self._turn, self._told = turn, told
        self._power = "on"
        self._changes: list[tuple[float, str]] = [(0.0, "on")]
        self._lock = threading.Lock()

    @property
    def power(self) -> str:
        """Whether it is on or off, in truth."""
        return self._power

    @property
    def mute(self) -> bool:
        """Whether its controller does not answer now."""
        dead = self.faults.dies_with_host and self._power == "off"
        return self.faults.silent or dead

    @property
    def shown_uuid(self) -> str:
        """Who its controller says that it is."""
        return self.faults.uuid or self.uuid

    def shown(self) -> str:
        """Return what its controller reads."""
        if self.faults.says:
            return self.faults.says
        at = time.time() - self.faults.stale_s
        return [power for since, power in self._changes if since <= at][-1]

    def befall(self, **faults: object) -> None:
        """Let other faults hold from now on; old readings are of what is true now, or later."""
        self.faults = replace(self.faults, **faults)  # type: ignore[arg-type]  # as JSON gave them
        self._changes = [(0.0, self._power)]
        self.befell_at = time.time()

    def renew(self) -> None:
        """Be as delivered: without faults, and with nothing set of the host's return."""
        self.faults = Faults()
        self.befall()
        self.set_up(boot=_BOOT, restore=_RESTORE)

    def order(self, wanted: str) -> None:
        """Do what the controller was ordered, as far as it is not deaf."""
        self._told(order=wanted)
        if self.faults.deaf:
            return
        wait_s = self.faults.off_takes_s if wanted == "off" else 0.0
        if wait_s:
            threading.Timer(wait_s, self.become, [wanted]).start()
        else:
            self.become(wanted)

    def become(self, power: str) -> None:
        """Change its power, whoever wants that."""
        with self._lock:
            if power == self._power:
                return
            self._turn(power)
            self._power = power
            self._changes.append((time.time(), power))
        self._told(power=power)

    def set_up(self, **how: str) -> None:
        """Set boot override or restore policy."""
        self.boot = how.get("boot", self.boot)
        self.restore = how.get("restore", self.restore)
        self._told(boot=self.boot, restore=self.restore)
