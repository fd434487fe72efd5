# SPDX-License-Identifier: Apache-2.0
"""A look at a recorded cloud: what it becomes, what an increment asks, what goes wrong."""

import json

import pytest
from tests.engines.openstack.replay import Replay, cloud_of

from billow.engines.openstack import cloud as cloud_module
from billow.engines.openstack.sight import SELDOM_S, WHOLE_AGAIN_S, Sight
from billow.engines.openstack.transport import Versions
from billow.errors import Denied, Unavailable
from billow.model.kinds import Health, Power, Rule, State, Storage
from billow.model.pool import Pool

pytestmark = pytest.mark.anyio


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_module, "WAITS_S", (0.0, 0.0, 0.0))


@pytest.fixture
def replay() -> Replay:
    return Replay()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def sight(replay: Replay, watch: Watch) -> Sight:
    return Sight(cloud_of(replay), watch)


def gaps(pool: Pool) -> str:
    return "\n".join(f"{each.subject}: {each.why}" for each in pool.gaps)


async def test_hosts_are_what_placement_hands_out(sight: Sight) -> None:
    pool = await sight.look()
    assert pool.hosts.id == tuple(f"node00{n}" for n in range(1, 7))
    plain = pool.host("node001")
    assert (plain.cpu_milli, plain.memory_mib) == (64_000, 262_144 - 512)
    assert (plain.cpu_ratio, plain.memory_ratio, plain.zone) == (4.0, 1.0, "nova")
    assert (plain.power, plain.health, plain.cordon) == (Power.ON, Health.OK, "")


async def test_a_host_with_everything(sight: Sight) -> None:
    """NUMA nodes, CPUs for pinning beside shared ones, huge pages, virtual GPUs below it."""
    pool = await sight.look()
    host = pool.host("node004")
    assert len(host.nodes) == 2
    assert host.cpu_milli == 64_000
    assert host.cpu_ratio == pytest.approx((32 * 4 + 32) / 64)
    assert sum(node.huge_mib for node in host.nodes) == 32_768  # its aggregate says so
    assert sum(node.gpus for node in host.nodes) == 4
    assert (host.gpu_model, host.rack) == ("VGPU", "r7")
    assert {"PCPU", "VGPU", "CUSTOM_SSD", "HW_CPU_X86_AVX512F"} <= host.traits
    assert "even" in gaps(pool)


async def test_servers_are_bound_as_nova_bound_them(sight: Sight) -> None:
    pool = await sight.look()
    pinned, huge = pool.instance("sense-pinned"), pool.instance("sense-huge")
    assert (pinned.shape.dedicated, pinned.shape.numa_nodes) == (True, 1)
    assert pinned.nodes == (0,)
    assert "PCPU" in pinned.shape.traits
    assert (huge.shape.huge_pages, huge.nodes) == (True, (1,))
    assert pool.instance("sense-vgpu").shape.gpus == 1
    assert pool.instance("sense-vgpu").immovable == ""


async def test_who_cannot_be_moved_and_why(sight: Sight) -> None:
    pool = await sight.look()
    assert pool.instance("sense-locked").immovable == "for now: it is locked: of the database team"
    assert "PCI device" in pool.instance("sense-gpu").immovable
    assert pool.instance("sense-plain").immovable == ""
    assert "Placement does not count PCI devices" in gaps(pool)


async def test_states_zones_disks_and_groups(sight: Sight) -> None:
    pool = await sight.look()
    assert pool.instance("sense-stopped").state is State.STOPPED
    assert pool.instance("sense-plain").state is State.RUNNING
    assert pool.instance("sense-plain").disk is Storage.OWN
    apart = pool.instance("sense-apart1")
    assert (apart.group, apart.zone, apart.image) == ("sense-apart", "", "tiny")
    group = pool.group("sense-apart")
    assert group is not None
    assert group.rule is Rule.ANTI_AFFINITY


async def test_two_servers_of_one_name(sight: Sight) -> None:
    """The older bears it, the younger its id; both can be found."""
    pool = await sight.look()
    twins = [each for each in sight.servers.values() if each.name == "sense-plain"]
    older, younger = sorted(twins, key=lambda it: (it.created, it.uuid))
    assert pool.instance("sense-plain").host == older.host
    assert pool.instance(younger.uuid).host == younger.host
    assert sight.server("sense-plain") == older.uuid
    assert sight.server("nobody") == ""


async def test_what_placement_and_nova_say_is_compared(sight: Sight, replay: Replay) -> None:
    pool = await sight.look()
    assert "Placement counts" not in gaps(pool)
    kept = [
        s
        for s in replay.told["GET compute /servers/detail?all_tenants=1&limit=1000"]["body"][
            "servers"
        ]
        if s["name"] != "sense-locked"
    ]
    replay.say("/servers/detail", {"servers": kept})
    assert "node001: Placement counts 8192 MiB more in use" in gaps(await sight.look(whole=True))


async def test_shapes_flavors_and_services_are_found_by_name(sight: Sight) -> None:
    pool = await sight.look()
    assert {"1c1g", "pinned4", "huge4", "gpu4", "vgpu2"} <= sight.flavors.keys()
    assert sight.shapes["4c8g"].memory_mib == 8192
    assert pool.shape("16c64g") is not None
    assert sight.services.keys() == set(pool.hosts.id)


async def test_an_increment_asks_four_things(sight: Sight, replay: Replay, watch: Watch) -> None:
    replay.say("changes-since", {"servers": []})
    first = await sight.look()
    whole = len(replay.paths())
    watch.seconds += 5
    second = await sight.look()
    assert sorted(replay.paths()) == [
        "/os-aggregates",
        "/os-services",
        "/resource_providers",
        "/servers/detail",
    ]
    assert second.digest == first.digest
    assert whole < 25


async def test_an_increment_sees_what_changed(sight: Sight) -> None:
    """A new server in error, one deleted, one resized: as Nova told of them."""
    before = await sight.look()
    after = await sight.look()
    assert "sense-apart2" in before.instances.row
    assert "sense-apart2" not in after.instances.row
    failed = after.instance("sense-toobig")
    assert (failed.state, failed.host) == (State.FAILED, "")
    moved = next(s for s in sight.servers.values() if s.status == "VERIFY_RESIZE")
    name = next(name for name, s in sight.servers.items() if s is moved)
    assert after.instance(name).host == moved.host == "node005"
    assert after.instance(name).shape.name == "4c8g"
    assert "resize" in after.instance(name).immovable


async def test_since_when_is_the_clouds_own_time(sight: Sight, replay: Replay) -> None:
    await sight.look()
    beats = [
        each["updated_at"]
        for each in replay.told["GET compute /os-services"]["body"]["services"]
        if each["binary"] == "nova-conductor"
    ]
    await sight.look()
    path = next(each.path for each in replay.sent if "changes-since" in each.path)
    assert path.rpartition("=")[2].replace("%3A", ":") < min(beats)
    assert path.endswith("Z")


async def test_all_is_read_anew_now_and_then(sight: Sight, replay: Replay, watch: Watch) -> None:
    await sight.look()
    replay.paths()
    watch.seconds += SELDOM_S
    await sight.look()
    assert "/flavors/detail" in replay.paths()
    watch.seconds += WHOLE_AGAIN_S
    await sight.look()
    assert not any("changes-since" in each.path for each in replay.sent)


async def test_only_what_changed_is_asked_of_placement(sight: Sight, replay: Replay) -> None:
    replay.say("changes-since", {"servers": []})
    await sight.look()
    replay.paths()
    rows = replay.told["GET placement /resource_providers"]["body"]["resource_providers"]
    rows[0]["generation"] += 1
    await sight.look()
    uuid = rows[0]["uuid"]
    assert sorted(p for p in replay.paths() if "resource_providers" in p) == [
        "/resource_providers",
        f"/resource_providers/{uuid}/inventories",
        f"/resource_providers/{uuid}/traits",
        f"/resource_providers/{uuid}/usages",
    ]
    for row in rows:
        row["generation"] += 1
    await sight.look()
    assert "/allocation_candidates" in (paths := replay.paths())
    assert not [p for p in paths if p.endswith("/inventories") and "gpu0" in p]


async def test_a_server_can_be_read_again(sight: Sight, replay: Replay) -> None:
    replay.say("changes-since", {"servers": []})
    await sight.look()
    row = replay.told["GET compute /servers/detail?all_tenants=1&limit=1000"]["body"]["servers"][0]
    replay.say(f"/servers/{row['id']}", {"server": {**row, "OS-EXT-SRV-ATTR:host": "node006"}})
    pool = await sight.look(servers_again=[row["id"]])
    name = next(name for name, s in sight.servers.items() if s.uuid == row["id"])
    assert pool.instance(name).host == "node006"


async def test_a_host_that_is_forced_down_and_disabled(sight: Sight, replay: Replay) -> None:
    replay.say("/os-services", replay.told["services forced down"]["body"])
    host = (await sight.look()).host("node004")
    assert (host.power, host.health, host.cordon) == (Power.OFF, Health.FAILED, "new disks")
    assert not host.schedulable


async def test_a_host_that_is_not_heard(sight: Sight, replay: Replay) -> None:
    body = json.loads(json.dumps(replay.told["GET compute /os-services"]["body"]))
    for each in body["services"]:
        each["state"] = "down" if each["host"] == "node002" else each["state"]
    replay.say("/os-services", body)
    host = (await sight.look()).host("node002")
    assert (host.power, host.health, host.cordon) == (Power.UNKNOWN, Health.FAILED, "")


async def test_a_host_that_is_not_mapped_yet(sight: Sight, replay: Replay) -> None:
    body = json.loads(json.dumps(replay.told["GET compute /os-services"]["body"]))
    fresh = next(s for s in body["services"] if s["host"] == "node002")
    body["services"].append({**fresh, "host": "node007"})
    replay.say("/os-services", body)
    pool = await sight.look()
    assert "node007" not in pool.hosts.id
    assert "host/node007: Nova has not mapped it" in gaps(pool)


async def test_zed_says_less(sight: Sight, replay: Replay) -> None:
    """Nova of 2022.2: no pinned zones, so each server is kept in its own; a gap says so."""
    replay.spoken["compute"] = Versions((2, 1), (2, 93))
    replay.say("/servers/detail", replay.told["servers 2.93"]["body"])
    pool = await sight.look()
    assert pool.instance("sense-apart1").zone == "nova"
    assert "before 2024.1" in gaps(pool)
    assert {r.microversion for r in replay.sent if "/servers/detail" in r.path} == {"2.93"}


async def test_without_placement_novas_own_figures_are_taken(sight: Sight, replay: Replay) -> None:
    replay.say("/resource_providers", {"errors": [{"detail": "down for work"}]}, status=503)
    pool = await sight.look()
    assert pool.host("node001").cpu_milli == 64_000
    assert pool.host("node001").cpu_ratio == 1.0
    assert "down for work" in gaps(pool)
    assert "Nova's own figures are taken" in gaps(pool)


async def test_what_was_known_of_placement_stays(sight: Sight, replay: Replay) -> None:
    first = await sight.look()
    replay.say("changes-since", {"servers": []})
    replay.say("/resource_providers", {}, status=500)
    second = await sight.look()
    assert second.host("node001") == first.host("node001")
    assert "placement" in gaps(second)
    del replay.instead["/resource_providers"]
    assert "placement:" not in gaps(await sight.look())


async def test_whoever_may_not_see_hosts_is_told(sight: Sight, replay: Replay) -> None:
    replay.say("/os-services", {"forbidden": {"message": "Policy doesn't allow it"}}, status=403)
    with pytest.raises(Denied) as caught:
        await sight.look()
    assert "admin" in caught.value.fix


async def test_without_nova_there_is_no_look(sight: Sight, replay: Replay) -> None:
    replay.say("/servers/detail", {}, status=500)
    with pytest.raises(Unavailable):
        await sight.look()
    del replay.instead["/servers/detail"]
    assert len((await sight.look()).instances) == 10


@pytest.mark.parametrize(
    ("part", "subject"),
    [
        ("/flavors/detail", "flavors"),
        ("/os-server-groups", "groups"),
        ("/os-aggregates", "aggregates"),
        ("/os-hypervisors", "hypervisors"),
        ("/images", "images"),
        ("/topology", "servers"),
    ],
)
async def test_whatever_else_is_denied_is_a_gap(
    sight: Sight, replay: Replay, part: str, subject: str
) -> None:
    replay.say(part, {"forbidden": {"message": "not for you"}}, status=403)
    pool = await sight.look()
    assert f"{subject}: " in gaps(pool)
    assert "not for you" in gaps(pool)
    assert len(pool.instances) == 10


async def test_where_numa_nodes_are_not_told_nobody_is_moved(sight: Sight, replay: Replay) -> None:
    """As libvirt tells it: how many NUMA nodes there are, but not who is where."""
    for row in replay.told["GET compute /os-hypervisors/detail?limit=1000"]["body"]["hypervisors"]:
        row["cpu_info"]["topology"]["cells"] = 2
    replay.say("/topology", {"forbidden": {"message": "not for you"}}, status=403)
    pinned = (await sight.look()).instance("sense-pinned")
    assert (pinned.shape.name, pinned.nodes) == ("pinned4~floating", ())
    assert "NUMA" in pinned.immovable


async def test_shared_disks_are_a_word_of_the_operators(replay: Replay, watch: Watch) -> None:
    sight = Sight(cloud_of(replay), watch, shared_disks=True)
    assert (await sight.look()).instance("sense-plain").disk is Storage.SHARED
