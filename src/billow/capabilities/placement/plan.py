# SPDX-License-Identifier: Apache-2.0
"""Requests become placements: every request of a pool gets a host, or a reason why not.

This is the capability's face. Where an instance goes is decided in `solve.py`; why one cannot go
anywhere is put into words by `why.py`. Pure: no I/O, no clock, no dice.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from billow.capabilities.placement.need import Need, need_of
from billow.capabilities.placement.policy import PlacementPolicy
from billow.capabilities.placement.report import placement_report
from billow.capabilities.placement.solve import Placer, Spot, ordered, requests
from billow.capabilities.placement.vacate import Vacating
from billow.capabilities.placement.verdict import judged
from billow.capabilities.placement.why import Words
from billow.model.action import Action, Place
from billow.model.instance import Instance, nodes_of
from billow.model.plan import Proposal, Rejection
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.model.report import Report
from billow.model.resources import CPU

NAME: Final = "placement"


class Placement:
    """The capability: places what is requested."""

    name = NAME
    policy: type[Policy] = PlacementPolicy

    def propose(self, pool: Pool, policy: PlacementPolicy, /) -> Proposal:
        """Return one `Place` per request that fits and one rejection per request that does not.

        A request is an instance with state `requested` and no host (`Pool.with_requests` makes
        them). Linear in hosts per class of equal requests, and nearly constant per request. With
        `moves_per_plan` also moves that empty hosts, after all requests are placed.
        """
        batch = _Batch(pool, policy)
        actions: tuple[Action, ...] = tuple(batch.actions())
        rejections = tuple(batch.rejections())
        gain = batch.gain()
        if policy.moves_per_plan:
            vacating = batch.vacated()
            actions, gain = (*actions, *vacating.actions()), gain | vacating.gain()
        return Proposal(NAME, actions, rejections=rejections, gain=gain)

    def report(self, pool: Pool, policy: PlacementPolicy, /) -> Report:  # noqa: ARG002
        """Return how full the pool is, and when its hosts are expected to empty."""
        return placement_report(pool)


@dataclass(frozen=True, slots=True)
class Choice:
    """Where an instance can go: a host and, when it is bound, its NUMA nodes there."""

    host: str
    nodes: tuple[int, ...] = ()


class Chooser:
    """Finds other hosts for instances, one after the other; each choice counts for the next.

    For migrations without a target and for emptying a host: ask for its instances in turn.
    """

    def __init__(self, pool: Pool, policy: PlacementPolicy) -> None:
        self._pool = pool
        self._policy = policy
        self._placer = Placer(pool, policy)
        self._words = Words(self._placer.scene)

    def choose(self, instance: int, exclude: Collection[str] = ()) -> Choice | Rejection:
        """Return where an instance (row) goes, never where it is or to an excluded host.

        Raises:
            NotFound: an excluded host that is not in the pool.
        """
        closed = {self._pool.host_row(name) for name in exclude}
        here = self._placer.scene.draft.where(instance)[0]
        if here >= 0:
            closed.add(here)
        spot = self._placer.place(instance, closed)
        if spot is not None:
            return Choice(self._pool.hosts.id[spot.host], nodes_of(spot.nodes))
        need = need_of(self._pool, instance)
        verdict = judged(self._placer.scene, instance, need, self._policy, closed)
        return self._words.rejection(f"instance/{self._pool.instances.id[instance]}", verdict)


def choose(
    pool: Pool, instance: int, policy: PlacementPolicy, exclude: Collection[str] = ()
) -> Choice | Rejection:
    """Return another host for one instance (row), or why there is none. See `Chooser` for many."""
    return Chooser(pool, policy).choose(instance, exclude)


def why_not(pool: Pool, request: Instance, policy: PlacementPolicy) -> tuple[Rejection, ...]:
    """Return, for every kind of host, what rules out how many of them for a request.

    Kinds of which every host fits are left out, so an empty answer means that all hosts fit. For an
    instance that is in the pool under this name the question is where else it could go.

    Raises:
        Invalid: the request names an unknown group.
    """
    known = request.id in pool.instances.row
    grown = pool if known else pool.with_requests([request])
    row = grown.instance_row(request.id)
    scene = Placer(grown, policy).scene
    here = scene.draft.where(row)[0]
    verdict = judged(scene, row, need_of(grown, row), policy, [here] if here >= 0 else [])
    return Words(scene).by_class(f"instance/{request.id}", verdict)


class _Batch:
    """All requests of a pool, placed once."""

    def __init__(self, pool: Pool, policy: PlacementPolicy) -> None:
        self._pool = pool
        self._policy = policy
        self._placer = Placer(pool, policy)
        self._chosen = _chosen(pool, policy)
        rows = ordered(self._placer.scene.draft, requests(pool))
        named = [row for row in rows if row in self._chosen]
        others = [row for row in rows if row not in self._chosen]
        self._rows = [*named, *others]
        spots = [self._placer.place(row, self._closed(row)) for row in named]
        self._spots = [*spots, *self._placer.place_all(others)]

    def actions(self) -> Iterator[Place]:
        """Yield what is placed, in the order in which it was."""
        ids, draft = self._pool.hosts.id, self._placer.scene.draft
        placed = [(row, spot) for row, spot in self._outcomes() if spot is not None]
        instances = self._pool.views(row for row, _ in placed)
        reasons = self._reasons(placed)
        for (row, spot), instance, reason in zip(placed, instances, reasons, strict=True):
            circle = draft.circle(row) if instance.group else None
            yield Place(
                instance=instance,
                host=ids[spot.host],
                nodes=nodes_of(spot.nodes) if spot.nodes else (),
                group=circle.group if circle is not None else None,
                reason=reason,
            )

    def rejections(self) -> Iterator[Rejection]:
        """Yield what is not placed; equal requests share one explanation."""
        words = Words(self._placer.scene)
        known: dict[tuple[Need, str, int | None], Rejection] = {}
        for row, spot in self._outcomes():
            if spot is not None:
                continue
            subject = f"instance/{self._pool.instances.id[row]}"
            need = need_of(self._pool, row)
            key = need, self._pool.instances.group[row], self._chosen.get(row)
            if key not in known:
                closed = self._closed(row)
                verdict = judged(self._placer.scene, row, need, self._policy, closed)
                known[key] = words.rejection(subject, verdict)
            same = known[key]
            yield Rejection(subject, same.reason, same.causes, same.fix)

    def vacated(self) -> Vacating:
        """Return the hosts that are emptied once all this is placed."""
        vacating = Vacating(self._pool, self._placer, self._policy.moves_per_plan)
        vacating.run()
        return vacating

    def gain(self) -> dict[str, float]:
        """Return what the batch came to."""
        placed = [spot.host for spot in self._spots if spot is not None]
        return {
            "instances_placed": float(len(placed)),
            "instances_rejected": float(len(self._spots) - len(placed)),
            "hosts_used": float(len(set(placed))),
        }

    def _closed(self, row: int) -> frozenset[int]:
        """Return the hosts (rows) that are closed to a request (row), since one was chosen."""
        every = range(len(self._pool.hosts)) if row in self._chosen else ()
        return frozenset(every).difference([self._chosen.get(row, -1)])

    def _outcomes(self) -> Iterator[tuple[int, Spot | None]]:
        return zip(self._rows, self._spots, strict=True)

    def _reasons(self, placed: Sequence[tuple[int, Spot]]) -> Iterator[str]:
        scene, swayed = self._placer.scene, self._placer.swayed
        hosts = [spot.host for _, spot in placed]
        free, total = scene.draft.free_hosts[hosts, CPU], scene.sellable[hosts, CPU]
        percent = (100 * free / np.maximum(total, 1)).round().astype(np.int64)
        how = self._policy.strategy.value
        for (row, _), left in zip(placed, percent.tolist(), strict=True):
            why = "; with those that are expected to end with it" if row in swayed else ""
            what = "as chosen" if row in self._chosen else how
            yield f"{what}: {left} % of the host's CPU stays free{why}"


def _chosen(pool: Pool, policy: PlacementPolicy) -> dict[int, int]:
    """Return the hosts (rows) that were chosen for requests (rows).

    Raises:
        NotFound: a chosen host that is not in the pool.
    """
    hosts = {name: pool.host_row(name) for name in {*policy.chosen.values()}}
    rows = pool.instances.row
    return {rows[name]: hosts[host] for name, host in policy.chosen.items() if name in rows}
