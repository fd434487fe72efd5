# SPDX-License-Identifier: Apache-2.0
"""An action under way in this process: how far it is, who follows it, is it called off."""

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Final

from billow.act.deed import Deed
from billow.errors import BillowError, Conflict, Lost, Refused
from billow.model.action import Action, Migrate
from billow.model.run import Progress

MOVE_LOST: Final = "move-lost"
"""The code of a move that took its instance along: nothing is as before."""


@dataclass(slots=True)
class Operation:
    """An action that an engine does right now.

    Attributes:
        past_recall: Phases of its progress from which on it can no longer be called off.
        called_off: Whether somebody wants it taken back.
    """

    action: Action
    deed: Deed
    fence: int
    past_recall: frozenset[str] = frozenset()
    progress: Progress | None = None
    error: BillowError | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    ended: bool = False
    called_off: bool = False

    def tell(self, progress: Progress | None = None) -> None:
        """Wake up everybody who follows."""
        if progress is not None:
            least = self.progress.fraction if self.progress else 0.0
            if not math.isnan(progress.fraction):
                progress = replace(progress, fraction=max(progress.fraction, least))
            self.progress = progress
        self.news.set()
        self.news = asyncio.Event()

    def check_wanted(self) -> None:
        """Stop here when it was called off and can still be taken back. Raises Refused."""
        if self.called_off and self._returns:
            raise Refused(f"{self.action.name} was cancelled", code="cancelled")

    @property
    def _returns(self) -> bool:
        return self.progress is None or self.progress.phase not in self.past_recall

    async def call_off(self) -> None:
        """Take it back; return when the world is as before. Raises Conflict when it is too late."""
        if not isinstance(self.action, Migrate):
            raise Conflict(
                f"{self.action.name} cannot be taken back half-way",
                fix="wait for its end, then undo the run",
            )
        self.called_off = True
        while not self.ended:
            await self.news.wait()
        if self.error is None or self.error.code != "cancelled":
            raise Conflict(
                f"{self.action.subject} had arrived before it could be called back",
                details=self.error.details if self.error else (),
                fix="undo the run to bring it back",
            )

    async def follow(self) -> AsyncIterator[Progress]:
        """Yield how far it is until it has ended. Raises what it ended with."""
        told: Progress | None = None
        while self.task is not None and not self.ended:
            news = self.news
            if self.progress is not None and self.progress is not told:
                told = self.progress
                yield told
                continue
            await news.wait()
        if self.progress is not None and self.progress is not told:
            yield self.progress
        if self.error is not None:
            raise _again(self.error)
        task = self.task
        if task is not None and (task.cancelled() or task.exception() is not None):
            raise Lost(f"{self.action.name} of {self.action.subject} was interrupted")


def as_before(action: Action, error: Exception) -> BillowError:
    """Return the error of an action that was taken back, or whose instance did not survive it."""
    if isinstance(error, BillowError) and error.code == MOVE_LOST:
        return Lost(error.brief, error.details, error.fix, error.code)
    if isinstance(error, BillowError):
        return Refused(error.brief, error.details, error.fix, error.code)
    return Refused(f"{action.name} of {action.subject} failed", (str(error) or repr(error),))


def _again(error: BillowError) -> BillowError:
    """Return an error of its own for each caller: a raised one carries its caller's traceback."""
    return type(error)(error.brief, error.details, error.fix, error.code)
