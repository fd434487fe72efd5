# SPDX-License-Identifier: Apache-2.0
"""Send what waits in the outbox, through each channel at its own pace, until it is taken.

It stands beside the recovery of hosts, never within it: nothing waits for what is sent here. A
channel that does not answer delays no other, and is asked ever more seldom.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

import structlog

from billow.errors import BillowError, Unavailable
from billow.model.ha.alarm import Alarm, Delivery
from billow.ports import Clock, Outbox

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
KEPT_S: Final = 86_400.0
"""What could not be told for so long is history, and no alarm any more."""
AT_ONCE: Final = 100
log = structlog.get_logger()


class Channel(Protocol):
    """A way to people or to another system."""

    @property
    def name(self) -> str:
        """Its name in the outbox; another name gets everything of the last day once more."""

    async def send(self, alarm: Alarm) -> None:
        """Return when the other side has taken it. The same key may come twice.

        Raises:
            Refused: it does not want this one.
            Unavailable: it does not answer, or cannot take anything now.
        """

    async def aclose(self) -> None:
        """Let go of connections."""


class Alarms:
    """The sender of one controller; only the writer sends."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Sequence[Channel],
        clock: Clock,
        leading: Callable[[], bool] = lambda: True,
    ) -> None:
        self._outbox = outbox
        self._channels = channels
        self._clock = clock
        self._leading = leading
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._unkept: dict[tuple[str, str], tuple[Delivery, bool]] = {}

    async def turn(self) -> None:
        """Begin to send what is due through each channel that is idle; waits for none of them."""
        if not self._leading():
            return
        for channel in self._channels:
            under_way = self._busy.get(channel.name)
            if under_way is None or under_way.done():
                task = asyncio.create_task(self._serve(channel), name=f"billow-{channel.name}")
                self._busy[channel.name] = task

    async def settle(self) -> None:
        """Return when what was begun has ended."""
        await asyncio.gather(*self._busy.values())

    async def aclose(self) -> None:
        """Stop sending; what was not taken stays in the outbox."""
        for task in self._busy.values():
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        for channel in self._channels:
            await channel.aclose()

    async def _serve(self, channel: Channel) -> None:
        """Send what is due, oldest first; one that does not answer is left for this turn."""
        try:
            now = self._clock.now()
            due = await self._outbox.due(channel.name, now=now, since=now - KEPT_S, limit=AT_ONCE)
            for delivery in due:
                if not await self._deliver(channel, delivery):
                    break
        except Exception as error:  # noqa: BLE001 (a turn comes again, whatever went wrong)
            log.warning("alarms wait", channel=channel.name, why=_known(error).brief)

    async def _deliver(self, channel: Channel, delivery: Delivery) -> bool:
        """Try once, and keep how it went; return whether the channel answers.

        What went but could not be kept is only kept the next time, and not sent again.
        """
        key = channel.name, delivery.alarm.key
        if key not in self._unkept:
            self._unkept[key] = await self._try(channel, delivery)
        tried, answers = self._unkept[key]
        await self._outbox.record_delivery(tried)
        del self._unkept[key]
        return answers

    async def _try(self, channel: Channel, delivery: Delivery) -> tuple[Delivery, bool]:
        """Send once; return how it went, and whether the channel answers."""
        try:
            await channel.send(delivery.alarm)
        except Exception as error:  # noqa: BLE001 (whatever it is, the alarm was not taken)
            known = _known(error)
            log.warning("alarm not taken", channel=channel.name, why=known.brief)
            return self._later(delivery, known), not isinstance(known, Unavailable)
        return replace(delivery, delivered_at=self._clock.now(), error=""), True

    def _later(self, delivery: Delivery, error: BillowError) -> Delivery:
        wait_s = min(FIRST_WAIT_S * 2.0**delivery.tries, LONGEST_WAIT_S)
        said = "; ".join((error.brief, *error.details))[:500]
        next_at = self._clock.now() + wait_s
        return replace(delivery, tries=delivery.tries + 1, next_at=next_at, error=said)


def _known(error: Exception) -> BillowError:
    """Return an error of ours; of another only the type is told: its text may hold a password."""
    if isinstance(error, BillowError):
        return error
    return Unavailable(f"unexpected {type(error).__name__}")
