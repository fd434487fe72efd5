# SPDX-License-Identifier: Apache-2.0
"""What each vCPU may write while it moves, so that all of them together stay within the link.

Steering sets these limits and the forecast reckons with them; the constants are QEMU's
(docs/devel/migration/dirty-limit.rst) and this project's lab's.
"""

import math
from collections.abc import Sequence

MOST_SHARE, LEAST_SHARE = 0.5, 0.25
"""Share of the bandwidth that writers may fill, of slow links and of fast ones. Less makes rounds
shrink quicker, and costs writers less in all, until a vCPU sleeps so long at a time that it is
felt."""
EASY_MIB_S = 60.0
"""More than this for each writer is not needed. Its limit is lower by `TOLERANCE_MIB_S`: then one
with a ring of 4 MiB sleeps about 0.1 s at a time, by the reckoning of `BEARABLE_MIB_S`."""
TOLERANCE_MIB_S = 25.0
"""QEMU leaves a vCPU alone within so much of its limit: a limit is set so much lower."""
SETTLES_ABOVE_MIB_S = 8.0
"""How far above its limit a vCPU comes to rest."""
BEARABLE_MIB_S = 13.0
"""A vCPU with a ring of 4 MiB sleeps 0.3 s at a time under this limit, and longer under a lower."""
TOLD_SHARE = 0.8
"""QEMU's count of what a vCPU writes may be lower than what it wrote at its quickest."""
SURE_BELOW, HOPELESS_FROM = 0.75, 0.95
"""Written over carried: below the one pre-copy ends as foretold, from the other on do not count on
it. In between it ends, but when is uncertain."""
LONGEST_S = 900.0
"""Longer than this is as good as never."""


def shares(rates: Sequence[float], budget: float) -> tuple[float, ...]:
    """Return what each writer may write so that together they stay within a budget.

    Water-filling: whoever writes less than an equal share keeps what it writes (not a number: no
    limit), and what it leaves is shared by the others.
    """
    found = [math.nan] * len(rates)
    if math.fsum(rates) <= budget:
        return tuple(found)
    left = budget
    by_rate = sorted(range(len(rates)), key=lambda each: (rates[each], each))
    for place, each in enumerate(by_rate):
        share = left / (len(rates) - place)
        if rates[each] > share:
            found[each] = share
        left -= min(rates[each], share)
    return tuple(found)


def limits(rates: Sequence[float], bandwidth_mib_s: float) -> tuple[float, ...]:
    """Return the limits to set so that writers stay within their share of a bandwidth.

    Not a number where a vCPU needs none. Each is below its share by what QEMU tolerates; but on a
    slow link no lower than a vCPU can bear, nor so near to what it writes that QEMU tolerates that.
    """
    found = zip(rates, shares(rates, budget(rates, bandwidth_mib_s)), strict=True)
    return tuple(share if math.isnan(share) else _limit(rate, share) for rate, share in found)


def budget(rates: Sequence[float], bandwidth_mib_s: float) -> float:
    """Return what writers may write together, MiB/s."""
    easy = EASY_MIB_S * sum(rate > TOLERANCE_MIB_S for rate in rates)
    return min(MOST_SHARE * bandwidth_mib_s, max(LEAST_SHARE * bandwidth_mib_s, easy))


def _limit(rate: float, share: float) -> float:
    bearable = min(BEARABLE_MIB_S, share, rate * TOLD_SHARE - TOLERANCE_MIB_S)
    return max(1.0, share - TOLERANCE_MIB_S, bearable)
