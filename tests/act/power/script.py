# SPDX-License-Identifier: Apache-2.0
"""A management controller as a script of its answers, in virtual time."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

from billow.act.power.controllers import Controllers
from billow.act.power.inventory import Controller
from billow.act.power.line import Reading
from billow.act.power.records import Identities
from billow.errors import BillowError, Refused, Unavailable
from billow.model.kinds import Power
from billow.testing.clock import VirtualClock

WHO = "4c4c4544-0042-3610-8051-b4c04f564231"
ON, OFF = Reading(Power.ON, (WHO,)), Reading(Power.OFF, (WHO,))
SILENT = Unavailable("no answer")
NO = Refused("it says no")


class Script:
    """A line that answers as it is written down; the last answer is repeated."""

    def __init__(
        self,
        clock: VirtualClock,
        reads: list[Reading | BillowError],
        cuts: list[BillowError | None] | None = None,
        *,
        takes_s: float = 0.1,
    ) -> None:
        self._clock, self._takes_s = clock, takes_s
        self.cut_takes_s, self.acknowledged = takes_s, 0
        self._reads: Iterator[Reading | BillowError] = _last_repeated(reads)
        self._cuts: Iterator[BillowError | None] = _last_repeated(cuts or [None])
        self.cuts, self.reads, self.bars, self.closed = 0, 0, 0, False
        self.may_bar = asyncio.Event()
        self.may_bar.set()
        self.barred = False
        self.done: list[str] = []

    async def read(self) -> Reading:
        self.reads += 1
        found = next(self._reads)
        await self._clock.sleep(self._takes_s)
        if isinstance(found, BillowError):
            raise found
        return found

    async def cut(self) -> None:
        self.cuts += 1
        error = next(self._cuts)
        await self._clock.sleep(self.cut_takes_s)
        if error is not None:
            raise error
        self.acknowledged += 1
        self.done.append("cut")

    async def ask_off(self) -> None:
        return

    async def give(self) -> None:
        self.done.append("give")

    async def bar(self) -> tuple[str, ...]:
        self.bars += 1
        await self.may_bar.wait()
        self.barred = True
        self.done.append("bar")
        return ()

    async def unbar(self) -> tuple[str, ...]:
        self.barred = False
        self.done.append("unbar")
        return ()

    async def aclose(self) -> None:
        self.closed = True


def _last_repeated(values: list) -> Iterator:  # type: ignore[type-arg]  # of whatever it is given
    return itertools.chain(values, itertools.repeat(values[-1]))


class House:
    """Controllers whose paths are scripts."""

    def __init__(self, folder: Path, **lines: list[Reading | BillowError]) -> None:
        self.clock = VirtualClock()
        self.lines = {
            path: Script(self.clock, reads, [SILENT] if SILENT in reads else [None])
            for path, reads in lines.items()
        }
        known = Controller(
            host="h1",
            kind="ipmi",
            address="a",
            secret_file=Path("s"),
            uuid=WHO,
            answer_s=0.2,
            proxies=tuple(f"netns:{path}" for path in lines),
        )
        self.identities = Identities(folder)
        self.bmc = Controllers(
            [known],
            lambda _, path: self.lines[path.removeprefix("netns:")],
            self.identities,
            self.clock,
        )
