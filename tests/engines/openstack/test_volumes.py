# SPDX-License-Identifier: Apache-2.0
"""Volumes of a recorded Cinder: what is asked and when, whom they hold, what is told of them."""

from dataclasses import replace
from typing import Any

import pytest
from tests.engines.openstack.cinder import FAR_AWAY, volume
from tests.engines.openstack.replay import Replay, cloud_of
from tests.engines.openstack.test_sight import Watch, gaps
from tests.engines.openstack.test_translate import land, server

from billow.engines.openstack.answers import Storage, StorageService
from billow.engines.openstack.decode import storage_pool_of, volume_of
from billow.engines.openstack.rules import Cloudscape, blockers
from billow.engines.openstack.sight import SELDOM_S, Sight
from billow.engines.openstack.translate import view_of
from billow.engines.openstack.volumes import TAKES_MORE, held
from billow.model.action import Migrate, Resize
from billow.model.ha.incident import Fate
from billow.model.kinds import State
from billow.model.pool import Pool
from billow.model.shape import Shape
from billow.plan.ha.recovery import victims_of

pytestmark = pytest.mark.anyio
LISTING = "/volumes/detail"
BACKEND = FAR_AWAY.partition("#")[0]


@pytest.fixture
def replay() -> Replay:
    replay = Replay()
    replay.have_volumes()
    return replay


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def sight(replay: Replay, watch: Watch) -> Sight:
    return Sight(cloud_of(replay), watch)


def asked(replay: Replay) -> list[str]:
    """Return what Cinder was asked since the last time."""
    found = [each.path for each in replay.sent if each.service == "block-storage"]
    replay.sent.clear()
    return [each.partition("?")[0] for each in found]


def facts(pool: Pool) -> dict[str, str]:
    found = (each for each in pool.facts if each.subject.startswith("storage"))
    return {f"{each.subject} {each.key}": each.value for each in found}


async def test_a_recorded_cinder_holds_whom_it_must(sight: Sight) -> None:
    pool = await sight.look()
    assert pool.instance("sense-apart1").immovable == (
        "for now: its volume upkeep is maintenance: Cinder attaches it to no other host"
    )
    assert pool.instance("sense-pinned").immovable == (
        "for now: its volume moves is being moved to another pool (migrating)"
    )
    assert pool.instance("sense-stopped").immovable == ""
    assert "volume" not in gaps(pool)


async def test_pools_and_volumes_are_told(sight: Sight) -> None:
    told = facts(await sight.look())
    assert (told["storage volumes"], told["storage volumes_gib"]) == ("4", "100")
    assert told["storage attached"] == "3"
    assert told["storage/lab@pools#fast total_gib"] == "1000"
    sizes = {f"storage/lab@pools#{name} provisioned_gib" for name in ("fast", "slow")}
    assert sum(float(told[each]) for each in sizes) == 100


async def test_volumes_are_read_seldom(sight: Sight, replay: Replay, watch: Watch) -> None:
    first = await sight.look()
    assert sorted(asked(replay)) == ["/os-services", "/scheduler-stats/get_pools", LISTING]
    watch.seconds += 5
    assert facts(await sight.look()) == facts(first)
    assert asked(replay) == []
    watch.seconds += SELDOM_S
    await sight.look()
    assert LISTING in asked(replay)


async def test_a_cinder_without_volumes_costs_one_call(sight: Sight, replay: Replay) -> None:
    replay.say(LISTING, {"volumes": []})
    pool = await sight.look()
    assert asked(replay) == [LISTING]
    assert facts(pool) == {}
    assert "volume" not in gaps(pool)


async def test_a_cloud_without_cinder_is_asked_nothing(sight: Sight, replay: Replay) -> None:
    del replay.spoken["block-storage"]
    pool = await sight.look()
    assert asked(replay) == []
    assert "volume" not in gaps(pool)


async def test_a_cinder_that_lets_nobody_see_is_a_gap(
    sight: Sight, replay: Replay, watch: Watch
) -> None:
    replay.say(LISTING, {"forbidden": {"message": "Policy doesn't allow it"}}, 403)
    pool = await sight.look()
    assert "volumes: block-storage of recorded answered 403" in gaps(pool)
    assert len(pool.instances) == 10
    watch.seconds += 5
    assert "volumes: block-storage" in gaps(await sight.look())
    del replay.instead[LISTING]
    watch.seconds += SELDOM_S
    assert "volumes" not in gaps(await sight.look())


async def test_who_is_shown_one_project_only_is_told_so(sight: Sight, replay: Replay) -> None:
    rows = [{"id": "v", "name": "own", "status": "in-use", "attachments": []}]
    replay.say(LISTING, {"volumes": rows})
    assert "the volumes of one project only" in gaps(await sight.look())


async def test_volumes_come_page_by_page(sight: Sight, replay: Replay) -> None:
    key = "GET block-storage /volumes/detail?all_tenants=1&limit=1000"
    rows = replay.told[key]["body"]["volumes"]
    link = {"rel": "next", "href": "http://elsewhere/v3/volumes/detail?marker=m"}
    replay.told[key]["body"] = {"volumes": rows[:3], "volumes_links": [link]}
    replay.say(f"{LISTING}?marker=m", {"volumes": rows[3:]})
    assert facts(await sight.look())["storage volumes"] == "4"


def test_only_resting_volumes_let_their_servers_go() -> None:
    def why(status: str = "in-use", **more: Any) -> str:  # noqa: ANN401
        row = volume("data", ("u1", "h1"), status=status, **more)
        storage = Storage(volumes=(volume_of(row),))
        return held(land(server(), storage=storage)).get("u1", "")

    assert [status for status in TAKES_MORE if why(status)] == []
    for status in ("attaching", "detaching", "extending", "retyping", "backing-up", "error"):
        assert f"is {status}" in why(status)
    assert why(migration_status="success") == why(migration_status="error") == ""
    assert "moved to another pool" in why(migration_status="starting")


def test_a_volume_that_nova_alone_has_attached_holds_its_server_too() -> None:
    row = volume_of(volume("data", status="detaching"))
    mine = server(volumes=frozenset({row.uuid}))
    pool = view_of(land(mine, server("u2"), storage=Storage(volumes=(row,)))).pool
    assert "its volume data is detaching" in pool.instance("u1").immovable
    assert pool.instance("u2").immovable == ""


def test_a_volume_keeps_nobody_from_leaving_a_dead_host() -> None:
    """Its evacuation is tried: that it was held when its host died must not be its end."""
    row = volume_of(volume("data", ("u1", "h1"), status="backing-up"))
    seen = land(server(), storage=Storage(volumes=(row,)), shared_storage=True)
    pool = view_of(seen).pool
    assert not pool.instance("u1").migratable
    assert [each.fate for each in victims_of(pool, "h1")] == [Fate.WAITING]


@pytest.mark.parametrize(
    ("up", "cluster", "holds"),
    [((True,), "", False), ((False,), "", True), ((False, True), "c", False),
     ((False, False), "c", True)],
)  # fmt: skip
def test_a_volume_that_nobody_serves_holds_its_server(
    up: tuple[bool, ...], cluster: str, *, holds: bool
) -> None:
    hosts = (BACKEND, "cinder-2@ceph")
    services = tuple(
        StorageService(binary="cinder-volume", host=host, cluster=cluster, up=each)
        for host, each in zip(hosts, up, strict=False)
    )
    row = volume("data", ("u1", "h1"), cluster_name=f"{cluster}#ssd" if cluster else None)
    seen = land(server(), storage=Storage(volumes=(volume_of(row),), services=services))
    assert ("nobody serves" in held(seen).get("u1", "")) is holds
    assert ("storage/cinder-1@ceph cinder-volume" in facts(view_of(seen).pool)) is not all(up)


def test_a_stopped_server_that_is_held_is_not_moved_or_resized() -> None:
    """Nova would put it into error: `_terminate_volume_connections` is refused by Cinder."""
    row = volume("data", ("u1", "h1"), status="maintenance")
    stopped = replace(server(), vm_state="stopped", status="SHUTOFF", power_state=4)
    seen = land(stopped, storage=Storage(volumes=(volume_of(row),)))
    view = view_of(seen)
    assert view.pool.instance("u1").state is State.STOPPED
    cloudscape = Cloudscape(view.pool, seen.servers, view.flavors, {}, view.held)
    large = Shape("m2", 8000, 16384)
    for action in (
        Migrate(id="a", instance="u1", source="h1", target="h2"),
        Resize(id="b", instance="u1", host="h1", old=view.pool.instance("u1").shape, new=large),
    ):
        reasons = [each.reason for each in blockers(cloudscape, action, ())]
        assert any("its volume data is maintenance" in each for each in reasons)


def test_a_server_with_volumes_of_which_cinder_shows_none_is_a_gap() -> None:
    seen = land(server(volumes=frozenset({"v1", "v2"})))
    assert "Nova has 2 attached, and Cinder shows this user none" in gaps(view_of(seen).pool)
    denied = land(server(volumes=frozenset({"v1"})), unseen={"volumes": "a role"})
    assert gaps(view_of(denied).pool).count("volumes") == 1


def test_pools_without_end_or_without_a_word() -> None:
    room = {"total_capacity_gb": "infinite", "free_capacity_gb": "unknown"}
    pool = storage_pool_of({"name": "p", "capabilities": room})
    seen = land(storage=Storage(volumes=(volume_of(volume("v")),), pools=(pool,)))
    told = facts(view_of(seen).pool)
    assert told["storage/p total_gib"] == "inf"
    assert "storage/p free_gib" not in told
