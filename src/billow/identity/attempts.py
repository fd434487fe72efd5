# SPDX-License-Identifier: Apache-2.0
"""How many wrong tokens one source may show: a few at once, then one every few seconds.

No wrong token gets anywhere; the limit keeps the audit trail readable and the database quiet. It
holds per process and forgets the source that was quiet for longest.
"""

from collections import OrderedDict
from typing import Final

AT_ONCE: Final = 10
EVERY_S: Final = 6.0
SOURCES: Final = 10_000


class Attempts:
    """A bucket of tries per source, that fills again with time."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, source: str, now: float) -> float:
        """Return how long the source has to wait before its next try; 0 when it may."""
        left = self._tries(source, now)
        return 0.0 if left >= 1 else (1 - left) * EVERY_S

    def fail(self, source: str, now: float) -> None:
        """Count a wrong token."""
        self._left[source] = (self._tries(source, now) - 1, now)
        self._left.move_to_end(source)
        while len(self._left) > SOURCES:
            self._left.popitem(last=False)

    def _tries(self, source: str, now: float) -> float:
        left, at = self._left.get(source, (AT_ONCE, now))
        return min(AT_ONCE, left + max(0.0, now - at) / EVERY_S)
