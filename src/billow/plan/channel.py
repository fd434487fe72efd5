# SPDX-License-Identifier: Apache-2.0
"""How wide the channel of a live migration is: one stream or several, as it is or compressed. Pure.

Memory gets across at the rate of what is slowest: the link, or the CPUs that read, compress and
encrypt on one end and undo it on the other. Several streams use several CPUs; compression takes CPU
time and spares the link. Neither shortens a move whose bottleneck it is not, so the ordinary single
stream stays unless something else is clearly quicker.

The single stream can do one thing that several cannot: of a page that was sent before, send only
what changed in it (QEMU's XBZRLE). A guest that writes a word here and there is then across however
fast it writes, and nobody is slowed down. The source keeps what it sent for that, as far as it may.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

MOST_STREAMS: Final = 8
CLEARLY: Final = 1.25
"""So much quicker must another channel be than the single stream: what is known is not exact."""
LEAST_MIB: Final = 64.0
"""Less is over before it matters."""
DELTAS_PAY: Final = 0.5
"""Of a page that is written again, more than this changes: QEMU had better send it whole."""
LEAST_KEPT_MIB: Final = 16
CHANGES_MIB_S: Final = 1000.0
"""Memory of which a CPU finds out in a second what changed in it, about."""
_MIB: Final = 1024.0
_CLEAR: Final = {False: (0.8, 3.5), True: (0.8, 2.9)}
"""CPU seconds that a GiB takes to send and to receive, by one stream and by several.

All these figures are of QEMU 10 on 2 CPUs of a nested hypervisor (`./dev bench migration_channel`
tells them). What matters is how they stand to each other: CPUs that are twice as fast only move
the link at which they begin to matter.
"""
_SEALED: Final = {False: (5.8, 6.5), True: (1.5, 3.8)}
"""Likewise, encrypted: several streams hand over larger pieces."""
_PACKING: Final = (2.9, 0.0)
"""What zstd takes besides, at level 1, of memory that shrinks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known before a move.

    Attributes:
        link_mib_s: What the link carries; NaN while that is not known.
        cpus: CPUs of both ends together.
        share: Of a CPU, what a thread gets of it; the rest is others'.
        touched_mib: What there is to send.
        shrinks_to: Size of compressed memory over its size; NaN while that is not known.
        changes: Size of what changes in a page that is written again over its size; NaN while that
            is not known.
        kept_mib: What the source may keep of what it sent, so that it can send changes only.
        encrypted: Whether what is sent is encrypted.
    """

    link_mib_s: float = math.nan
    cpus: int = 2
    share: float = 1.0
    touched_mib: float = 0.0
    shrinks_to: float = math.nan
    changes: float = math.nan
    kept_mib: int = 0
    encrypted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """What was chosen.

    Attributes:
        streams: Streams besides the one that leads; 0 for the ordinary single stream.
        packed: Whether they are compressed.
        kept_mib: What the source keeps of what it sent, a power of two, so that it sends of a page
            only what changed in it; 0 to send pages as they are.
        why: In words.
    """

    streams: int = 0
    packed: bool = False
    kept_mib: int = 0
    why: str = ""


SINGLE: Final = Channel()


def choose(facts: Facts, *, packed: bool) -> Channel:
    """Return the channel by which memory gets across soonest; `packed` if both ends compress."""
    if facts.touched_mib < LEAST_MIB:
        return Channel(why=f"there are only {facts.touched_mib:.0f} MiB to send")
    if math.isnan(facts.link_mib_s):
        return Channel(why="what the link carries is not known")
    single, best = rate(facts, SINGLE), SINGLE
    for other in _others(facts, packed=packed):
        if rate(facts, other) > 1.01 * rate(facts, best):
            best = other
    if rate(facts, best) < CLEARLY * single:
        what = "link" if single >= facts.link_mib_s else "CPUs"
        return Channel(why=f"the {what} would hold up any other channel as well")
    return best


def with_deltas(facts: Facts, channel: Channel) -> Channel:
    """Return the channel, sending only changes of what was sent before where that may pay."""
    if channel.streams or facts.touched_mib <= 0 or facts.changes > DELTAS_PAY:
        return channel
    most = min(facts.kept_mib, max(LEAST_KEPT_MIB, math.ceil(facts.touched_mib)))
    if most < LEAST_KEPT_MIB:
        return channel
    kept = 1 << (min(facts.kept_mib, 2 * most - 1).bit_length() - 1)
    return replace(channel, kept_mib=kept, why=f"{channel.why}; {_changes(facts.changes)}")


def changed_rate(link_mib_s: float, changes: float) -> float:
    """Return how much memory that was sent before gets across again, MiB/s, at least the link's."""
    if changes > DELTAS_PAY:
        return link_mib_s
    return max(link_mib_s, min(CHANGES_MIB_S, link_mib_s / max(changes, 1e-6)))


def _changes(share: float) -> str:
    known = "" if math.isnan(share) else f", {100 * share:.0f} % of it now"
    return f"of a page that is written again, only what changed is sent{known}"


def rate(facts: Facts, channel: Channel) -> float:
    """Return how much memory gets across by a channel, MiB/s."""
    sends, receives = _cost(facts, channel)
    streams = max(channel.streams, 1)
    done = _MIB * facts.share * min(streams / max(sends, receives), facts.cpus / (sends + receives))
    return min(facts.link_mib_s / (facts.shrinks_to if channel.packed else 1.0), done)


def _cost(facts: Facts, channel: Channel) -> tuple[float, float]:
    """Return the CPU seconds of each end for a GiB of memory."""
    many = channel.streams > 0
    clear, sealed = _CLEAR[many], _SEALED[many] if facts.encrypted else _CLEAR[many]
    sent = facts.shrinks_to if channel.packed else 1.0
    packing = _PACKING if channel.packed else (0.0, 0.0)
    ends = zip(clear, sealed, packing, strict=True)
    sends, receives = (bare + (whole - bare) * sent + more for bare, whole, more in ends)
    return sends, receives


def _others(facts: Facts, *, packed: bool) -> Iterator[Channel]:
    """Yield each channel but the ordinary one, the simplest first."""
    link = f"the link carries {facts.link_mib_s:.0f} MiB/s"
    most = min(MOST_STREAMS, facts.cpus)
    for streams in range(2, most + 1):
        yield Channel(streams=streams, why=f"{link}, more than one stream can send")
    if packed and facts.shrinks_to < 1.0:
        why = f"{link}, and memory shrinks to {100 * facts.shrinks_to:.0f} %"
        for streams in range(1, most + 1):
            yield Channel(streams=streams, packed=True, why=why)
