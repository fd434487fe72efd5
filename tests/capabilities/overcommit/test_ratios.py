# SPDX-License-Identifier: Apache-2.0
"""What overcommit sells: as much as the risk allows, never less than what is reserved."""

from dataclasses import replace

import numpy as np
import pytest

from billow.capabilities.overcommit import Overcommit, OvercommitPolicy
from billow.capabilities.overcommit.solve import Uses, odds
from billow.model.action import Allot
from billow.model.column import frozen
from billow.model.history import History
from billow.model.plan import Proposal
from billow.model.pool import Pool
from billow.model.resources import CPU, MEMORY
from billow.testing.pools import pool

NOW = 1_700_000_000.0
SAMPLES = 400


def lived(spec: Pool, cpu: float, memory: float = 0.9, seed: int = 1) -> Pool:
    """Return a pool whose instances use such a share of what they bought, each by itself."""
    dice = np.random.default_rng(seed)
    count = len(spec.instances)
    bought = spec.demand[spec.instances.shape].astype(np.float64)
    noise = dice.gamma(4.0, 0.25, (count, SAMPLES))
    use = np.minimum(cpu * noise, 1.0) * bought[:, [CPU]]
    held = np.repeat(memory * bought[:, [MEMORY]], SAMPLES, axis=1)
    past = History(
        300.0,
        NOW,
        spec.instances.id,
        use.astype(np.float32),
        held.astype(np.float32),
        np.zeros(count),
        np.zeros(count),
    )
    return replace(spec, history=past, taken_at=NOW)


def selling(given: Pool, ratio: float) -> Pool:
    ratios = frozen(np.full(len(given.hosts), ratio))
    return replace(given, hosts=replace(given.hosts, cpu_ratio=ratios))


def proposed(given: Pool, **knobs: object) -> Proposal:
    return Overcommit().propose(given, OvercommitPolicy.model_validate(knobs))


def ratios(proposal: Proposal) -> dict[str, float]:
    assert all(isinstance(each, Allot) for each in proposal.actions)
    return {each.host: each.cpu_ratio for each in proposal.actions if isinstance(each, Allot)}


FULL = "4 hosts x 256GiB 32c; 128 vms x 2GiB 1c spread"


def test_what_is_hardly_used_is_sold_more_often() -> None:
    found = proposed(lived(pool(FULL), 0.1))
    assert ratios(found) == {f"h{number}": 2.0 for number in range(1, 5)}  # its reach
    assert found.gain["sellable_cpus"] == 128
    far = proposed(lived(pool(FULL), 0.1), reach=100, most_cpu_ratio=100)
    assert 4.0 < ratios(far)["h1"] < 9.0  # 9: where the mean alone fills the limit


def test_the_risk_is_what_was_asked_for() -> None:
    """Sell what it says, fill it with new instances of the same kind, and count."""
    policy = OvercommitPolicy(reach=100, most_cpu_ratio=100, risk=0.01)
    given = lived(pool(FULL), 0.2)
    ratio = ratios(Overcommit().propose(given, policy))["h1"]
    dice = np.random.default_rng(5)
    sold = int(ratio * 32)
    use = np.minimum(0.2 * dice.gamma(4.0, 0.25, (sold, 20_000)), 1.0).sum(axis=0)
    assert (use > 0.9 * 32).mean() <= policy.risk
    more = np.minimum(0.2 * dice.gamma(4.0, 0.25, (int(1.15 * sold), 20_000)), 1.0).sum(axis=0)
    assert (more > 0.9 * 32).mean() > policy.risk


def test_what_all_do_at_one_time_lowers_the_ratio() -> None:
    policy = OvercommitPolicy()
    dice, count = np.random.default_rng(3), 256
    own = dice.gamma(4.0, 0.05, (count, SAMPLES))
    common = own[:1] * np.ones((count, 1))
    host = np.repeat(np.arange(8, dtype=np.int32), 32)
    members = np.ones(8, dtype=np.bool_)

    def ratio(samples: np.ndarray) -> float:
        uses = Uses(np.ones(count), samples.astype(np.float32), host, np.full(8, 32.0))
        found = odds(uses, members, policy)
        assert found is not None
        return found.safe_ratio(policy, 100.0)

    assert ratio(common) < 0.7 * ratio(own)


def test_too_little_seen_raises_nothing() -> None:
    found = proposed(lived(pool(FULL), 0.1), least_samples=SAMPLES + 1)
    assert found.actions == ()
    assert any("seen long enough" in each.text for each in found.findings)


def test_what_is_too_risky_is_lowered_to_what_is_sold() -> None:
    given = selling(lived(pool(FULL), 0.8), 3.0)
    found = proposed(given)
    assert set(ratios(found)) == {"h1", "h2", "h3", "h4"}
    assert all(1.0 <= ratio <= 1.11 for ratio in ratios(found).values())
    assert found.rejections == ()


def test_what_is_reserved_stays_sold() -> None:
    roomy = pool("2 hosts x 256GiB 96c; 192 vms x 1GiB 1c spread")
    capacity = roomy.hosts.capacity.copy()
    capacity[:, :, CPU] //= 3
    tight = replace(roomy, hosts=replace(roomy.hosts, capacity=frozen(capacity)))
    found = proposed(selling(lived(tight, 0.6), 4.0))
    assert all(ratio == pytest.approx(3.0, abs=0.001) for ratio in ratios(found).values())
    assert {each.subject for each in found.rejections} == {"host/h1", "host/h2"}
    assert all("hotspot or defrag" in each.fix for each in found.rejections)


def test_cpus_of_ones_own_are_never_sold_twice() -> None:
    given = lived(pool(FULL), 0.1)
    shapes = tuple(replace(shape, dedicated=True) for shape in given.shapes)
    assert proposed(replace(given, shapes=shapes)).actions == ()
    lowered = proposed(selling(replace(given, shapes=shapes), 2.0))
    assert all(ratio == pytest.approx(1.0, abs=0.001) for ratio in ratios(lowered).values())


def test_plain_hosts_sell_what_they_have() -> None:
    spec = pool(FULL.replace("32c;", "32c +plain;"))
    assert proposed(lived(spec, 0.1), plain_traits=["plain"]).actions == ()


def test_memory_follows_its_own_use() -> None:
    half = lived(pool("4 hosts x 64GiB 32c; 128 vms x 2GiB 1c spread"), 0.9, memory=0.4)
    found = proposed(half)
    assert {each.memory_ratio for each in found.actions if isinstance(each, Allot)} == {1.5}
    assert found.gain["sellable_memory_mib"] == 4 * 32 * 1024


def test_the_report_tells_what_is_possible_and_whether_the_promise_is_kept() -> None:
    given = lived(pool(FULL), 0.1)
    wait = np.zeros(128, dtype=np.float32)
    wait[3] = 0.5
    seen = replace(given, instances=replace(given.instances, cpu_wait=frozen(wait)))
    report = Overcommit().report(seen, OvercommitPolicy())
    assert report.figures["cpu_ratio"] == 1.0
    assert report.figures["sellable_possible_cpus"] > 4 * 128
    assert report.figures["late_share"] == pytest.approx(1 / 128)
    assert report.findings[0].subject == f"instance/{seen.instances.id[3]}"
    risks = report.pictures[1].series[0].values
    assert list(risks) == sorted(risks)
