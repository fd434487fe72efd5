# SPDX-License-Identifier: Apache-2.0
"""The world in which the production protocol is checked: hosts, networks, power, time, storage.

Two hosts may fail in every way, also while they take in what the other one ran; a third is well and
stands for the rest of the fleet. Two instances. Faults are counted; repairs cost nothing, and
everything else happens at any time or never: an order that is on its way, a controller's next
step, a second that passes. A controller that stops anywhere is one that is overtaken by the next: a
change of the writer costs a fault, and what the old one had begun may still happen later.

This module must not decide anything that a controller decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from billow.testing.ha.states import Cells, Mask, States, blank

LEASE: Final = 2
"""Ticks after which a watchdog resets its host."""
VIEW: Final = 1
"""Ticks for which a controller may acknowledge beats after it last wrote what it sees."""
OLDEST: Final = 3
SPARE: Final = 2
HOSTS: Final = (0, 1)
INSTANCES: Final = (0, 1)
MANAGEMENT, STORAGE, LOST = 1, 2, 3
NONE, BEGUN, DONE, NOT_DONE = 0, 1, 2, 3
"""How an order stands."""
Step: TypeAlias = tuple[str, States]
"""What happened, and the states after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What can happen, and what of the design is left out to see whether that is found.

    Attributes:
        faults: How many in all.
        lease: Whether hosts have a watchdog.
        bmc: Whether management controllers can be reached at the beginning.
        clock: Whether a host's clock may lose a tick, once for each host.
        views: Whether controllers may hear a host that cannot write what they see.
        slow_acks: Whether an acknowledgement may take any time; none comes before it meanwhile.
        lying: Whether a management controller may say "off" and do nothing. Nobody can help an
            instance then that runs twice; what storage takes is all that is checked.
        split: Whether time may pass between a decision and its writing. As only the newest writer
            can write, and what is begun may happen at any later time, this should add nothing.
        apart: Whether a host may fail, too, while nothing that is checked depends on it: no
            instance has its home there, or is there, and no incident or order concerns it.
        heals: Whether it is asked that all comes to a good end: it is remembered which instances
            were left to a person, and a host returns only after its instances were seen to.
        placed: The homes of the two instances at the beginning; one that has its home on the
            third host has no part in anything.
        failing: Which hosts may fail.
        from_send: The watchdog counts from the sending of the acknowledged beat.
        view_first: Who cannot write what it sees acknowledges no beat.
        quarantined: A host that was fenced or booted starts nothing before it was cleaned.
        autostart: A host that boots starts what it ran.
        home_first: The record of homes is asked and changed before a start.
        locked: Storage takes writes only from an instance's newest home.
        fenced: Who performs orders refuses those of a controller older than one obeyed.
    """

    faults: int = 2
    lease: bool = True
    bmc: bool = True
    clock: bool = True
    views: bool = False
    slow_acks: bool = False
    lying: bool = False
    split: bool = False
    apart: bool = False
    heals: bool = False
    placed: tuple[int, int] = (0, 0)
    failing: tuple[int, ...] = (0, 1)
    from_send: bool = True
    view_first: bool = True
    quarantined: bool = True
    autostart: bool = False
    home_first: bool = True
    locked: bool = True
    fenced: bool = True


def beginning(rules: Rules) -> States:
    """Return the state in which all is well and the first controller leads."""
    state = blank()
    for host in HOSTS:
        for name in ("on", "lm", "ls"):
            state[f"{name}{host}"] = 1
        state[f"bmc_up{host}"] = rules.bmc
        state[f"lease{host}"] = LEASE * rules.lease
    for instance, host in enumerate(rules.placed):
        state[f"home{instance}"] = host
        state[f"runs{instance}"] = 1 << host
    return state


def running_twice(states: States) -> Mask:
    """Return where an instance runs on two hosts."""
    twice = np.zeros(len(states), dtype=np.bool_)
    for instance in INSTANCES:
        runs = states[f"runs{instance}"]
        twice |= (runs & (runs - (runs > 0))) > 0
    return twice


def writing_twice(states: States, rules: Rules) -> Mask:
    """Return where two copies of an instance can write its disk."""
    twice = np.zeros(len(states), dtype=np.bool_)
    for instance in INSTANCES:
        writers = np.zeros(len(states), dtype=np.uint8)
        for host in (*HOSTS, SPARE):
            writes = (states[f"runs{instance}"] >> host & 1) > 0
            if host != SPARE:
                writes &= (states[f"ls{host}"] > 0) & (states[f"frozen{host}"] == 0)
            if rules.locked:
                writes &= states[f"home{instance}"] == host
            writers += writes
        twice |= writers > 1
    return twice


def heard(states: States, host: int, network: str) -> Mask:
    """Return where a network of a host carries beats to the one who leads."""
    alive = (states[f"on{host}"] > 0) & (states[f"frozen{host}"] == 0)
    carried: Mask = alive & (states[f"{network}{host}"] > 0) & (states[f"other{host}"] == 0)
    return carried


def involved(states: States, host: int) -> Mask:
    """Return where an instance, an incident or an order has to do with a host."""
    found = states[f"record{host}"] > 0
    for name in ("old_cut", "old_ask", "old_clean"):
        found |= states[f"{name}{host}"] > 0
    for instance in INSTANCES:
        found |= states[f"home{instance}"] == host
        found |= (states[f"runs{instance}"] >> host & 1) > 0
    return found


def lost(states: States, host: int) -> Cells:
    """Return which networks of a host are lost, as a mask."""
    found = (~heard(states, host, "lm")).astype(np.uint8)
    return found | ((~heard(states, host, "ls")).astype(np.uint8) << 1)


def put_out(states: States, host: int) -> None:
    """Take the power from a host."""
    states.put(states[f"obeyed{host}"] > 0, 0, f"old_clean{host}")  # it refuses that, on or off
    for name in ("on", "frozen", "lease", "fly", "obeyed", "quarantine", "other", "published"):
        states[f"{name}{host}"] = 0
    end_all(states, host)


def end_all(states: States, host: int) -> None:
    """End every instance on a host."""
    for instance in INSTANCES:
        states[f"runs{instance}"] &= 7 - (1 << host)


class World:
    """What happens by itself."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def steps(self, states: States) -> Iterator[Step]:
        """Yield everything that may happen next, apart from what controllers decide."""
        spare = states["faults"] < self.rules.faults
        for host in HOSTS:
            if host in self.rules.failing:
                wanted = spare if self.rules.apart else spare & involved(states, host)
                yield from self._faults(states, host, wanted)
            yield from self._repairs(states, host)
            if self.rules.slow_acks:
                yield from self._ack(states, host)
        yield from self.tick(states)

    def _faults(self, states: States, host: int, spare: Mask) -> Iterator[Step]:
        on = states[f"on{host}"] > 0
        if (mask := spare & on).any():
            after = _spent(states, mask)
            put_out(after, host)
            yield f"power of {host} is lost", after
        for name, word in (("lm", "front networks"), ("ls", "storage network")):
            if (mask := spare & on & (states[f"{name}{host}"] > 0)).any():
                after = _spent(states, mask)
                after[f"{name}{host}"] = 0
                yield f"{word} of {host} cut", after
        if (mask := spare & on & (states[f"frozen{host}"] == 0)).any():
            after = _spent(states, mask)
            after[f"frozen{host}"] = 1
            yield f"{host} freezes", after
        if (mask := spare & (states[f"bmc_up{host}"] > 0)).any():
            after = _spent(states, mask)
            after[f"bmc_up{host}"] = 0
            yield f"management controller of {host} is lost", after
        yield from self._rare(states, host, spare & on)

    def _rare(self, states: States, host: int, spare: Mask) -> Iterator[Step]:
        late = self.rules.clock and self.rules.lease
        if late and (mask := spare & (states[f"lag{host}"] == 0)).any():
            after = _spent(states, mask)
            after[f"lag{host}"] = 1
            yield f"the clock of {host} will lose a tick", after
        if self.rules.slow_acks:
            mask = spare & heard(states, host, "lm") & (states[f"fly{host}"] == 0)
            if mask.any():
                after = _spent(states, mask)
                after[f"fly{host}"], after[f"heard{host}"] = 1, 0
                yield f"the acknowledgement of a beat of {host} takes its time", after
        if self.rules.views and (mask := spare & (states[f"other{host}"] == 0)).any():
            after = _spent(states, mask)
            after[f"other{host}"] = 1
            after[f"published{host}"] = 0
            yield f"only one who cannot write hears {host}", after

    def _repairs(self, states: States, host: int) -> Iterator[Step]:
        for name, word in (("lm", "front networks"), ("ls", "storage network")):
            if (mask := states[f"{name}{host}"] == 0).any():
                after = states.where(mask)
                after[f"{name}{host}"] = 1
                yield f"{word} of {host} mended", after
        for name, word in (("frozen", "thaws"), ("other", "is heard by all again")):
            if (mask := states[f"{name}{host}"] > 0).any():
                after = states.where(mask)
                after[f"{name}{host}"] = 0
                yield f"{host} {word}", after
        if self.rules.bmc and (mask := states[f"bmc_up{host}"] == 0).any():
            after = states.where(mask)
            after[f"bmc_up{host}"] = 1
            yield f"management controller of {host} is back", after
        yield from self.boot(states, host)

    def boot(self, states: States, host: int) -> Iterator[Step]:
        """Yield a host's return; it takes longer than noticing that it was away.

        What it was told to clean in an earlier boot it refuses.
        """
        mask = (states[f"on{host}"] == 0) & (states[f"heard{host}"] > 1)
        if self.rules.heals:
            for instance in INSTANCES:
                mask &= (states[f"home{instance}"] != host) | (states[f"left{instance}"] > 0)
        if not mask.any():
            return
        after = states.where(mask)
        after[f"on{host}"] = 1
        after[f"lease{host}"] = LEASE * self.rules.lease
        after[f"quarantine{host}"] = self.rules.quarantined
        after[f"old_clean{host}"] = 0
        if self.rules.autostart:
            for instance in INSTANCES:
                home = after[f"home{instance}"] == host
                after[f"runs{instance}"] |= home.astype(np.uint8) << host
        yield f"{host} boots", after

    def _ack(self, states: States, host: int) -> Iterator[Step]:
        mask = (states[f"fly{host}"] > 0) & (states[f"frozen{host}"] == 0)
        if not mask.any():
            return
        after = states.where(mask)
        age = after[f"fly{host}"].astype(np.int16) - 1
        left = np.maximum(LEASE - age, 0) if self.rules.from_send else np.full_like(age, LEASE)
        after[f"lease{host}"] = np.maximum(after[f"lease{host}"], left)
        after[f"fly{host}"] = 0
        yield f"an acknowledgement reaches {host}", after

    def tick(self, states: States) -> Iterator[Step]:
        """Yield the passing of a second; watchdogs fire in it, and beats are sent after it."""
        after = states.where(np.ones(len(states), dtype=np.bool_))
        for host in HOSTS:
            self._watchdog(after, host)
            self._beat(after, host)
        yield "a second passes", after

    def _watchdog(self, after: States, host: int) -> None:
        if not self.rules.lease:
            return
        armed = (after[f"on{host}"] > 0) & (after[f"lease{host}"] > 0)
        late = after[f"lag{host}"] == 1
        after[f"lease{host}"] -= armed & ~late
        fired = armed & (after[f"lease{host}"] == 0)
        after.put(late & armed, 2, f"lag{host}")
        flying = after[f"fly{host}"] > 0
        after[f"fly{host}"] = np.minimum(after[f"fly{host}"] + flying, OLDEST)
        if fired.any():
            dead = after.where(fired)
            put_out(dead, host)
            after.rows[fired] = dead.rows

    def _beat(self, after: States, host: int) -> None:
        """Let a host be heard; acknowledged, where its lease must not run out."""
        beats = heard(after, host, "lm") | heard(after, host, "ls")
        age = after[f"heard{host}"]
        after[f"heard{host}"] = np.where(beats, 0, np.minimum(age + 1, OLDEST))
        other = (after[f"other{host}"] > 0) & (after[f"on{host}"] > 0)
        other &= after[f"frozen{host}"] == 0
        since = np.minimum(after[f"published{host}"] + other, VIEW + OLDEST)
        after[f"published{host}"] = since
        held = other & (since <= VIEW)
        after.put(held, 0, f"heard{host}")
        if not self.rules.lease:
            return
        acked = beats | (held if self.rules.view_first else other)
        after.put(acked & (after[f"fly{host}"] == 0), LEASE, f"lease{host}")


def _spent(states: States, mask: Mask) -> States:
    after = states.where(mask)
    after["faults"] += 1
    return after
