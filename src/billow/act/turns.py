# SPDX-License-Identifier: Apache-2.0
"""Turns that are taken for ever: what goes wrong in one is logged, and the next still comes."""

from collections.abc import Awaitable, Callable

import structlog

from billow.errors import BillowError
from billow.ports import Clock

log = structlog.get_logger()
Turn = Callable[[], Awaitable[None]]


async def keep(turn: Turn, every_s: float, clock: Clock) -> None:
    """Take a turn now and then again and again, so many seconds after the last has ended."""
    while True:
        await guarded(turn)
        await clock.sleep(every_s)


async def guarded(turn: Turn) -> None:
    """Take one turn that must not end what it is a part of."""
    try:
        await turn()
    except BillowError as error:
        log.warning(error.brief, turn=turn.__name__, details=error.details)
    except Exception:
        log.exception("unexpected error", turn=turn.__name__)
