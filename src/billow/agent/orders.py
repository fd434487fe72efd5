# SPDX-License-Identifier: Apache-2.0
"""Obey a controller: end guests and prove it, clean up, promise a lease; refuse an older fence.

The guests are held by pidfds that the speaker watches, so an order never waits here: it begins,
and is answered when the last of its guests has ended, or when that took too long.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from billow.agent.guests import Guest, running, unseen
from billow.agent.memory import Memory

DEADLINE_S: Final = 4.0
"""After so long the answer is that some did not end: the controller has other ways."""
SETTLE_S: Final = 0.1
"""After the last guest ended it is looked once more for one that had just begun."""
REMEMBERED: Final = 64

FREE: Final = frozenset({"look", "papers"})
"""What ends nothing and promises nothing needs no fence."""

Order = dict[str, object]
Handler = Callable[[Order, float], Order | None]
"""Carries out another kind of order, given how long it is under way, seconds; returns `ok`, `text`
and more when it is done, None before. It must not wait."""


@dataclass(slots=True)
class Pending:
    """An order under way.

    Attributes:
        waiting: The guests that must end first, by process number.
        settled_at: When the last of them had ended; 0 while one runs.
        unseen: A process that may be a guest for all that this agent may see; 0 for none.
    """

    order: Order
    began_at: float
    waiting: dict[int, Guest]
    gone: list[str] = field(default_factory=list)
    settled_at: float = 0.0
    unseen: int = 0

    @property
    def stuck(self) -> str:
        """Why it is not done."""
        if self.unseen:
            return f"cannot see process {self.unseen}: the agent needs root"
        if forbidden := [str(pid) for pid, guest in self.waiting.items() if guest.forbidden]:
            return f"cannot end process {', '.join(forbidden)}: the agent needs root"
        return ", ".join(map(str, self.waiting)) or "new ones keep coming"


class Obedience:
    """Takes orders and answers them.

    Args:
        guests: The guests that run now, by process number; the speaker's own.
        others: Who carries out the other kinds, by what `do` says.
        net: Where guests count, as in `guests.counted`.
    """

    def __init__(
        self, memory: Memory, guests: dict[int, Guest], others: Mapping[str, Handler], net: int
    ) -> None:
        self.memory = memory
        self.changed = False
        """Whether what a HELLO says has changed since it was last looked at."""
        self._guests = guests
        self._others = others
        self._net = net
        self._pending: dict[str, Pending] = {}
        self._under_way: dict[str, tuple[Order, float]] = {}
        self._answers: dict[str, Order] = {}

    def take(self, order: Order, now: float) -> Order | None:
        """Begin an order; return its answer when there is one already. Never raises."""
        name = str(order.get("id", ""))
        if name in self._answers:
            return self._answers[name]
        if name in self._pending or name in self._under_way:
            return None
        if order.get("do") not in FREE and (why := self._older(order.get("fence", 0))):
            return self._answered(order, {"ok": False, "text": why})
        if (boot := order.get("boot")) and boot != self.memory.obeyed.boot:
            return self._answered(order, {"ok": False, "text": f"it is of another boot: {boot}"})
        return self._begin(name, order, now)

    def _older(self, fence: object) -> str:
        """Return why a fence is refused; nothing for one that is taken for the highest now."""
        highest = self.memory.obeyed.fence
        if not isinstance(fence, int) or fence < highest:
            return f"older fence {fence}: {highest} was obeyed"
        if fence > highest:
            self.memory.change(fence=fence)
            self.changed = True
        return ""

    def _begin(self, name: str, order: Order, now: float) -> Order | None:
        kind = str(order.get("do"))
        if kind in {"fence", "clean"}:
            self._end(name, order, now)
        elif kind in self._others:
            self._under_way[name] = (order, now)
        elif kind == "look":
            names = sorted(each.instance for each in self._guests.values() if each.instance)
            return self._answered(
                order, {"ok": True, "text": f"runs {len(names)}", "guests": names}
            )
        else:
            return self._answered(order, {"ok": False, "text": f"unknown order {kind!r}"})
        return self.advance(now).get(name)

    def _end(self, name: str, order: Order, now: float) -> None:
        """Strike the guests that the order means; without names a fence means every one."""
        if order.get("do") == "fence" and not _named(order):
            self.memory.change(fenced=True)
            self.changed = True
        struck = {pid: guest for pid, guest in self._guests.items() if _means(order, guest)}
        for guest in struck.values():
            guest.kill()
        self._pending[name] = Pending(order, now, struck)

    def ended(self, guest: Guest) -> None:
        """Note that a guest has ended."""
        for pending in self._pending.values():
            if pending.waiting.pop(guest.pid, None) and guest.instance:
                pending.gone.append(guest.instance)

    def came(self, guest: Guest) -> None:
        """Strike a guest that has just come, where it may not run here."""
        if self.memory.obeyed.fenced:
            guest.kill()
        for pending in self._pending.values():
            if _means(pending.order, guest):
                guest.kill()
                pending.waiting[guest.pid] = guest
                pending.settled_at = 0.0

    @property
    def busy(self) -> bool:
        """Whether an order is under way."""
        return bool(self._pending or self._under_way)

    def advance(self, now: float) -> dict[str, Order]:
        """Return the answers of orders that are done by now, by their id."""
        done: dict[str, Order] = {}
        for name, pending in list(self._pending.items()):
            if answer := self._settled(pending, now):
                del self._pending[name]
                done[name] = answer
        for name, (order, began_at) in list(self._under_way.items()):
            said = self._others[str(order.get("do"))](order, now - began_at)
            if said is not None:
                del self._under_way[name]
                self.changed = True
                done[name] = self._answered(order, said)
        return done

    def _settled(self, pending: Pending, now: float) -> Order | None:
        if now - pending.began_at > DEADLINE_S:
            text = f"not ended within {DEADLINE_S:g} s: {pending.stuck}"
            return self._answered(pending.order, {"ok": False, "text": text, "gone": pending.gone})
        if pending.waiting:
            return None
        pending.settled_at = pending.settled_at or now
        if now - pending.settled_at < SETTLE_S:
            return None
        return self._proved(pending)

    def _proved(self, pending: Pending) -> Order | None:
        """Look once more at all processes, and answer when none is left that should not be.

        What cannot be seen may be a guest: it is looked at again, for it may be just about to end.
        """
        order, named = pending.order, _named(pending.order)
        unknown = any(pid not in self._guests for pid in running(self._net))
        pending.unseen = next(unseen(self._net), 0)
        meant = any(_means(order, guest) for guest in self._guests.values())
        if unknown or pending.unseen or meant:
            pending.settled_at = 0.0
            return None
        if order.get("do") == "clean":
            self.memory.change(clean=True, fenced=False)
            self.changed = True
        gone = sorted({*pending.gone, *named})
        return self._answered(order, {"ok": True, "text": f"{len(gone)} gone", "gone": gone})

    def _answered(self, order: Order, said: Order) -> Order:
        name = order.get("id", "")
        answer: Order = {"id": name, "gone": [], **said}
        if answer["ok"]:  # what failed may be tried again under the same id
            self._answers[str(name)] = answer
        while len(self._answers) > REMEMBERED:
            del self._answers[next(iter(self._answers))]
        return answer


def _named(order: Order) -> set[str]:
    named: Any = order.get("instances")
    return {str(each) for each in named} if isinstance(named, list | tuple) else set()


def _means(order: Order, guest: Guest) -> bool:
    """Tell whether an order ends a guest: by name, or, as a fence without names, every one."""
    named = _named(order)
    return guest.instance in named if named else order.get("do") == "fence"
