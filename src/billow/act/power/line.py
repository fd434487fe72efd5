# SPDX-License-Identifier: Apache-2.0
"""What an engine brings: one management controller, spoken to over one path."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from billow.act.power.inventory import Controller
from billow.model.kinds import Power


@dataclass(frozen=True, slots=True)
class Reading:
    """What a management controller said in one answer.

    Attributes:
        identities: The system's UUID and serial number, as far as it tells them; best first.
    """

    power: Power
    identities: tuple[str, ...]


class Line(Protocol):
    """One controller over one path. Each call is one exchange, never a kept answer.

    Every method raises Unavailable when no answer came (then it may or may not have been heard),
    and Refused when the answer was no.
    """

    async def read(self) -> Reading:
        """Return whether the host has power, and who it is."""

    async def cut(self) -> None:
        """Order its power off at once. That it is off already is success."""

    async def ask_off(self) -> None:
        """Ask its operating system to shut down. That it is off already is success."""

    async def give(self) -> None:
        """Order its power on. That it is on already is success."""

    async def bar(self) -> tuple[str, ...]:
        """Inhibit its return: it stays off, or stops before it boots. Return what cannot be."""

    async def unbar(self) -> tuple[str, ...]:
        """Let it boot again. Return what cannot be set."""

    async def aclose(self) -> None:
        """Let go of connections and sessions."""


Dial: TypeAlias = Callable[[Controller, str], Line]
"""How a line is opened: the controller and one of its paths. Does no I/O yet."""
