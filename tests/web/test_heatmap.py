# SPDX-License-Identifier: Apache-2.0
"""The map's columns say what the pool says, in the places where the layout puts them."""

from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billow.model.host import Host, Node
from billow.model.kinds import Health, Power
from billow.model.listing import figures
from billow.model.listing.figures import Mark
from billow.model.pool import Pool
from billow.plan.draft import Draft
from billow.testing.pools import pool
from billow.web import heatmap
from billow.web.heatmap import FULLEST, NOT_SEEN, Layout
from billow.web.scene import KEPT, Scenes, difference, document

NODE = (Node(8_000, 32_768),)


def test_hosts_stand_by_zone_rack_and_natural_name() -> None:
    hosts = [
        Host("h10", NODE, zone="z2", rack="r1"),
        Host("h9", NODE, zone="z2", rack="r1"),
        Host("a", NODE, zone="z10", rack="r2"),
        Host("b", NODE, zone="z2", rack="r10"),
        Host("c", NODE, zone="z2", rack="r9"),
        Host("d", NODE),
    ]
    seen = Pool.build(hosts)
    layout = Layout.of(seen.hosts)
    assert [seen.hosts.id[row] for row in layout.order] == ["d", "h9", "h10", "c", "b", "a"]
    racks = list(zip(layout.zones, layout.racks, layout.counts, strict=True))
    assert racks == [
        ("", "", 1), ("z2", "r1", 2), ("z2", "r9", 1), ("z2", "r10", 1), ("z10", "r2", 1),
    ]  # fmt: skip


def test_an_empty_pool_has_an_empty_map() -> None:
    scene = Scenes().of(Pool.build([]))
    assert document(scene)["names"] == ""
    assert scene.picture.layout.counts == ()
    assert np.isnan(scene.totals.cpu_used)


def test_the_worst_state_is_the_mark() -> None:
    hosts = [
        Host("a", NODE),
        Host("b", NODE, cordon="fan"),
        Host("c", NODE, cordon="fan", health=Health.SUSPECT),
        Host("d", NODE, power=Power.OFF, health=Health.FAILED),
        Host("e", NODE, power=Power.OFF, cordon="fan"),
        Host("f", NODE, power=Power.UNKNOWN),
    ]
    wanted = [Mark.OK, Mark.CORDONED, Mark.SUSPECT, Mark.FAILED, Mark.OFF, Mark.UNKNOWN]
    assert figures.marks(Pool.build(hosts).hosts).tolist() == wanted


def test_shares_are_those_of_the_pool() -> None:
    seen = pool("2 hosts x 32GiB 8c; 3 vms x 8GiB 1c on=h1")
    used = Pool.build([replace(seen.host("h1"), cpu_used_milli=2000.0), seen.host("h2")])
    assert figures.cpu_reserved(seen).tolist() == [3 / 8, 0.0]
    assert figures.memory_reserved(seen).tolist() == [24 / 32, 0.0]
    assert figures.cpu_used(used)[0] == 0.25
    assert heatmap.steps(figures.cpu_used(used)).tolist() == [50, NOT_SEEN]
    assert figures.instance_counts(seen).tolist() == [3, 0]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=50))
def test_steps_never_lie_about_what_was_not_seen(shares: list[float]) -> None:
    steps = heatmap.steps(np.array(shares, dtype=np.float64))
    for share, step in zip(shares, steps.tolist(), strict=True):
        if np.isnan(share):
            assert step == NOT_SEEN
        else:
            assert step == min(max(round(min(max(share, -9.0), 9.0) * 200), 0), FULLEST)


def test_what_a_plan_predicts_is_another_column() -> None:
    seen = pool("2 hosts x 32GiB 8c; 4 vms x 4GiB 2c on=h1")
    draft = Draft(seen)
    assert draft.assign(0, 1)
    columns = heatmap.columns(seen, draft.freeze(), Layout.of(seen.hosts).order)
    assert columns["cpu_reserved"].tolist() == [200, 0]
    assert columns["cpu_predicted"].tolist() == [150, 50]


def test_a_host_that_the_prediction_does_not_know_is_not_seen() -> None:
    seen = pool("2 hosts x 32GiB 8c")
    columns = heatmap.columns(seen, pool("1 hosts x 32GiB 8c"), Layout.of(seen.hosts).order)
    assert columns["cpu_predicted"].tolist() == [0, NOT_SEEN]


def moved(seen: Pool, places: list[tuple[int, int]]) -> Pool:
    """Return a pool with instances put elsewhere, where there is room."""
    draft = Draft(seen)
    for instance, host in places:
        draft.assign(instance % len(seen.instances), host % len(seen.hosts))
    return draft.freeze()


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=12))
def test_a_difference_leads_from_one_picture_to_the_next(places: list[tuple[int, int]]) -> None:
    first = pool("7 hosts x 64GiB 16c; 30 vms x 4GiB 1c spread")
    scenes = Scenes()
    old = scenes.of(first).picture
    new = scenes.of(moved(first, places)).picture
    delta = difference(old, new)
    assert delta is not None
    at = np.frombuffer(b64decode(str(delta["places"])), dtype="<u4")
    sent = delta["columns"]
    assert isinstance(sent, dict)
    for name, column in old.columns.items():
        patched = column.copy()
        patched[at] = np.frombuffer(b64decode(sent[name]), dtype=column.dtype.newbyteorder("<"))
        assert patched.tolist() == new.columns[name].tolist(), name


def test_another_set_of_hosts_is_another_map() -> None:
    scenes = Scenes()
    old = scenes.of(pool("2 hosts x 32GiB 8c")).picture
    assert difference(old, scenes.of(pool("3 hosts x 32GiB 8c")).picture) is None


def test_old_pictures_are_kept_for_a_while_and_old_pools_are_not() -> None:
    scenes = Scenes()
    pictures = [scenes.of(moved(pool("2 hosts x 32GiB 8c; 1 vm x 1GiB 1c spread"), [])).picture
                for _ in range(KEPT + 3)]  # fmt: skip
    assert scenes.recall(pictures[0].version) is None
    assert scenes.recall(pictures[-1].version) is pictures[-1]
    assert not any(isinstance(value, Pool) for value in vars(pictures[-1]).values())
    assert len({picture.version for picture in pictures}) == KEPT + 3


@pytest.mark.parametrize("hosts", [1, 30])
def test_residents_are_found_by_host(hosts: int) -> None:
    seen = pool(
        f"{hosts} hosts x 64GiB 16c; {hosts * 3} vms x 1GiB 1c spread; late: 2 vms x 1GiB 1c"
    )
    scene = Scenes().of(seen)
    for row, name in enumerate(seen.hosts.id):
        mine = [each.id for each in seen.instance_views() if each.host == name]
        assert [seen.instances.id[each] for each in scene.on_host(row)] == mine
    assert scene.waiting == 2
