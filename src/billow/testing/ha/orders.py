# SPDX-License-Identifier: Apache-2.0
"""What becomes of orders in the checked world: power is cut, agents obey, instances start.

An order is carried out at any time after it was given, or never. Those of an older controller are,
too, and nobody hears how they ended; whoever carries orders out refuses them once it has obeyed a
newer controller.

This module must not decide anything that the protocol decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.testing.ha.records import Lookup
from billow.testing.ha.states import Cells, Mask, States
from billow.testing.ha.world import (
    BEGUN,
    DONE,
    HOSTS,
    INSTANCES,
    MANAGEMENT,
    NOT_DONE,
    SPARE,
    STORAGE,
    Rules,
    Step,
    end_all,
    heard,
    put_out,
)

AGENT: Final = ((MANAGEMENT, "lm", 1), (STORAGE, "ls", 3))
"""Each way to an agent: its bit in a mask of orders, its network, its place among the answers."""


@dataclass(frozen=True, slots=True)
class Weakness:
    """A step of the design that is left out, to see whether that is found.

    Attributes:
        unchecked: The record is written without asking for its version and the writer's fence.
        hasty: A management controller that does not answer counts as one that turned it off.
    """

    unchecked: bool = False
    hasty: bool = False


class Orders:
    """What happens to what controllers have begun."""

    def __init__(self, rules: Rules, weakness: Weakness, target: list[Lookup]) -> None:
        self.rules = rules
        self.weakness = weakness
        self._target = target

    def steps(self, states: States, host: int) -> Iterator[Step]:
        """Yield every order for a host, or for what runs there, that may be carried out next."""
        yield from self._now(states, host)
        yield from self._old(states, host)
        yield from self._refused(states, host)

    def _now(self, states: States, host: int) -> Iterator[Step]:
        """Yield that something is done which the leader began."""
        yield from self._cut(states, host)
        yield from self._ask(states, host)
        yield from self._clean(states, host)
        for instance in INSTANCES:
            yield from self._home(states, host, instance)
            yield from self._start(states, host, instance)

    def _cut(self, states: States, host: int) -> Iterator[Step]:
        begun = states[f"cut{host}"] == BEGUN
        mask = begun if self.weakness.hasty else begun & (states[f"bmc_up{host}"] > 0)
        if mask.any():
            after = states.where(mask)
            dead = after.where(after[f"bmc_up{host}"] > 0)
            put_out(dead, host)
            after.rows[after[f"bmc_up{host}"] > 0] = dead.rows
            after[f"cut{host}"] = DONE
            yield f"the management controller turns {host} off, and says so", after
        spare = states["faults"] < self.rules.faults
        for word, value, lies in (("refuses", NOT_DONE, False), ("lies", DONE, True)):
            mask = begun & spare & (states[f"bmc_up{host}"] > 0)
            if (self.rules.lying or not lies) and mask.any():
                after = states.where(mask)
                after["faults"] += 1
                after[f"cut{host}"] = value
                yield f"the management controller of {host} {word}", after

    def _ask(self, states: States, host: int) -> Iterator[Step]:
        for bit, network, place in AGENT:
            asked = (states[f"ask{host}"] & bit) > 0
            mask = asked & heard(states, host, network)
            if mask.any():
                after = states.where(mask)
                _obey(after, host)
                after[f"obeyed{host}"] = 1
                after[f"ask{host}"] &= 3 - bit
                said = after[f"said_agent{host}"]
                after[f"said_agent{host}"] = said - said // place % 3 * place + place
                yield f"the agent of {host} ends all, and says so over {network}", after
            mask &= states["faults"] < self.rules.faults
            if mask.any():
                after = states.where(mask)
                _obey(after, host)
                after["faults"] += 1
                after[f"obeyed{host}"] = 1
                after[f"ask{host}"] &= 3 - bit
                yield f"the agent of {host} ends all; its answer over {network} is lost", after

    def _clean(self, states: States, host: int) -> Iterator[Step]:
        reached = heard(states, host, "lm") | heard(states, host, "ls")
        mask = (states[f"clean{host}"] == BEGUN) & reached
        if mask.any():
            after = states.where(mask)
            _cleaned(after, host)
            after[f"obeyed{host}"] = 1
            after[f"clean{host}"] = DONE
            yield f"{host} cleans itself, and says so", after

    def _home(self, states: States, host: int, instance: int) -> Iterator[Step]:
        begun = states[f"start{host}{instance}"] == BEGUN
        home = states[f"home{instance}"]
        target = self._target[instance][states[f"record{host}"]]
        mask = begun & (home != target)
        right = mask & (home == host) if self.rules.home_first else mask
        if right.any():
            after = states.where(right)
            after[f"home{instance}"] = target[right]
            self._fence(after)
            yield f"the home of {instance} is moved from {host}", after
        if (wrong := mask & ~right).any():
            after = states.where(wrong)
            after[f"start{host}{instance}"] = NOT_DONE
            self._fence(after)
            yield f"the start of {instance} is refused: {host} is not its home", after

    def _start(self, states: States, host: int, instance: int) -> Iterator[Step]:
        target = self._target[instance][states[f"record{host}"]]
        mask = (states[f"start{host}{instance}"] == BEGUN) & (states[f"home{instance}"] == target)
        takes, refuses = self._takes(states, target)
        if (now := mask & takes).any():
            after = states.where(now)
            after[f"runs{instance}"] |= (1 << target[now]).astype(np.uint8)
            after[f"start{host}{instance}"] = DONE
            self._fence(after)
            yield f"{instance} of {host} starts elsewhere", after
        runs = (states[f"runs{instance}"] >> target & 1) > 0
        if (now := mask & refuses & ~runs).any():
            yield (
                f"the target in quarantine refuses {instance}",
                self._back(states, now, host, instance),
            )

    def _back(self, states: States, mask: Mask, host: int, instance: int) -> States:
        """Return the states after a start that surely had no effect: it has its old home again."""
        after = states.where(mask)
        after[f"home{instance}"] = host
        after[f"start{host}{instance}"] = NOT_DONE
        self._fence(after)
        return after

    def _fence(self, after: States) -> None:
        """Let the engine refuse older controllers from now on: it has seen a newer one."""
        if self.rules.fenced:
            for instance in INSTANCES:
                after[f"old_start{instance}"] = 0

    def _takes(self, states: States, target: Cells) -> tuple[Mask, Mask]:
        """Return where a target starts what it is told to, and where it surely refuses."""
        takes, refuses = target == SPARE, np.zeros(len(states), dtype=np.bool_)
        for host in HOSTS:
            up = (target == host) & heard(states, host, "lm")
            closed = states[f"quarantine{host}"] > 0
            takes |= up & ~closed
            refuses |= up & closed
        return takes, refuses

    def _refused(self, states: States, host: int) -> Iterator[Step]:
        """Yield that a target refuses a start, for want of memory or whatever else."""
        spare = states["faults"] < self.rules.faults
        for instance in INSTANCES:
            target = self._target[instance][states[f"record{host}"]]
            runs = (states[f"runs{instance}"] >> target & 1) > 0
            mask = spare & (states[f"start{host}{instance}"] == BEGUN) & ~runs
            mask &= states[f"home{instance}"] == target
            if mask.any():
                after = self._back(states, mask, host, instance)
                after["faults"] += 1
                yield f"the target refuses {instance} of {host}", after

    def _old(self, states: States, host: int) -> Iterator[Step]:
        """Yield that an order of an older controller is carried out late."""
        if (mask := (states[f"old_cut{host}"] > 0) & (states[f"bmc_up{host}"] > 0)).any():
            after = states.where(mask)
            put_out(after, host)
            after[f"old_cut{host}"] = 0
            yield f"{host} is turned off by an older controller", after
        free = (states[f"obeyed{host}"] == 0) if self.rules.fenced else np.True_
        for bit, network, _ in AGENT:
            asked = (states[f"old_ask{host}"] & bit) > 0
            if (mask := asked & free & heard(states, host, network)).any():
                after = states.where(mask)
                _obey(after, host)
                after[f"old_ask{host}"] &= 3 - bit
                yield f"the agent of {host} ends all for an older controller", after
        reached = heard(states, host, "lm") | heard(states, host, "ls")
        if (mask := (states[f"old_clean{host}"] > 0) & free & reached).any():
            after = states.where(mask)
            _cleaned(after, host)
            after[f"old_clean{host}"] = 0
            yield f"{host} cleans itself for an older controller", after
        for instance in INSTANCES:
            for target in {0, 1, SPARE} - {host}:
                yield from self._old_start(states, host, instance, target)

    def _old_start(self, states: States, host: int, instance: int, target: int) -> Iterator[Step]:
        bit = 1 << (target + 3 * host)
        mask = (states[f"old_start{instance}"] & bit) > 0
        if not mask.any():
            return
        home = states[f"home{instance}"]
        right = mask & (home != target)
        if self.rules.home_first:
            right &= home == host
        if right.any():
            after = states.where(right)
            after[f"home{instance}"] = target
            yield f"an older controller moves the home of {instance} from {host}", after
        takes, _ = self._takes(states, np.full(len(states), target))
        if (now := mask & (home == target) & takes).any():
            after = states.where(now)
            after[f"runs{instance}"] |= 1 << target
            after[f"old_start{instance}"] &= 255 - bit
            yield f"an older controller starts {instance} on {target}", after


def _obey(after: States, host: int) -> None:
    """End all on a host; it starts nothing before it was cleaned."""
    end_all(after, host)
    after[f"quarantine{host}"] = 1


def _cleaned(after: States, host: int) -> None:
    for instance in INSTANCES:
        gone = after[f"home{instance}"] != host
        after[f"runs{instance}"][gone] &= 7 - (1 << host)
    after[f"quarantine{host}"] = 0
    after[f"heard{host}"] = 0  # its answer was heard, and its lease counts from its boot at least
