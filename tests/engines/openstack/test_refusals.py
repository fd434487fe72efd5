# SPDX-License-Identifier: Apache-2.0
"""What the engine does not do, and how it says so."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.openstack.double import Double
from tests.engines.openstack.faults import Faulty, Mishap
from tests.engines.openstack.world import DoubleStand

from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.open import engine_of
from billow.errors import Refused
from billow.model.action import Cordon, Delete, Migrate, Place, Resize
from billow.testing.stand import digest, do, homes, migrate, place

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]


@pytest.fixture
def stand(tmp_path: Path) -> DoubleStand:
    return DoubleStand(tmp_path, Double())


async def test_a_cloud_is_only_looked_at_by_default(stand: DoubleStand) -> None:
    stand.settings = stand.settings.model_copy(update={"allow_changes": False})
    engine = await stand.open()
    before = await digest(engine)
    for action in (place(stand, "x"), Cordon(id="c", host=stand.first)):
        with pytest.raises(Refused, match="only looks at this cloud") as refusal:
            await do(engine, action)
        assert "--allow-changes" in refusal.value.fix
    assert await digest(engine) == before
    assert all(each.method == "GET" for each in stand.double.sent)
    await engine.aclose()


async def test_a_role_that_may_not_is_told_so(stand: DoubleStand) -> None:
    forbidden = Faulty(stand.double, Mishap(403, times=100), 1, changes=True)
    cloud = Cloud(forbidden, calls_at_once=4, calls_per_s=10_000)
    engine = engine_of(cloud, stand.settings, stand.clock)
    for action in (place(stand, "x"), Cordon(id="c", host=stand.first)):
        with pytest.raises(Refused, match="the cloud does not allow it") as refusal:
            await do(engine, action)
        assert "role" in refusal.value.fix
    assert homes(await engine.sense()) == {}
    await engine.aclose()


async def test_what_others_made_is_moved_but_not_deleted(stand: DoubleStand) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    (server,) = stand.double.cloud.servers.values()
    server.metadata = {}
    again = await stand.open()
    await do(again, migrate(stand, "x"))
    with pytest.raises(Refused, match="not made by Billow") as refusal:
        await do(again, Delete(id="delete-x", instance="x", host=stand.second))
    assert server.id in refusal.value.fix
    await engine.aclose()
    await again.aclose()


async def test_what_nova_is_at_work_on_is_left_alone(stand: DoubleStand) -> None:
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    (server,) = stand.double.cloud.servers.values()
    server.task = "image_snapshot"
    server.updated += 60
    again = await stand.open()
    reasons = [each.reason for each in await again.blockers(migrate(stand, "x"))]
    assert any("image_snapshot" in reason for reason in reasons)
    await engine.aclose()
    await again.aclose()


async def test_a_shape_must_be_a_flavor_of_the_cloud(stand: DoubleStand) -> None:
    engine = await stand.open()
    odd = replace(stand.instance("x"), shape=replace(stand.small, name="odd"))
    other = replace(stand.instance("x"), shape=replace(stand.small, memory_mib=7))
    for number, wanted in enumerate((odd, other)):
        action = Place(id=f"p{number}", instance=wanted, host=stand.first)
        assert any("flavor" in each.reason for each in await engine.blockers(action))
    await engine.aclose()


async def test_a_resize_that_nova_puts_elsewhere_comes_home(stand: DoubleStand) -> None:
    """Nova chooses the host of a resize; the plan had it stay."""
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    small, large = stand.small, stand.larger()
    await do(engine, Resize(id="r", instance="x", host=stand.first, old=small, new=large))
    pool = await engine.sense()
    assert homes(pool) == {"x": stand.first}
    assert pool.instance("x").shape == large
    kinds = [each.kind for each in stand.double.cloud.records]
    assert kinds == ["resize", "live-migration"]
    await engine.aclose()


async def test_a_failed_move_says_why_in_plain_words(
    stand: DoubleStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler judges anew: what a look a moment before could not show is told by Nova."""
    engine = await stand.open()
    await do(engine, place(stand, "x"))
    assert not await engine.blockers(migrate(stand, "x"))
    monkeypatch.setattr(stand.double.cloud, "bar", lambda _host, _flavor: "a filter")
    moving = Migrate(id="m", instance="x", source=stand.first, target=stand.second)
    with pytest.raises(Refused, match="scheduler let no host through"):
        await do(engine, moving)
    assert homes(await engine.sense()) == {"x": stand.first}
    await engine.aclose()
