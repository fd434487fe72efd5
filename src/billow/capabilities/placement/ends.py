# SPDX-License-Identifier: Apache-2.0
"""The wish that hosts empty together, while a batch is placed: who is with whom now."""

from collections.abc import Callable

from billow.capabilities.placement.cells import Rows
from billow.capabilities.placement.company import Guest
from billow.capabilities.placement.past import Past, past_of
from billow.model.instances import NOWHERE
from billow.model.resources import FloatArray
from billow.plan.draft import Draft


class Ends:
    """What is known of the ends of instances, and their company as placed so far."""

    def __init__(self, past: Past, draft: Draft, weight: float) -> None:
        self._guests = past.guests
        self._company = past.company(draft)
        self._weight = weight

    @classmethod
    def of(cls, draft: Draft, weight: float) -> "Ends | None":
        """Return it for a draft's pool; None, at no cost, without a weight or a past."""
        past = past_of(draft.pool) if weight else None
        return cls(past, draft, weight) if past is not None else None

    def guest(self, instance: int) -> Guest | None:
        """Return what is known of an instance (row); None when nothing is."""
        return self._guests.get(instance)

    def wish(self, guest: Guest) -> Callable[[Rows | slice], FloatArray]:
        """Return what hosts are worth to a guest, as it will be when that is asked."""
        return lambda hosts: self._company.misfit(guest, hosts) * -self._weight

    def move(self, instance: int, was: int, host: int) -> None:
        """Note that an instance (row) went from a host (row) to another; either may be nowhere."""
        guest = self._guests.get(instance)
        if guest is None:
            return
        if was != NOWHERE:
            self._company.leave(was, guest)
        if host != NOWHERE:
            self._company.enter(host, guest)
