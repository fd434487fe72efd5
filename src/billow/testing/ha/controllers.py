# SPDX-License-Identifier: Apache-2.0
"""What controllers do in the checked world: read, ask the protocol, make durable, then act.

Only the one with the newest fence can write the record; each may stop anywhere. What it had begun
is then an old order: it may be carried out at any later time, or never. Nobody hears its answer.

This module must not decide anything that the protocol decides.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from billow.testing.ha.orders import AGENT, Orders, Weakness
from billow.testing.ha.records import (
    Known,
    Launch,
    Numbers,
    Records,
    matters,
    orphaned,
    sees,
    target_of,
)
from billow.testing.ha.states import Cells, Mask, States
from billow.testing.ha.world import (
    BEGUN,
    DONE,
    HOSTS,
    INSTANCES,
    LOST,
    NONE,
    NOT_DONE,
    SPARE,
    Rules,
    Step,
    lost,
)


class Controllers:
    """What may happen by the will of controllers."""

    def __init__(self, rules: Rules, records: Records, weakness: Weakness) -> None:
        self.rules = rules
        self.records = records
        self.weakness = weakness
        self._orphaned = records.becoming(orphaned)
        self._matters = records.lookup(matters)
        self._sees = records.lookup(sees)
        self._target = [records.lookup(target_of(instance)) for instance in INSTANCES]
        self._turn_of: dict[tuple[int, int], int] = {}
        self.orders = Orders(rules, weakness, self._target)

    def steps(self, states: States) -> Iterator[Step]:
        """Yield every step of a controller, and of what one has begun."""
        yield from self._next(states)
        for host in HOSTS:
            yield from self.decide(states, host)
            yield from self.write(states, host)
            yield from self._unchecked(states, host)
            yield from self.orders.steps(states, host)

    def settled(self, step: Step) -> Iterator[Step]:
        """Yield a step with the states made alike that no later step can tell apart.

        An answer that nobody waits for is forgotten. An order whose time limit is over was not
        carried out; that it still will be, later than every limit, is a fault.
        """
        what, after = step
        spare = after["faults"] < self.rules.faults
        late = np.zeros(len(after), dtype=np.bool_)
        for host in HOSTS:
            wanted = self._matters[after[f"record{host}"]]
            late |= (wanted & 1 == 0) & (after[f"cut{host}"] == BEGUN)
            late |= (wanted & 8 == 0) & (after[f"clean{host}"] == BEGUN)
            late |= (after[f"ask{host}"] & ~(wanted >> 1) & 3) > 0
        if (late & spare).any():
            delayed = after.where(late & spare)
            delayed["faults"] += 1
            self._settle(delayed, kept=True)
            yield f"{what}; an order is still on its way", delayed
        self._settle(after, kept=False)
        yield what, after

    def _settle(self, after: States, *, kept: bool) -> None:
        for host in HOSTS:
            wanted = self._matters[after[f"record{host}"]]
            self._settle_orders(after, host, wanted, kept=kept)
            for instance in INSTANCES:
                start = after[f"start{host}{instance}"]
                start[(start >= DONE) & (wanted & (16 << instance) == 0)] = NONE
            obeyed = after[f"obeyed{host}"]
            obeyed[(after[f"old_ask{host}"] == 0) & (after[f"old_clean{host}"] == 0)] = 0

    def _settle_orders(self, after: States, host: int, wanted: Cells, *, kept: bool) -> None:
        """Forget what nobody waits for; an order that is kept is of this controller's own fence."""
        cut, clean, said, ask = (
            after[f"{name}{host}"] for name in ("cut", "clean", "said_agent", "ask")
        )
        gone = wanted & 1 == 0
        after[f"old_cut{host}"] |= kept & gone & (cut == BEGUN)
        cut[gone] = NONE
        gone = wanted & 8 == 0
        old = kept & gone & (clean == BEGUN)
        _refuse_older(after, host, old)
        after[f"old_clean{host}"] |= old
        clean[gone] = NONE
        for bit, place in ((1, 1), (2, 3)):
            gone = wanted & (2 * bit) == 0
            said[gone] -= said[gone] // place % 3 * place
            old = kept & gone & (ask & bit > 0)
            _refuse_older(after, host, old)
            after[f"old_ask{host}"][old] |= bit
            ask[gone] &= 3 - bit

    def _next(self, states: States) -> Iterator[Step]:
        """Yield that another controller becomes the writer."""
        mask = states["faults"] < self.rules.faults
        idle = np.ones(len(states), dtype=np.bool_)
        for name in ("record0", "record1", "pending"):
            idle &= states[name] == 0
        mask &= ~idle  # nothing is different while no incident is open
        if not mask.any():
            return
        after = states.where(mask)
        after["faults"] += 1
        for host in HOSTS:
            self._leave(after, host)
            after[f"record{host}"] = self._orphaned[after[f"record{host}"]]
        if self.weakness.unchecked:
            after["old_pending"], after["old_turn"] = after["pending"], after["turn"]
        after["pending"], after["turn"] = 0, 0
        yield "another controller leads", after

    def _leave(self, after: States, host: int) -> None:
        """Make old orders of what was begun for a host; forget what was answered."""
        _refuse_older(after, host, np.ones(len(after), dtype=np.bool_))
        for instance in INSTANCES:
            start = after[f"start{host}{instance}"]
            target = self._target[instance][after[f"record{host}"]]
            bit = np.where(start == BEGUN, 1 << (target + 3 * host), 0)
            after[f"old_start{instance}"] |= bit.astype(np.uint8)
            start[:] = NONE
        after[f"old_cut{host}"] |= after[f"cut{host}"] == BEGUN
        after[f"old_ask{host}"] |= after[f"ask{host}"]
        after[f"old_clean{host}"] |= after[f"clean{host}"] == BEGUN
        for name in ("cut", "ask", "clean", "said_agent"):
            after[f"{name}{host}"] = 0

    def decide(self, states: States, host: int) -> Iterator[Step]:
        """Yield that the controller reads all, and asks the protocol what to do for a host."""
        idle = np.flatnonzero(states["pending"] == 0)
        if not idle.size:
            return
        before = States(states.rows[idle])
        for word, rooms in (("", False), (", with room on the other host", True)):
            turns, differs = self._turns(before, host, other_host=rooms)
            mask = (turns > 0) & (differs if rooms else True)
            if not mask.any():
                continue
            after = before.where(mask)
            after["turn"] = turns[mask]
            after["pending"] = host + 1
            if self.rules.split:
                yield f"the leader decides for {host}{word}", after
            else:
                for _, written in self.write(after, host):
                    yield f"the leader decides for {host}{word}, and writes it", written

    def _turns(self, states: States, host: int, *, other_host: bool) -> tuple[Numbers, Mask]:
        room = np.full(len(states), SPARE + 1, dtype=np.uint8)
        well = (lost(states, 1 - host) == 0) & (states[f"record{1 - host}"] == 0)
        if other_host:
            room[well] = 2 - host
        keys = self._keys(states, host, room)
        different = np.unique(keys)
        found = np.array([self._turn(host, key) for key in different.tolist()], dtype=np.uint16)
        return found[np.searchsorted(different, keys)], well

    def _keys(self, states: States, host: int, room: Cells) -> NDArray[np.int64]:
        """Return all that a controller knows of a host in one number: 16 bits, then 4 for each."""
        record = states[f"record{host}"]
        sight = self._sees[record]
        sight[record == 0] = 1
        itself, there, rooms = (sight & bit > 0 for bit in (1, 2, 4))
        power = np.where(states[f"bmc_up{host}"] > 0, 2 - states[f"on{host}"], 0)
        homes = sum(
            (states[f"home{instance}"] == host).astype(np.uint8) << instance
            for instance in INSTANCES
        )
        gone = lost(states, host)
        age = np.where(gone == LOST, states[f"heard{host}"], 0)  # who is heard, is heard now
        said = (states[f"cut{host}"], states[f"said_agent{host}"], states[f"clean{host}"])
        starts = (states[f"start{host}{instance}"] for instance in INSTANCES)
        columns = (gone * itself, age * itself, power * itself, *said, *starts)
        keys = record.astype(np.int64)
        for at, column in enumerate((*columns, homes * there, room * rooms)):
            keys |= column.astype(np.int64) << (16 + 4 * at)
        return keys

    def _turn(self, host: int, key: int) -> int:
        asked = host, key
        if asked not in self._turn_of:
            fours = [key >> at & 15 for at in range(16, 56, 4)]
            gone, age, power, bmc, agent, clean, *starts, there, room = fours
            known = Known(
                host=host,
                lost=gone,
                heard=age,
                power=power,
                bmc=_said(bmc),
                agent=agent,
                clean=_said(clean),
                starts=tuple(map(_said, starts)),
                rooms=(room, room),
                there=there,
            )
            self._turn_of[asked] = self.records.turn(key & 0xFFFF, known)
        return self._turn_of[asked]

    def write(self, states: States, host: int) -> Iterator[Step]:
        """Yield that a step is made durable, and its deeds begin."""
        mask = states["pending"] == host + 1
        if not mask.any():
            return
        after = states.where(mask)
        turns = after["turn"].copy()
        for number in np.unique(turns):
            self._begin(after, turns == number, host, self.records.launches[int(number)])
        after["pending"], after["turn"] = 0, 0
        yield f"the leader's step for {host} is written, and its deeds begin", after

    def _unchecked(self, states: States, host: int) -> Iterator[Step]:
        """Yield that an older controller writes what it had decided, as if it still led."""
        mask = states["old_pending"] == host + 1
        if not mask.any():
            return
        after = states.where(mask)
        turns = after["old_turn"].copy()
        for number in np.unique(turns):
            some = after.where(turns == number)
            self._begin_late(some, host, self.records.launches[int(number)])
            after.rows[turns == number] = some.rows
        after["old_pending"], after["old_turn"] = 0, 0
        yield f"an older controller's step for {host} is written, and its deeds begin", after

    def _begin_late(self, some: States, host: int, launch: Launch) -> None:
        record = np.array([launch.record], dtype=np.uint16)
        some[f"record{host}"] = self._orphaned[record][0]
        some[f"old_cut{host}"] |= launch.cut
        some[f"old_ask{host}"] |= launch.ask
        some[f"old_clean{host}"] |= launch.clean
        for instance in INSTANCES:
            if launch.starts >> instance & 1:
                bit = 1 << (int(self._target[instance][record][0]) + 3 * host)
                some[f"old_start{instance}"] |= bit
            some[f"start{host}{instance}"] = NONE

    def _begin(self, after: States, mask: Mask, host: int, launch: Launch) -> None:
        some = after.where(mask)
        some[f"record{host}"] = launch.record
        if launch.cut:
            some[f"cut{host}"] = BEGUN
        for bit, _, place in AGENT:
            if launch.ask & bit:
                some[f"ask{host}"] |= bit
                said = some[f"said_agent{host}"]
                some[f"said_agent{host}"] = said - said // place % 3 * place
        if launch.clean:
            some[f"clean{host}"] = BEGUN
        for instance in INSTANCES:
            if launch.starts >> instance & 1:
                some[f"start{host}{instance}"] = BEGUN
            some[f"left{instance}"] |= (launch.left >> instance & 1) * self.rules.heals
        after.rows[mask] = some.rows


def _refuse_older(after: States, host: int, mask: Mask) -> None:
    """Forget what was ordered before the last order that a host obeyed, and that it obeyed one.

    An order of the controller that it obeyed may be on its way then: the host will not refuse that.
    """
    older = mask & (after[f"obeyed{host}"] > 0)
    after.put(older, 0, f"old_ask{host}", f"old_clean{host}", f"obeyed{host}")


def _said(order: int) -> int:
    return {DONE: 1, NOT_DONE: 2}.get(order, 0)
