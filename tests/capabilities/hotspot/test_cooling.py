# SPDX-License-Identifier: Apache-2.0
"""What hotspot does with a hot host: few moves, the right ones, and none for what passes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from billow.capabilities.hotspot import Hotspot, HotspotPolicy
from billow.capabilities.hotspot.solve import Cooler
from billow.model.action import Migrate
from billow.model.column import AnyArray, frozen
from billow.model.history import History
from billow.model.kinds import Service, code_of
from billow.model.plan import Proposal
from billow.model.pool import Pool
from billow.model.resources import CPU
from billow.testing.pools import pool
from tests.capabilities.used_pools import used_pools

NOW = 1_700_000_000.0
STEP_S = 300.0


def lived(spec: Pool, use: dict[str, list[float]], **columns: AnyArray) -> Pool:
    """Return a pool of which each instance has used so many CPUs, oldest first.

    What the specification gives its hosts is what they sell: each CPU three times.
    """
    length = max(map(len, use.values()))
    samples = np.full((len(spec.instances), length), np.nan, dtype=np.float32)
    for row, name in enumerate(spec.instances.id):
        samples[row] = 1000 * np.array(use[name])
    given: dict[str, Any] = {key: frozen(np.array(value)) for key, value in columns.items()}
    instances = replace(spec.instances, cpu_used=frozen(samples[:, -1].copy()), **given)
    count = len(spec.instances)
    past = History(
        STEP_S,
        NOW,
        spec.instances.id,
        samples,
        np.full_like(samples, np.nan),
        np.full(count, NOW - 86_400),
        np.full(count, NOW - 86_400),
    )
    capacity = spec.hosts.capacity.copy()
    capacity[:, :, CPU] //= 3
    ratio = np.full(len(spec.hosts), 3.0)
    hosts = replace(spec.hosts, capacity=frozen(capacity), cpu_ratio=frozen(ratio))
    return replace(spec, hosts=hosts, instances=instances, history=past, taken_at=NOW)


def steady(*cpus: float) -> list[list[float]]:
    """Return samples about these values, a little apart from each other."""
    return [[cpu * (1 + 0.02 * (-1) ** step) for step in range(48)] for cpu in cpus]


def named(*samples: list[float]) -> dict[str, list[float]]:
    return {f"vm{number}": each for number, each in enumerate(samples, start=1)}


def proposed(given: Pool, **knobs: float) -> Proposal:
    return Hotspot().propose(given, HotspotPolicy.model_validate(knobs))


def moved(proposal: Proposal) -> list[tuple[str, str, str]]:
    assert all(isinstance(each, Migrate) for each in proposal.actions)
    return [
        (each.instance, each.source, each.target)
        for each in proposal.actions
        if isinstance(each, Migrate)
    ]


THREE = "2 hosts x 64GiB 24c; 3 vms x 4GiB 4c on=h1"


def test_one_move_cools_a_host_that_is_always_hot() -> None:
    found = proposed(lived(pool(THREE), named(*steady(3.5, 2.5, 2.0))))
    assert len(found.actions) == 1
    assert moved(found)[0][1:] == ("h1", "h2")
    assert any(each.subject == "host/h1" and "hot" in each.text for each in found.findings)
    assert "hot" in found.actions[0].reason
    assert found.gain["hosts_still_hot"] == 0


def test_a_cool_host_is_left_alone() -> None:
    found = proposed(lived(pool(THREE), named(*steady(2.0, 1.0, 1.0))))
    assert found.actions == ()
    assert found.findings == ()


def test_what_passes_is_told_and_not_acted_on() -> None:
    calm = [0.5 + 0.2 * (-1) ** (step // 1) for step in range(96)]
    found = proposed(
        lived(pool(THREE), named(calm, calm, [*calm[:-1], 7.2])), risk_act=0.3, risk_hot=0.4
    )
    assert found.actions == ()
    assert any("passes" in each.text for each in found.findings)


def test_batch_moves_before_who_is_waited_for() -> None:
    batch, latency = code_of(Service.BATCH), code_of(Service.LATENCY)
    use = named(*steady(2.6, 2.6, 2.6))
    for chosen in range(3):
        service = [batch if row == chosen else latency for row in range(3)]
        given = lived(pool(THREE), use, service=np.array(service, dtype=np.uint8))
        assert [each[0] for each in moved(proposed(given))] == [f"vm{chosen + 1}"]


def test_lower_priority_moves_first() -> None:
    given = lived(
        pool(THREE), named(*steady(2.6, 2.6, 2.6)), priority=np.array([5, 1, 9], dtype=np.int32)
    )
    assert [each[0] for each in moved(proposed(given))] == ["vm2"]


def test_the_cheaper_of_two_that_are_enough_moves() -> None:
    given = lived(
        pool(THREE),
        named(*steady(2.6, 2.6, 2.6)),
        dirty=np.array([900.0, 0.0, 900.0], dtype=np.float32),
    )
    assert [each[0] for each in moved(proposed(given))] == ["vm2"]


def test_who_peaks_at_another_time_is_welcome() -> None:
    """Two hosts are equally full on average; only one of them peaks when the mover does not."""
    day = [3.6 if step % 8 < 4 else 0.4 for step in range(96)]
    night = [4.0 - cpu for cpu in day]
    spec = pool(
        "3 hosts x 64GiB 24c; 3 vms x 4GiB 4c on=h1; d: 1 vms x 4GiB 4c on=h2; "
        "n: 1 vms x 4GiB 4c on=h3"
    )
    use = {**named(day, day, day), "d1": day, "n1": night}
    found = proposed(lived(spec, use), horizon_samples=48)
    assert found.actions
    assert moved(found)[0][1:] == ("h1", "h3")


def test_who_was_just_moved_stays() -> None:
    given = lived(pool(THREE), named(*steady(3.5, 2.5, 2.0)))
    assert given.history is not None
    settled = np.array([NOW - 60, NOW - 60, NOW - 60])
    fresh = replace(given, history=replace(given.history, settled=settled))
    found = proposed(fresh, moves_per_host_day=100)
    assert found.actions == ()
    assert "none of which may move now" in found.rejections[0].causes[0]
    later = proposed(fresh, moves_per_host_day=100, cool_down_s=30)
    assert len(later.actions) == 1


def test_a_day_has_so_many_moves() -> None:
    given = lived(pool(THREE), named(*steady(3.5, 2.5, 2.0)))
    found = proposed(given, moves_per_host_day=0)
    assert found.actions == ()
    assert "used up" in found.rejections[0].causes[0]
    assert "moves_per_host_day" in found.rejections[0].fix


def test_without_a_way_out_it_says_so() -> None:
    spec = pool("1 host x 64GiB 24c; 3 vms x 4GiB 4c on=h1")
    found = proposed(lived(spec, named(*steady(3.5, 2.5, 2.0))))
    assert found.actions == ()
    assert found.rejections[0].subject == "host/h1"
    assert found.rejections[0].fix


def test_no_target_gets_hot() -> None:
    spec = pool("2 hosts x 64GiB 24c; 3 vms x 4GiB 4c on=h1; vm-b: 2 vms x 4GiB 4c on=h2")
    use = {
        **named(*steady(3.5, 2.5, 2.0)),
        **dict(zip(("vm-b1", "vm-b2"), steady(3.4, 3.4), strict=True)),
    }
    assert proposed(lived(spec, use)).actions == ()


def test_memory_is_cooled_too() -> None:
    spec = pool("2 hosts x 16GiB 24c; 4 vms x 4GiB 1c on=h1")
    given = lived(spec, named(*steady(0.1, 0.1, 0.1, 0.1)))
    held = np.full(4, 3900.0, dtype=np.float32)
    full = replace(given.instances, memory_used=frozen(held))
    assert given.history is not None
    past = replace(given.history, memory=np.repeat(held[:, None], 48, axis=1))
    found = proposed(replace(given, instances=full, history=past))
    assert len(found.actions) == 1
    assert "memory" in found.actions[0].reason


def test_a_noisy_neighbour_is_named_with_who_waits() -> None:
    given = lived(
        pool(THREE), named(*steady(3.9, 1.5, 1.5)), cpu_wait=np.array([0, 0.4, 0], np.float32)
    )
    noisy = [each for each in proposed(given).findings if each.subject == "instance/vm1"]
    assert len(noisy) == 1
    assert "vm2 (40%)" in noisy[0].text


def test_a_pool_without_a_past_goes_by_what_is_seen_now() -> None:
    given = replace(lived(pool(THREE), named(*steady(3.5, 2.5, 2.0))), history=None)
    assert len(proposed(given).actions) == 1


def test_nothing_seen_means_nothing_done() -> None:
    assert proposed(pool(THREE)).actions == ()


def test_nothing_is_shuffled_where_every_host_is_crowded() -> None:
    """Both hosts are as full as can be: a move would only change which of them is short."""
    spec = pool("2 hosts x 64GiB 24c; 3 vms x 4GiB 4c on=h1; b: 3 vms x 4GiB 4c on=h2")
    one = [2.6 + 0.6 * (-1) ** (step // 3) for step in range(96)]
    found = proposed(
        lived(spec, {f"{name}{number}": one for name in ("vm", "b") for number in (1, 2, 3)}),
        risk_hot=0.49,
    )
    assert found.actions == ()
    assert found.gain["hosts_still_hot"] == 2


def test_a_move_must_be_worth_it() -> None:
    given = lived(pool(THREE), named(*steady(3.5, 2.5, 2.0)))
    assert proposed(given, worth_samples=1e5).actions == ()
    assert len(proposed(given, worth_samples=10).actions) == 1


def test_one_who_jumps_makes_a_host_riskier_than_one_who_sways_as_much() -> None:
    spec = pool("2 hosts x 64GiB 24c; vm: 4 vms x 4GiB 4c on=h1; b: 4 vms x 4GiB 4c on=h2")
    jump = [[3.0 if step % 24 == turn else 0.5 for step in range(96)] for turn in (3, 9, 15, 21)]
    level, deviation = float(np.mean(jump)), float(np.std(jump[0]))
    sway = [
        [level + deviation * (-1) ** (step // 2**turn) for step in range(96)] for turn in range(4)
    ]
    use = {f"vm{row + 1}": jump[row] for row in range(4)}
    use |= {f"b{row + 1}": sway[row] for row in range(4)}
    given = lived(spec, use)
    cooler = Cooler(given, HotspotPolicy())
    assert cooler.cpu.lean[0] > 3 * abs(cooler.cpu.lean[1])
    assert cooler.cpu.depth[0] < cooler.cpu.depth[1]


@given(used_pools())
def test_the_sums_are_kept_move_by_move(given: Pool) -> None:
    cooler = Cooler(given, HotspotPolicy())
    moves = cooler.run().moves
    fresh = replace(given.instances, host=given.instances.host.copy())
    for move in moves:
        fresh.host[move.instance] = move.target
    again = Cooler(replace(given, instances=fresh), HotspotPolicy())
    assert cooler.cpu.depth == pytest.approx(again.cpu.depth, rel=1e-4, abs=1e-4)
    assert cooler.memory.forecast == pytest.approx(again.memory.forecast, rel=1e-6, abs=1e-3)


def test_the_report_shows_what_the_plan_changes() -> None:
    given = lived(pool(THREE), named(*steady(3.5, 2.5, 2.0)))
    report = Hotspot().report(given, HotspotPolicy())
    assert report.figures["acting_hosts"] == 1
    assert report.grids[0].rows[0][0] == "h1"
    assert report.figures["overload_share"] > 0
    cooler = Cooler(given, HotspotPolicy())
    fresh = replace(given.instances, host=given.instances.host.copy())
    for move in cooler.run().moves:
        fresh.host[move.instance] = move.target
    after = Hotspot().report(replace(given, instances=fresh), HotspotPolicy())
    assert after.figures["acting_hosts"] == 0
    assert after.figures["risk_share"] < report.figures["risk_share"]
    assert after.figures["overload_share"] == 0
