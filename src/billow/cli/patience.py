# SPDX-License-Identifier: Apache-2.0
"""A wait longer than two seconds says on what, since when, and until when."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

QUIET_S = 2.0
"""How long a wait may be silent."""


@contextmanager
def patience(
    what: str, say: Callable[[str], None], *, most_s: float, quiet_s: float = QUIET_S
) -> Iterator[None]:
    """Run the body; when it takes longer than `quiet_s`, say so once."""
    since = _now()
    until = since + timedelta(seconds=most_s)

    def speak() -> None:
        say(f"waiting for {what} since {since:%H:%M:%S}, at most until {until:%H:%M:%S}")

    timer = threading.Timer(quiet_s, speak)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _now() -> datetime:
    return datetime.now(UTC).astimezone()  # noqa: TID251 (what a person's watch shows)
