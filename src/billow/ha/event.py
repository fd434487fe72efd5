# SPDX-License-Identifier: Apache-2.0
"""What a controller's ear notices, as it happens."""

from dataclasses import dataclass
from enum import StrEnum

from billow.model.ha.evidence import Network


class Kind(StrEnum):
    """What happened."""

    CAME = "came"
    """An agent's line stands."""
    TOLD = "told"
    """An agent said something new of its host."""
    DIED = "died"
    """An agent's process ended without a word, and its host's kernel said so."""
    LEFT = "left"
    """An agent ends in order."""
    ENDED = "ended"
    """Instances on it ended; the text names them."""
    GASPED = "gasped"
    """Its kernel says that nothing runs there any more."""
    MISSED = "missed"
    """It was not heard on a network for too long."""
    BACK = "back"
    """It is heard on a network again."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was noticed of a host on a network.

    Attributes:
        at: When, seconds since the epoch.
    """

    kind: Kind
    host: str
    network: Network
    at: float
    text: str = ""
