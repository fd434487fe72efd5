# SPDX-License-Identifier: Apache-2.0
"""How much a class of equal hosts can sell: a chance constraint on what its instances use.

A host of capacity C that has sold r times C uses m r C on average, with the variance
v r C + c (r C)^2: instances of their own accord (v, how differently they use what they bought
included) and all together (c, the hour of the day). Its use stays below the limit but for the
risk when m r C + z sqrt(v r C + c (r C)^2) <= limit C, which is solved for r. z is the normal
deviation for this risk, or what the hosts' own tails say where they are heavier.
"""

from dataclasses import dataclass

import numpy as np

from billow.capabilities.overcommit.policy import OvercommitPolicy
from billow.model.history import Samples
from billow.model.resources import BoolArray, FloatArray, RowArray
from billow.plan.forecast import depth, leaning, outlook, over, sums, tail

TAIL_SAMPLES = 10
"""So many samples must lie beyond a quantile before it is believed."""


@dataclass(frozen=True, eq=False)
class Uses:
    """What the instances of a pool use of one resource.

    Attributes:
        bought: What each may use, 0 for who does not count, `(instances,)`.
        samples: `(instances, samples)`, NaN where not seen.
        host: Host row of each, negative for none.
        capacity: `(hosts,)`.
    """

    bought: FloatArray
    samples: Samples
    host: RowArray
    capacity: FloatArray


@dataclass(frozen=True, slots=True)
class Odds:
    """How a class of hosts uses what it sells, per unit sold.

    Attributes:
        mean, alone, together: m, v and c above.
        away: z above, for the policy's risk.
        sold: Units sold per physical unit now.
        known: Share of what is sold that was seen often enough.
        over: Measured: share of host samples above the limit.
    """

    capacity: float
    mean: float
    alone: float
    together: float
    away: float
    sold: float
    known: float
    over: float

    def risk(self, ratio: float, policy: OvercommitPolicy) -> float:
        """Return how likely a host that has sold so much is above the limit."""
        sold = ratio * self.capacity
        spread = max(self.alone * sold + self.together * sold**2, 1e-12) ** 0.5
        heavier = self.away / depth(policy.risk)
        away = (policy.limit_share * self.capacity - self.mean * sold) / (spread * heavier)
        return float(tail(np.array([away]))[0])

    def safe_ratio(self, policy: OvercommitPolicy, most: float) -> float:
        """Return the largest ratio at which the risk is as allowed, at most `most`."""
        low, high = 0.0, most
        if self.risk(high, policy) <= policy.risk:
            return high
        for _ in range(40):
            middle = (low + high) / 2
            good = self.risk(middle, policy) <= policy.risk
            low, high = (middle, high) if good else (low, middle)
        return low


def odds(uses: Uses, members: BoolArray, policy: OvercommitPolicy) -> Odds | None:
    """Return how these hosts use what they sell; None where they sell nothing.

    Args:
        uses: Of the whole pool.
        members: Which hosts belong to the class, `(hosts,)`.
        policy: The limit and the risk.
    """
    rows = np.flatnonzero((uses.host >= 0) & (uses.bought > 0))
    rows = rows[members[uses.host[rows]]]
    bought = uses.bought[rows]
    sold, there = float(bought.sum()), float(uses.capacity[members].sum())
    if not sold or not there:
        return None
    samples = uses.samples[rows]
    own = outlook(samples)
    lean = leaning(own, bought)
    place = np.cumsum(members) - 1
    total = sums(samples, place[uses.host[rows]].astype(np.int32), int(members.sum()), lean.mean)
    mean = float(lean.mean.sum()) / sold
    differing = lean.variance + (lean.mean - mean * bought) ** 2
    within = float(np.nan_to_num(own.variance).sum())
    common = max(float(total.sum(axis=0).var()) - within, 0.0) if total.shape[1] > 1 else 0.0
    known = float(bought[own.seen >= policy.least_samples].sum()) / sold
    limit = policy.limit_share * uses.capacity[members]
    return Odds(
        capacity=there / int(members.sum()),
        mean=mean,
        alone=float(differing.sum()) / sold,
        together=common / sold**2,
        away=_away(total, policy.risk),
        sold=sold / there,
        known=known,
        over=over(total, limit),
    )


def _away(total: FloatArray, risk: float) -> float:
    """Return how many deviations above its mean a host's use is with this chance."""
    deviation = total.std(axis=1, keepdims=True)
    busy = deviation[:, 0] > 0
    if not busy.any():
        return depth(risk)
    away = ((total - total.mean(axis=1, keepdims=True))[busy] / deviation[busy]).ravel()
    share = max(risk, TAIL_SAMPLES / away.size)
    if share >= 0.1:
        return depth(risk)
    heavier = float(np.quantile(away, 1.0 - share)) / depth(share)
    return depth(risk) * max(heavier, 1.0)
