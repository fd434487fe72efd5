# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN401 (fields of records, whatever they are)
"""From records to a pool: flavors as shapes, Ironic's machines, names, and whatever may come in."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billow.engines.openstack import decode
from billow.engines.openstack.answers import (
    Aggregate,
    Flavor,
    Hypervisor,
    Inventory,
    Provider,
    Server,
    ServerGroup,
    Service,
    Summary,
    Topology,
)
from billow.engines.openstack.decode import flavor_of, group_of, hypervisor_of, node_of, server_of
from billow.engines.openstack.hosts import NOVAS_CHOICE
from billow.engines.openstack.landscape import Landscape
from billow.engines.openstack.names import Names, plain, valid
from billow.engines.openstack.shapes import Rules, Shapes
from billow.engines.openstack.translate import view_of
from billow.model.ha.incident import Fate
from billow.model.kinds import Arch, Health, Kind, Power, Rule, State, Storage
from billow.plan.ha.recovery import victims_of

FLAVOR = Flavor(name="m1", vcpus=4, memory_mib=8192, disk_gib=20, specs={})


def service(host: str = "h1", **more: Any) -> Service:
    known: dict[str, Any] = {
        "uuid": f"s-{host}",
        "binary": "nova-compute",
        "host": host,
        "zone": "az1",
        "enabled": True,
        "up": True,
        "forced_down": False,
        "reason": "",
        "beat": "2026-11-22T20:00:00",
    }
    return Service(**known | more)


def server(uuid: str = "u1", **more: Any) -> Server:
    row = {
        "id": uuid,
        "name": uuid,
        "status": "ACTIVE",
        "OS-EXT-STS:vm_state": "active",
        "OS-EXT-STS:power_state": 1,
        "OS-EXT-SRV-ATTR:host": "h1",
        "OS-EXT-SRV-ATTR:hypervisor_hostname": "h1",
        "pinned_availability_zone": None,
    }
    return replace(server_of(row), flavor=FLAVOR, **more)


def land(*servers: Server, **more: Any) -> Landscape:
    known: dict[str, Any] = {
        "services": (service("h1"), service("h2")),
        "hypervisors": tuple(
            Hypervisor(uuid=f"p-{h}", name=h, host=h, kind="QEMU", cells=1, vcpus=16)
            for h in ("h1", "h2")
        ),
        "providers": {
            f"p-{h}": Provider(uuid=f"p-{h}", name=h, generation=1, parent="", root=f"p-{h}")
            for h in ("h1", "h2")
        },
        "inventories": {
            f"p-{h}": {"VCPU": Inventory(total=16, ratio=2.0), "MEMORY_MB": Inventory(total=65536)}
            for h in ("h1", "h2")
        },
        "flavors": (replace(FLAVOR, uuid="f1"),),
        "servers": {each.uuid: each for each in servers},
        "names": {each.uuid: each.name for each in servers},
    }
    return Landscape(**known | more)


def test_two_flavors_of_one_name_are_two_shapes() -> None:
    shapes = Shapes(Rules())
    first, other = shapes.of(FLAVOR, {}), shapes.of(replace(FLAVOR, vcpus=8), {})
    assert first.name == "m1"
    assert other.name.startswith("m1~")
    assert shapes.of(replace(FLAVOR, vcpus=8), {}) is other
    again = Shapes(Rules())
    again.of(FLAVOR, {})
    assert again.of(replace(FLAVOR, vcpus=8), {}).name == other.name


def test_a_server_of_an_old_flavor_keeps_its_size() -> None:
    old = replace(server(), flavor=replace(FLAVOR, memory_mib=4096))
    view = view_of(land(old))
    assert view.pool.instance("u1").shape.memory_mib == 4096
    assert view.shapes["m1"].memory_mib == 8192
    assert view.flavors == {"m1": "f1"}


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, State.RUNNING),
        ({"power_state": 4}, State.STOPPED),
        ({"power_state": 6}, State.FAILED),
        ({"power_state": 4, "task_state": "powering-on"}, State.RUNNING),
        ({"vm_state": "stopped", "status": "SHUTOFF"}, State.STOPPED),
        ({"vm_state": "paused"}, State.PAUSED),
        ({"vm_state": "suspended"}, State.PAUSED),
        ({"vm_state": "resized", "status": "VERIFY_RESIZE"}, State.RUNNING),
        ({"vm_state": "resized", "power_state": 4}, State.STOPPED),
        ({"vm_state": "error", "status": "ERROR"}, State.FAILED),
        ({"vm_state": "building", "status": "BUILD"}, State.UNKNOWN),
        ({"vm_state": "shelved_offloaded", "host": ""}, State.STOPPED),
        ({"vm_state": "no such state"}, State.UNKNOWN),
        ({"host": "gone"}, State.UNKNOWN),
    ],
)
def test_states(more: dict[str, Any], state: State) -> None:
    assert view_of(land(server(**more))).pool.instance("u1").state is state


def test_what_is_being_scheduled_is_not_shown() -> None:
    pool = view_of(land(server(host="", status="BUILD", vm_state="building"))).pool
    assert not len(pool.instances)
    assert any("being scheduled" in each.why for each in pool.gaps)


@pytest.mark.parametrize(
    ("more", "word", "fate"),
    [
        ({"locked": True}, "locked", Fate.WAITING),
        ({"task_state": "migrating"}, "Nova is at work on it: migrating", Fate.WAITING),
        ({"vm_state": "rescued"}, "rescued", Fate.WAITING),
        ({"vm_state": "error"}, "error", Fate.WAITING),
        ({"vm_state": "resized"}, "resize", Fate.LEFT),
        ({"vm_state": "resized", "task_state": "resize_confirming"}, "resize", Fate.LEFT),
        ({"metadata": {"billow_immovable": "licensed here"}}, "licensed here", Fate.LEFT),
    ],
)
def test_reasons_to_stay_and_whether_they_count_when_the_host_dies(
    more: dict[str, Any], word: str, fate: Fate
) -> None:
    pool = view_of(land(server(**more), shared_storage=True)).pool
    assert word in pool.instance("u1").immovable
    assert [each.fate for each in victims_of(pool, "h1")] == [fate]


@pytest.mark.parametrize(
    ("more", "shared", "disk"),
    [
        ({"image": "i1"}, False, Storage.OWN),
        ({"image": "i1"}, True, Storage.SHARED),
        ({"image": "", "volumes": frozenset({"v1"})}, False, Storage.SHARED),
        ({"image": "i1", "volumes": frozenset({"v1", "v2"})}, False, Storage.OWN),
    ],
)
def test_disks(more: dict[str, Any], *, shared: bool, disk: Storage) -> None:
    pool = view_of(land(server(**more), shared_storage=shared)).pool
    assert pool.instance("u1").disk is disk


def test_an_aggregate_says_more() -> None:
    said = {"billow:shared_disks": "true", "rack": "r1", "availability_zone": "az1"}
    fast = Aggregate(name="fast", uuid="a", hosts=frozenset({"h1"}), metadata=said)
    pool = view_of(land(server(image="i1"), aggregates=(fast,))).pool
    assert pool.instance("u1").disk is Storage.SHARED
    assert (pool.host("h1").rack, pool.host("h2").rack) == ("r1", "")
    assert [(f.subject, f.value) for f in pool.facts if f.key == "aggregate"] == [
        ("host/h1", "fast")
    ]


def test_where_a_server_asked_to_be() -> None:
    pool = view_of(land(server("a", pin="az1"), server("b", zone="az1"))).pool
    assert (pool.instance("a").zone, pool.instance("b").zone) == ("az1", "")


def test_soft_groups_are_left_to_nova() -> None:
    rows: list[dict[str, Any]] = [
        {"id": "g1", "name": "hard", "policy": "anti-affinity", "members": ["a"]},
        {"id": "g2", "name": "soft", "policy": "soft-affinity", "members": ["b"]},
        {"id": "g3", "name": "two", "policy": "anti-affinity", "members": ["b"],
         "rules": {"max_server_per_host": 2}},
        {"id": "g4", "name": "old", "policies": ["affinity"], "members": ["b"]},
        {"id": "g5", "name": "empty", "policy": "affinity", "members": []},
    ]  # fmt: skip
    view = view_of(land(server("a"), server("b"), groups=tuple(map(group_of, rows))))
    assert {group.name: group.rule for group in view.pool.groups} == {
        "hard": Rule.ANTI_AFFINITY,
        "old": Rule.AFFINITY,
    }
    assert view.groups["empty"] == "g5"
    assert sum("left to Nova" in each.why for each in view.pool.gaps) == 2


def test_ironic_machines_are_hosts() -> None:
    """Built by Ironic's API reference (1.65)."""
    nodes: tuple[dict[str, Any], ...] = (
        {"uuid": "n1", "name": "metal-1", "power_state": "power on", "provision_state": "active",
         "resource_class": "gold.large", "instance_uuid": "u1",
         "properties": {"cpus": "64", "memory_mb": 524288, "cpu_arch": "aarch64"}},
        {"uuid": "n2", "name": None, "power_state": "power off", "provision_state": "available",
         "maintenance": True, "maintenance_reason": "fan", "fault": "power failure",
         "properties": {}},
    )  # fmt: skip
    ironic = Hypervisor(uuid="n1", name="n1", host="ic", kind="ironic")
    view = view_of(
        land(
            server(host="ic", node="n1"),
            nodes=tuple(map(node_of, nodes)),
            services=(service("ic"),),
            hypervisors=(ironic,),
        )
    )
    metal, held, guest = view.pool.host("metal-1"), view.pool.host("n2"), view.pool.instance("u1")
    assert (metal.cpu_milli, metal.memory_mib, metal.arch) == (64_000, 524_288, Arch.AARCH64)
    assert (metal.power, metal.zone) == (Power.ON, "az1")
    assert "CUSTOM_GOLD_LARGE" in metal.traits
    assert metal.cordon == NOVAS_CHOICE
    assert not metal.schedulable
    assert (held.power, held.health, held.cordon) == (Power.OFF, Health.FAILED, "fan")
    assert (guest.kind, guest.host) == (Kind.BARE_METAL, "metal-1")
    assert guest.immovable
    assert not any("mapped" in each.why for each in view.pool.gaps)


def test_a_machine_that_bears_a_compute_of_its_name_is_called_by_its_id() -> None:
    """Where Ironic deploys the cloud's own computes; odd names may become one, too."""
    rows = [{"uuid": f"n{n}", "name": name} for n, name in enumerate(("h1", "a b", "a_b", "x"))]
    pool = view_of(land(nodes=tuple(map(node_of, rows)))).pool
    assert set(pool.hosts.id) == {"h1", "h2", "n0", "a_b", "n2", "x"}
    told = {each.subject for each in pool.facts if each.key == "ironic"}
    assert told == {"host/n0", "host/a_b", "host/n2", "host/x"}


@pytest.mark.parametrize(
    ("more", "power", "state"),
    [
        ({}, "power on", State.RUNNING),
        ({}, "power off", State.STOPPED),
        ({}, "error", State.RUNNING),
        ({"task_state": "rebooting"}, "power off", State.RUNNING),
        ({"vm_state": "error", "status": "ERROR"}, "power off", State.FAILED),
    ],
)
def test_a_server_does_not_run_on_a_machine_without_power(
    more: dict[str, Any], power: str, state: State
) -> None:
    """Nova may hear of it minutes later."""
    node = node_of({"uuid": "n1", "name": "metal-1", "power_state": power})
    there = server(host="ic", node="n1", **more)
    assert view_of(land(there, nodes=(node,))).pool.instance("u1").state is state


def test_from_2_88_on_hypervisors_say_nothing_of_capacity() -> None:
    row = {"id": "x", "hypervisor_hostname": "h1", "service": {"host": "h1"}, "uptime": None}
    assert hypervisor_of(row).vcpus == 0
    bare = tuple(replace(each, vcpus=0) for each in land().hypervisors)
    assert view_of(land(hypervisors=bare)).pool.host("h1").cpu_milli == 16_000


def test_a_leak_is_seen() -> None:
    sums = {"p-h1": Summary(used={"MEMORY_MB": 8192}), "p-h2": Summary(used={"MEMORY_MB": 1024})}
    found = [
        each for each in view_of(land(server(), summaries=sums)).pool.gaps if "MiB" in each.why
    ]
    assert [each.subject for each in found] == ["host/h2"]


def test_names_are_kept_while_their_bearers_live() -> None:
    names = Names()
    names.settle([("u1", "web"), ("u2", "web"), ("u3", "a name, with spaces"), ("u4", "u1")])
    assert names.given == {"u1": "web", "u2": "u2", "u3": "u3", "u4": "u1"}
    names.settle([("u2", "web"), ("u1", "web"), ("u5", "web")])
    assert names.given == {"u1": "web", "u2": "u2", "u5": "u5"}
    names.settle([("u2", "web"), ("u6", "web")])
    assert names.given == {"u2": "u2", "u6": "web"}
    assert names.owner("web") == "u6"


@given(st.text(max_size=300))
def test_any_text_becomes_an_id(text: str) -> None:
    assert plain(text) == "" if not text else valid(plain(text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        *("id", "uuid", "name", "flavor", "metadata", "hosts", "members", "policies", "specs"),
        *("extra_specs", "vcpus", "ram", "swap", "properties", "cpu_info", "topology", "service"),
        *("nodes", "host_node", "inventories", "resources", "traits", "provider_summaries"),
        *("total", "reserved", "allocation_ratio", "original_name", "rules", "status", "image"),
        *("attachments", "capabilities", "total_capacity_gb", "free_capacity_gb", "size"),
    ]
)
ROWS = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=4), max_size=8)


@settings(max_examples=40)
@given(ROWS)
def test_odd_rows_do_not_crash(row: dict[str, Any]) -> None:
    for read in (
        decode.service_of, decode.hypervisor_of, decode.provider_of, decode.inventories_of,
        decode.summaries_of, decode.aggregate_of, decode.flavor_of, decode.group_of,
        decode.image_of, decode.server_of, decode.topology_of, decode.node_of,
        decode.volume_of, decode.storage_pool_of, decode.storage_service_of,
    ):  # fmt: skip
        read(row)


@settings(max_examples=25)
@given(
    st.lists(ROWS, max_size=3), st.lists(ROWS, max_size=2), st.lists(ROWS, max_size=2), st.data()
)
def test_any_cloud_becomes_a_pool(
    servers: list[Any], flavors: list[Any], nodes: list[Any], data: st.DataObject
) -> None:
    """However odd the rows: no crash, every server with a host is shown once."""
    hosts = st.sampled_from(["h1", "h2", "h3", ""])
    found = {}
    for number, row in enumerate(servers):
        each = replace(server_of(row), uuid=f"u{number}", host=data.draw(hosts))
        found[each.uuid] = each
    names = Names()
    names.settle((each.uuid, each.name) for each in found.values())
    topologies = {
        uuid: Topology(nodes=data.draw(st.sampled_from([(), (0,), (1,), (0, 1), (3,)])))
        for uuid in found
    }
    bare = [replace(node_of(row), uuid=f"n{i}", name="") for i, row in enumerate(nodes)]
    view = view_of(
        land(
            servers=found,
            names=dict(names.given),
            topologies=topologies,
            nodes=tuple(bare),
            flavors=tuple(map(flavor_of, flavors)),
        )
    )
    shown = {each.id for each in view.pool.instance_views()}
    assert {names.given[u] for u, each in found.items() if each.host} <= shown


def test_a_group_of_one_name_in_two_projects() -> None:
    rows = [ServerGroup(uuid=u, name="web", policy="affinity", most_per_host=1,
                        members=frozenset({u[-1]})) for u in ("g-a", "g-b")]  # fmt: skip
    pool = view_of(land(server("a"), server("b"), groups=tuple(rows))).pool
    assert [pool.instance(name).group for name in "ab"] == ["web", "g-b"]
