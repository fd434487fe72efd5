# SPDX-License-Identifier: Apache-2.0
"""Turns that are taken for ever: what goes wrong in one is told, and the next still comes.

One that fails each time would fill the log and be seen by nobody. So the same error is logged once
in a while, how often a turn failed in a row is a metric, and `failing` tells whoever asks.
"""

import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog
from prometheus_client import Gauge

from billow.errors import BillowError
from billow.ports import Clock
from billow.telemetry import REGISTRY

log = structlog.get_logger()
Turn = Callable[[], Awaitable[None]]
LOGGED_EVERY_S: Final = 60.0
"""How often the same error of the same turns is logged."""
FAILED: Final = Gauge(
    "billow_turn_failures",
    "How often in a row a turn failed that is taken for ever; 0 when the last one went well.",
    ["turn"],
    registry=REGISTRY,
)


@dataclass(slots=True)
class _Run:
    """How turns went that are taken one after the other.

    Attributes:
        failures: How many failed since the last that went well.
        error: What the last failure was.
        logged: When each kind of error was logged last.
    """

    failures: int = 0
    error: str = ""
    logged: dict[str, float] = field(default_factory=dict)


_RUNS: Final[dict[Turn, _Run]] = {}
"""Of the turns that this process takes now."""


async def keep(turn: Turn, every_s: float, clock: Clock) -> None:
    """Take a turn now and then again and again, so many seconds after the last has ended."""
    run = _RUNS[turn] = _Run()
    try:
        while True:
            await _taken(turn, run, clock)
            await clock.sleep(every_s)
    finally:
        _RUNS.pop(turn, None)


async def guarded(turn: Turn) -> None:
    """Take one turn that must not end what it is a part of."""
    try:
        await turn()
    except Exception as error:  # noqa: BLE001 (the next turn comes, whatever went wrong)
        _log(turn, error, 1)


def failing(name: str) -> str:
    """Return why turns of a name (`Responder.turn`) fail in this process; empty if they do not."""
    found = (run for turn, run in _RUNS.items() if turn.__qualname__ == name and run.failures)
    return next((f"{each.error} ({each.failures} times in a row)" for each in found), "")


async def _taken(turn: Turn, run: _Run, clock: Clock) -> None:
    try:
        await turn()
    except Exception as error:  # noqa: BLE001 (the next turn comes, whatever went wrong)
        run.failures += 1
        run.error = _brief(error)
        kind, now = _kind(error), clock.now()
        at = run.logged.get(kind)
        if at is None or abs(now - at) >= LOGGED_EVERY_S:
            run.logged[kind] = now
            _log(turn, error, run.failures)
    else:
        run.failures = 0
    FAILED.labels(turn.__qualname__).set(run.failures)


def _log(turn: Turn, error: Exception, failures: int) -> None:
    said = {"turn": turn.__qualname__, "failures": failures}
    if isinstance(error, BillowError):
        log.warning(error.brief, details=error.details, **said)
    else:
        log.error("unexpected error", exc_info=error, **said)


def _brief(error: Exception) -> str:
    text = error.brief if isinstance(error, BillowError) else str(error)
    return f"{type(error).__name__}: {text}"[:300]


def _kind(error: Exception) -> str:
    """Return what errors share that one trace tells of: their type, and where they were raised."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} {frame.f_code.co_filename}:{line}"
