# SPDX-License-Identifier: Apache-2.0
"""One writer at a time: hold the lease, renew it, know when it is lost.

The fence is a number that rises with each change of holder. Journal and engines refuse an older
one, so a controller that was asleep while another took over can do no harm when it wakes.
"""

from billow.errors import Leased
from billow.ports import Clock, Lease, Leases


class Writer:
    """This controller's claim to be the one that writes."""

    def __init__(self, leases: Leases, clock: Clock, holder: str, *, ttl_s: float = 15.0) -> None:
        self._leases = leases
        self._clock = clock
        self._holder = holder
        self._ttl_s = ttl_s
        self._lease: Lease | None = None

    @property
    def held(self) -> bool:
        """Whether the lease is held right now, by this controller's clock."""
        return self._lease is not None and self._clock.now() < self._lease.until

    @property
    def fence(self) -> int:
        """The number under which to write. Raises Leased when the lease is not held."""
        if self._lease is None or not self.held:
            raise Leased(
                "another controller is the writer",
                (f"this one is {self._holder}",),
                f"ask the other one; if it is gone, this one takes over within {self._ttl_s:.0f} s",
            )
        return self._lease.fence

    def check(self) -> None:
        """Raise Leased when the lease is not held."""
        _ = self.fence

    async def turn(self) -> bool:
        """Take or renew the lease; return whether it is held. Call it every third of its time."""
        now = self._clock.now()
        if self._lease is not None:
            self._lease = await self._renewed(self._lease, now)
        if self._lease is None:
            self._lease = await self._leases.acquire(self._holder, self._ttl_s, now)
        return self.held

    async def _renewed(self, lease: Lease, now: float) -> Lease | None:
        try:
            return await self._leases.renew(lease, self._ttl_s, now)
        except Leased:
            return None

    async def release(self) -> None:
        """Give the lease back if it is held."""
        if self._lease is not None:
            await self._leases.release(self._lease)
            self._lease = None
