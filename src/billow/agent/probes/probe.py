# SPDX-License-Identifier: Apache-2.0
"""What a probe is."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from billow.agent.findings import Progress
from billow.model.ha.evidence import Symptom


class Probe(ABC):
    """Looks at one thing, in a thread of its own.

    Attributes:
        name: As in its symptoms.
        period_s: How often it looks; 0 for one that waits by itself for something to happen.
    """

    name: ClassVar[str]
    period_s: float = 5.0

    def missing(self) -> str:
        """Return what the host lacks for it, one sentence; empty when it can look. Does I/O."""
        return ""

    @abstractmethod
    def look(self, wall: float) -> Iterable[Symptom]:
        """Return what ails now; `wall` is seconds since the epoch.

        It may wait, start programs and read files, and raises OSError when it cannot look.
        """

    def progress(self) -> Iterable[Progress]:
        """Return what must go well again and again, and when it last did."""
        return ()
