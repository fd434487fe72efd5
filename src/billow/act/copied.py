# SPDX-License-Identifier: Apache-2.0
"""Read what QEMU says of a copy under way (`query-migrate`), whoever carries QEMU's words here.

An engine that speaks with QEMU itself and one that asks libvirt to pass a question on see the same
answer; how far a move is, and what its steering must see, is told from it in one way.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from billow.errors import Refused
from billow.model.run import Flow, Progress
from billow.plan.steering import Seen, Steering, Turn

_COUNTED_S: Final = 0.4
"""The bandwidth is what flowed in so long at least: a link lets bursts through."""
_WARM_S: Final = 0.2
"""Not counted: the first bytes only fill buffers."""
_PAGE_MIB: Final = 4096 / 2**20
_MIB: Final = 2**20


@dataclass(slots=True)
class Carried:
    """What the link carries, as far as a move has shown it, MiB/s.

    The most of all windows: memory that is empty costs time and sends nothing.
    """

    rate_mib_s: float = math.nan
    now_mib_s: float = math.nan
    _since: float = math.nan
    _sent: float = 0.0

    def look(self, seconds: float, sent_mib: float) -> None:
        """Take note of what was sent until now."""
        if seconds < _WARM_S or math.isnan(self._since):
            if seconds >= _WARM_S:
                self._since, self._sent = seconds, sent_mib
            return
        passed = seconds - self._since
        if passed >= _COUNTED_S:
            self.now_mib_s = (sent_mib - self._sent) / passed
            known = 0.0 if math.isnan(self.rate_mib_s) else self.rate_mib_s
            self.rate_mib_s = max(self.now_mib_s, known)
            self._since, self._sent = seconds, sent_mib


@dataclass(slots=True)
class Copied:
    """One copy, as far as it was seen.

    Attributes:
        channel: By what channel it goes and why, in words.
        moved_at: When something last flowed, in the seconds of `look`.
    """

    steering: Steering
    last: Progress = field(default_factory=lambda: Progress(0.0, "copying"))
    moved_at: float = 0.0
    channel: str = ""
    _carried: Carried = field(default_factory=Carried)

    def look(
        self, answer: Mapping[str, object], seconds: float, rates: tuple[float, ...]
    ) -> Seen | None:
        """Return what the steering must see; None while QEMU has nothing to say of memory.

        Args:
            answer: What QEMU said.
            seconds: Since the copy began.
            rates: What each vCPU writes, MiB/s; empty while that is not known.
        """
        ram = answer.get("ram")
        if not isinstance(ram, dict):
            return None
        sent = float(ram["transferred"]) / _MIB
        if sent != self.last.copied_mib:
            self.moved_at = seconds
        pages = float(ram.get("normal-bytes", 0)) / _MIB  # compressed, they are fewer bytes
        self._carried.look(seconds, max(sent, pages))
        seen = Seen(
            seconds=seconds,
            rounds=max(1, int(ram.get("dirty-sync-count", 1))),
            left_mib=float(ram["remaining"]) / _MIB,
            carried_mib_s=self._carried.rate_mib_s,
            rates=rates,
            throttle=_throttle(answer),
        )
        self.last = self._progress(seen, float(ram["total"]) / _MIB, sent, answer)
        return seen

    def _progress(
        self, seen: Seen, total: float, sent: float, answer: Mapping[str, object]
    ) -> Progress:
        """Return how far it is; the fraction never falls, although a busy guest makes more."""
        rate = self._carried.now_mib_s
        done = 1.0 - seen.left_mib / total if total else 0.0
        return Progress(
            fraction=min(0.99, max(self.last.fraction, done)),
            phase="copying",
            left_s=seen.left_mib / rate if rate > 0 else math.nan,
            copied_mib=sent,
            total_mib=max(total, sent),
            flow=Flow(
                way=self.steering.course.way,
                seconds=seen.seconds,
                left_mib=seen.left_mib,
                rate_mib_s=rate,
                pages_round=seen.rounds,
                dirty_mib_s=seen.rates or _written(answer),
                limits_mib_s=self.steering.limits,
                why=self.steering.course.why,
                channel=self.channel,
                throttle=seen.throttle,
            ),
        )


def _throttle(answer: Mapping[str, object]) -> float:
    """Return the share of their time that QEMU takes from all vCPUs."""
    percent = answer.get("cpu-throttle-percentage", 0)
    return percent / 100 if isinstance(percent, int) else 0.0


def check_hope(turn: Turn) -> None:
    """Give a move up that its steering has given up. Raises Refused."""
    if turn.hopeless:
        raise Refused(
            f"the move will not end: {turn.hopeless}",
            fix="move it by the policy balanced, or at a quieter time",
            code="move-endless",
        )


def check_patience(whole_s: float, still_s: float, *, timeout_s: float, stall_s: float) -> None:
    """Give a move up that stands still or takes too long. Raises Refused."""
    if still_s > stall_s:
        raise Refused(
            "the migration stands still",
            details=(f"no memory was copied for {still_s:.0f} s",),
            fix="look at the network between the two hosts",
            code="move-stalled",
        )
    if whole_s > timeout_s:
        raise Refused(
            "the instance writes its memory faster than the link carries it",
            details=(f"not there after {whole_s:.0f} s",),
            fix="move it at a quieter time, or stop it first",
            code="move-endless",
        )


def _written(answer: Mapping[str, object]) -> tuple[float, ...]:
    """Return what all vCPUs together wrote in the last round, MiB/s; empty before it ended."""
    ram = answer.get("ram")
    pages = ram.get("dirty-pages-rate") if isinstance(ram, dict) else None
    return (pages * _PAGE_MIB,) if isinstance(pages, int) and pages > 0 else ()
