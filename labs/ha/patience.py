# SPDX-License-Identifier: Apache-2.0
"""Wait for something in a lab, and say how long it took."""

import time
from collections.abc import Callable


def until(true: Callable[[], object], timeout_s: float) -> float:
    """Wait until a function returns true; return the seconds, or infinity."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > timeout_s:
            return float("inf")
        time.sleep(0.05)
    return time.monotonic() - start
