# SPDX-License-Identifier: Apache-2.0
"""What ruled out which hosts, in words: by kind of host, the nearest miss, and what would help."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from billow.capabilities.placement.need import amount_text
from billow.capabilities.placement.scene import Scene
from billow.capabilities.placement.verdict import Verdict, host_classes
from billow.model.counting import counted
from billow.model.kinds import Arch
from billow.model.plan import Rejection
from billow.model.resources import CPU, GPU, RESOURCES, IntArray

Rows = npt.NDArray[np.intp]
MOST_CAUSES: Final = 12
"""Causes that one rejection lists; the rest is counted."""
_MOST_NAMES: Final = 3
_EASIEST_FIRST: Final = (
    "cordon", "zone", "traits", "cpu", "arch", "dedicated", "excluded", "group", "whole", "power",
    "health", "gpu", "size",
)  # fmt: skip


class Words:
    """Explains verdicts on the hosts of one scene."""

    def __init__(self, scene: Scene) -> None:
        self._hosts = scene.pool.hosts
        self._scene = scene

    @cached_property
    def _class_of(self) -> IntArray:
        return host_classes(self._scene)

    def rejection(self, subject: str, verdict: Verdict) -> Rejection:
        """Return why no host takes a request, over the whole pool."""
        if not len(self._hosts):
            return _no_host(subject)
        reason = f"none of {counted(len(self._hosts), 'host')} fits"
        everyone = np.arange(len(self._hosts))
        return Rejection(subject, reason, self._causes(verdict), self._fix(verdict, everyone))

    def by_class(self, subject: str, verdict: Verdict) -> tuple[Rejection, ...]:
        """Return what ruled out how many hosts of every kind; kinds that all fit are left out."""
        if not len(self._hosts):
            return (_no_host(subject),)
        kinds = range(int(self._class_of.max()) + 1)
        members = (np.flatnonzero(self._class_of == kind) for kind in kinds)
        return tuple(
            self._class_rejection(subject, verdict, rows)
            for rows in members
            if not verdict.fits[rows].all()
        )

    def _class_rejection(self, subject: str, verdict: Verdict, rows: Rows) -> Rejection:
        fitting = int(verdict.fits[rows].sum())
        share = f"{fitting or 'none'} of {counted(len(rows), 'host')}"
        reason = f"{share} {'fit' if fitting > 1 else 'fits'}: {self._class_text(rows[0])}"
        first = verdict.first[rows]
        counts = np.bincount(first[first >= 0], minlength=len(verdict.demands))
        causes = [
            f"{counted(int(counts[number]), 'host')}: {verdict.demands[number].reason}"
            for number in np.argsort(-counts, kind="stable").tolist()
            if counts[number]
        ]
        return Rejection(subject, reason, tuple(causes), self._fix(verdict, rows))

    def _causes(self, verdict: Verdict) -> tuple[str, ...]:
        ruled_out = np.flatnonzero(verdict.first >= 0)
        pairs = verdict.first[ruled_out] * len(self._hosts) + self._class_of[ruled_out]
        kinds, where, counts = np.unique(pairs, return_index=True, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        causes = [
            f"{counted(int(counts[each]), 'host')} ({self._class_text(ruled_out[where[each]])}): "
            f"{verdict.demands[kinds[each] // len(self._hosts)].reason}"
            for each in order[:MOST_CAUSES].tolist()
        ]
        rest = int(counts[order[MOST_CAUSES:]].sum())
        return (*causes, f"{counted(rest, 'host')} of other kinds") if rest else tuple(causes)

    def _fix(self, verdict: Verdict, rows: Rows) -> str:
        """Return what would help on these hosts, the easiest first."""
        ways = [self._nearest(verdict, rows)]
        for name in _EASIEST_FIRST:
            same = [number for number, each in enumerate(verdict.demands) if each.name == name]
            alone = np.zeros(len(self._hosts), dtype=np.bool_)
            for each in same:
                alone |= verdict.only(each)
            near = rows[alone[rows]]
            if len(near):
                fix = verdict.demands[same[0]].fix
                ways.append(fix.replace("{hosts}", self._names(near)))
        return ", or ".join(way for way in ways if way)

    def _nearest(self, verdict: Verdict, rows: Rows) -> str:
        """Return what the host lacks that lacks the least; empty when more than room is missing."""
        near = rows[verdict.lacks_room_only[rows]]
        if not len(near):
            return ""
        host = int(near[np.argmin(self._shortage(verdict, near))])
        lacks = [
            amount_text(resource, -float(verdict.remainder[resource][host]))
            for resource in range(len(RESOURCES))
            if verdict.remainder[resource][host] < 0
        ]
        name = self._hosts.id[host]
        if not lacks:
            return f"free room on the NUMA nodes of {name}: {self._share_text(verdict)}"
        return f"free {' and '.join(lacks)} on {name}"

    def _shortage(self, verdict: Verdict, rows: Rows) -> "npt.NDArray[np.float64]":
        """Return how much of itself each host lacks, summed over resources."""
        lacking = np.stack([np.minimum(column[rows], 0.0) for column in verdict.remainder], axis=1)
        whole = np.maximum(self._scene.sellable[rows], 1)
        shortage: npt.NDArray[np.float64] = -(lacking / whole).sum(axis=1)
        return shortage

    def _share_text(self, verdict: Verdict) -> str:
        shape = verdict.need.shape
        amounts = [amount_text(r, amount) for r, amount in enumerate(shape.share) if amount]
        nodes = "one node needs" if shape.numa_nodes == 1 else f"{shape.numa_nodes} nodes need"
        return f"{nodes} {' and '.join(amounts)}{' each' if shape.numa_nodes > 1 else ''}"

    def _names(self, rows: Rows) -> str:
        names = [self._hosts.id[row] for row in rows[:_MOST_NAMES].tolist()]
        if len(rows) > _MOST_NAMES:
            return f"{', '.join(names)} or {len(rows) - _MOST_NAMES} more"
        return " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)

    def _class_text(self, row: int) -> str:
        """Return what a host is, in a few words."""
        hosts = self._hosts
        total = self._scene.sellable[row]
        words = [tuple(Arch)[hosts.arch[row]].value]
        words += [f"zone {hosts.zone[row]}"] if hosts.zone[row] else []
        words += [amount_text(CPU, int(total[CPU])), _memory(total)]
        words += [f"{hosts.node_count[row]} NUMA nodes"] if hosts.node_count[row] > 1 else []
        words += [f"{amount_text(GPU, int(total[GPU]))} {hosts.gpu_model[row]}".rstrip()] * bool(
            total[GPU]
        )
        words += ["+".join(sorted(hosts.traits[row]))] if hosts.traits[row] else []
        return ", ".join(words)


def _memory(total: "Sequence[int] | IntArray") -> str:
    text = amount_text(1, int(total[1]))
    return f"{text} and {amount_text(2, int(total[2]))}" if total[2] else text


def _no_host(subject: str) -> Rejection:
    return Rejection(subject, "the pool has no host", fix="add a host")
