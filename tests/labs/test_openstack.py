# SPDX-License-Identifier: Apache-2.0
"""The lab of OpenStack: it is whole, its faults strike, its seeds are servers like others."""

import json
import re
import time
from collections.abc import Callable, Collection
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from labs.openstack import Lab

from labs.openstack.client import Client
from labs.openstack.contents import METAL_FLAVOR
from labs.openstack.faults import Fault
from labs.openstack.install import LOCK, lock_of
from labs.openstack.machines import OFF, ON
from labs.openstack.parts import PARTS
from labs.openstack.places import METAL_COMPUTE, VOLUMES, LabError, Places, Sizes, laid_out
from labs.openstack.processes import Process, living
from labs.openstack.services import apis, cores
from labs.openstack.settings import make_state_folders, write_settings

PATIENCE_S = 240.0


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def server(lab: "Lab", uuid: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.client.get("compute", f"/servers/{uuid}")["server"]
    return found


def host_of(lab: "Lab", uuid: str) -> str:
    return str(server(lab, uuid)["OS-EXT-SRV-ATTR:host"])


def running(lab: "Lab", uuid: str) -> list[str]:
    return [host for host, guests in lab.computes.guests().items() if uuid in guests]


def act(lab: "Lab", uuid: str, verb: str, **words: object) -> None:
    lab.client.ask("POST", "compute", f"/servers/{uuid}/action", {verb: words or None})


def move(lab: "Lab", uuid: str, host: str) -> None:
    act(lab, uuid, "os-migrateLive", host=host, block_migration="auto")


def moves(lab: "Lab", uuid: str) -> list[str]:
    found = lab.client.get("compute", f"/os-migrations?instance_uuid={uuid}")["migrations"]
    return [each["status"] for each in found]


def used(lab: "Lab", host: str) -> dict[str, int]:
    found = lab.client.get("placement", f"/resource_providers?name={host}")["resource_providers"]
    path = f"/resource_providers/{found[0]['uuid']}/usages"
    usages: dict[str, int] = lab.client.get("placement", path)["usages"]
    return usages


def test_a_lab_is_found_again_as_it_was_laid_out(tmp_path: Path) -> None:
    made = laid_out(tmp_path / "lab", sizes=Sizes(vcpus=8))
    again = laid_out(tmp_path / "lab")
    assert again == made
    assert len(set(made.ports.values())) == len(made.ports) == 13
    assert laid_out(tmp_path / "lab", parts=["volumes"]).parts == {"volumes"}
    assert laid_out(tmp_path / "lab").parts == {"volumes"}, "a part is for good"
    assert (tmp_path / "lab" / "lab.json").stat().st_mode & 0o077 == 0
    assert made.password not in repr(made)


def test_a_lab_gets_machines_and_keeps_them(tmp_path: Path) -> None:
    """With the first of them it has the part; it keeps the parts that it had."""
    laid_out(tmp_path / "lab", parts=["volumes"])
    for asked, machines in ((0, 0), (3, 3), (0, 3), (2, 3)):
        made = laid_out(tmp_path / "lab", metal=asked)
        assert made.metal == machines
        assert made.parts == ({"metal", "volumes"} if machines else {"volumes"})


def test_a_lab_of_before_a_part_was_known_has_a_port_for_it(tmp_path: Path) -> None:
    made = laid_out(tmp_path / "lab")
    plan = json.loads((tmp_path / "lab" / "lab.json").read_text())
    for part in PARTS.values():
        del plan["ports"][part.service]
    (tmp_path / "lab" / "lab.json").write_text(json.dumps(plan))
    assert laid_out(tmp_path / "lab").ports == made.ports


def test_parts_come_on_top_of_the_rest(tmp_path: Path) -> None:
    """Each lock pins what no other does, so that no installation undoes another."""
    for one, other in combinations((LOCK, *map(lock_of, PARTS)), 2):
        assert not _pins(one) & _pins(other)
    for name, part in PARTS.items():
        assert part.project in _pins(lock_of(name))


def _pins(lock: Path) -> set[str]:
    return set(re.findall(r"^([a-z0-9.-]+)==", lock.read_text(), re.MULTILINE))


def test_a_folder_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="too long"):
        laid_out(tmp_path / ("x" * 90))


def with_settings(folder: Path, computes: int, parts: Collection[str]) -> Places:
    """Write the settings of a lab whose OpenStack is not installed, but for what is copied."""
    places = laid_out(folder / "lab", folder / "venv", parts=parts)
    for service in ("nova", "neutron", "glance", "cinder"):
        (folder / "venv/etc" / service).mkdir(parents=True, exist_ok=True)
        (folder / "venv/etc" / service / "api-paste.ini").touch()
    (folder / "venv/etc/glance/glance-api-paste.ini").touch()
    write_settings(places, computes)
    return places


def test_settings_are_for_our_eyes_and_the_loopback_only(tmp_path: Path) -> None:
    places = with_settings(tmp_path, 200, PARTS)
    written = [each for each in places.settings.rglob("*.*") if each.suffix in (".conf", ".yaml")]
    assert len(written) == 12
    assert [each for each in written if each.stat().st_mode & 0o077] == []
    assert "bind-address = 127.0.0.1" in (places.settings / "database.cnf").read_text()
    assert "0.0.0.0" not in "".join(each.read_text() for each in written)  # noqa: S104
    assert "report_interval = 30" in (places.settings / "nova/nova.conf").read_text()


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_set_up_only_where_it_is_asked_for(tmp_path: Path, name: str) -> None:
    part = PARTS[name]
    for asked in ((), (name,)):
        places = with_settings(tmp_path, 4, asked)
        make_state_folders(places)
        nova = (places.settings / "nova/nova.conf").read_text()
        assert ("[cinder]" in nova) is (VOLUMES in asked)
        assert (places.settings / part.project).exists() is bool(asked)
        assert (places.state / part.project).exists() is bool(asked)
        assert (part.service in apis(places)) is bool(asked)
        assert (set(part.cores) <= set(cores(places))) is bool(asked)


def test_a_strangers_process_is_not_taken_for_ours(tmp_path: Path) -> None:
    ours = Process("sleeper", ["sleep", "60"], tmp_path, tmp_path)
    ours.start()
    number = ours.number()
    assert number is not None
    ours.start()
    assert ours.number() == number
    (tmp_path / "stranger.pid").write_text(f"{number} 1")
    assert living(tmp_path / "stranger.pid") is None
    ours.stop()
    assert ours.number() is None


@pytest.mark.openstack
@pytest.mark.thorough
class TestRunning:
    def test_is_whole(self, fresh_cloud: "Lab") -> None:
        assert fresh_cloud.check() == {}
        assert len(fresh_cloud.hosts) >= 6

    def test_up_again_changes_nothing(self, fresh_cloud: "Lab") -> None:
        before = fresh_cloud.service("nova-api").number(), fresh_cloud.computes.alive()
        fresh_cloud.up(6)
        assert (fresh_cloud.service("nova-api").number(), fresh_cloud.computes.alive()) == before

    def test_machines_are_put_right(self, fresh_machines: "Lab") -> None:
        machines = fresh_machines.machines
        first, second, third = machines.names
        machines.hold(first)
        machines.turn(second, OFF)
        machines.bear(second, str(uuid4()))
        machines.maintain(third, "a new fan")
        assert machines.states()[first] == (ON, "inspect wait")
        assert machines.node(third)["maintenance_reason"] == "a new fan"
        fresh_machines.restore()
        assert machines.states() == dict.fromkeys(machines.names, (ON, "available"))
        assert not any(machines.node(name)["instance_uuid"] for name in machines.names)
        assert fresh_machines.check() == {}

    def test_a_machine_is_deployed_and_comes_back(self, fresh_machines: "Lab") -> None:
        """By Nova's own driver for Ironic, whose compute is none of the lab's hosts."""
        lab = fresh_machines
        server = lab.seeding.booted("whole", METAL_FLAVOR)
        borne = {lab.machines.node(name)["instance_uuid"]: name for name in lab.machines.names}
        home = borne[server]
        assert lab.machines.states()[home] == (ON, "active")
        assert METAL_COMPUTE in lab.states()
        assert METAL_COMPUTE not in lab.hosts
        lab.up(len(lab.hosts))
        assert lab.machines.node(home)["instance_uuid"] == server, "nobody's server is removed"
        lab.seeding.delete([server])
        lab.machines.await_free(home)
        assert lab.machines.states()[home] == (ON, "available")
        lab.seeding.booted("left", METAL_FLAVOR)
        lab.restore()
        assert lab.machines.states() == dict.fromkeys(lab.machines.names, (ON, "available"))
        assert lab.check() == {}

    def test_a_guest_moves_and_is_never_doubled(self, fresh_cloud: "Lab") -> None:
        lab = fresh_cloud
        uuid = lab.seeding.booted("mover", "2c4g", "node001")
        assert running(lab, uuid) == ["node001"]
        move(lab, uuid, "node002")
        until(lambda: moves(lab, uuid) == ["completed"])
        assert host_of(lab, uuid) == "node002"
        assert running(lab, uuid) == ["node002"]
        until(lambda: used(lab, "node001")["VCPU"] == 0)
        assert used(lab, "node002")["VCPU"] == 2

    def test_a_move_that_is_told_to_fail_fails(self, fresh_cloud: "Lab") -> None:
        lab = fresh_cloud
        uuid = lab.seeding.booted("stays", "1c1g", "node001")
        lab.shape("node002", fail=["pre_live_migration"])
        move(lab, uuid, "node002")
        until(lambda: moves(lab, uuid) in (["failed"], ["error"]))
        lab.seeding.await_state(uuid, "ACTIVE")
        assert running(lab, uuid) == ["node001"]

    def test_a_slow_move_can_be_cancelled(self, fresh_cloud: "Lab") -> None:
        lab = fresh_cloud
        uuid = lab.seeding.booted("slow", "1c1g", "node001")
        lab.shape("node001", live_migrate_s=200)
        move(lab, uuid, "node002")
        until(lambda: moves(lab, uuid) == ["running"])
        path = f"/servers/{uuid}/migrations"
        number = lab.client.get("compute", path)["migrations"][0]["id"]
        lab.client.ask("DELETE", "compute", f"{path}/{number}")
        until(lambda: moves(lab, uuid) == ["cancelled"])
        assert running(lab, uuid) == ["node001"]

    def test_guests_outlive_an_agent_but_no_power_cut(self, fresh_cloud: "Lab") -> None:
        lab = fresh_cloud
        uuid = lab.seeding.booted("outlives", "1c1g", "node003")
        lab.kill("node003")
        assert "node003" not in lab.computes.alive()
        assert running(lab, uuid) == ["node003"]
        lab.start("node003")
        assert running(lab, uuid) == ["node003"]
        lab.power_cut("node003")
        assert running(lab, uuid) == []

    def test_a_dead_host_is_evacuated(self, fresh_cloud: "Lab") -> None:
        lab = fresh_cloud
        uuid = lab.seeding.booted("saved", "1c1g", "node004")
        lab.power_cut("node004")
        services = lab.client.get("compute", "/os-services?host=node004")["services"]
        path = f"/os-services/{services[0]['id']}"
        lab.client.ask("PUT", "compute", path, {"forced_down": True})
        act(lab, uuid, "evacuate", host="node005")
        until(lambda: moves(lab, uuid) == ["done"])
        assert running(lab, uuid) == ["node005"]

    def test_an_injected_answer_is_given_once(self, fresh_cloud: "Lab") -> None:
        fault = Fault("compute", "GET", "/flavors", status=503)
        with fresh_cloud.gates.struck(fault):
            with pytest.raises(LabError, match="503"):
                fresh_cloud.client.get("compute", "/flavors")
            assert fresh_cloud.client.get("compute", "/flavors")["flavors"]
        assert fresh_cloud.gates.hits(fault) == 1

    def test_a_lost_answer_is_of_a_call_that_was_carried_out(self, fresh_cloud: "Lab") -> None:
        fault = Fault("compute", "POST", "/servers$", status=500, done=True)
        with fresh_cloud.gates.struck(fault), pytest.raises(LabError, match="500"):
            fresh_cloud.seeding.boot("was-made")
        assert list(fresh_cloud.seeding.named("was-made").values()) == ["was-made"]
        until(lambda: fresh_cloud.seeding.named("was-made", "ACTIVE"))

    def test_calls_are_on_record(self, fresh_cloud: "Lab") -> None:
        fresh_cloud.gates.forget()
        fresh_cloud.client.get("compute", "/servers/detail")
        calls = fresh_cloud.gates.calls("compute", own=True)
        assert [(each["method"], each["path"], each["status"]) for each in calls] == [
            ("GET", "/v2.1/servers/detail", 200)
        ]
        assert fresh_cloud.gates.calls("compute") == []

    def test_tokens_that_expire_are_refused(self, fresh_cloud: "Lab") -> None:
        client = Client(fresh_cloud.places)
        token = client.log_in()
        fresh_cloud.expire_tokens()
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        url = fresh_cloud.places.url("compute", "/v2.1/flavors")
        answer = client.raw("GET", url, headers)
        assert answer == 401
        assert client.get("compute", "/flavors")["flavors"]
        assert fresh_cloud.seeding.booted("after-expiry")
        client.close()

    @pytest.mark.parametrize("part", ["nova-conductor", "rabbitmq", "nova-api"])
    def test_comes_back_after_a_crash_of(self, fresh_cloud: "Lab", part: str) -> None:
        fresh_cloud.restart(part)
        fresh_cloud.client.patient("compute", "/flavors")
        until(lambda: fresh_cloud.check() == {})  # some computes may count as down meanwhile
        assert fresh_cloud.seeding.booted(f"after-{part}")

    def test_seeds_are_servers_like_others(self, fresh_cloud: "Lab") -> None:
        lab = fresh_cloud
        made = lab.seeding.spread("seed-", 60, ("1c1g", "2c4g"))
        assert lab.seeding.named("seed-") == {uuid: name for name, uuid in made.items()}
        total = sum(used(lab, host)["VCPU"] for host in lab.computes.alive())
        flavors = [server(lab, uuid)["flavor"]["vcpus"] for uuid in made.values()]
        assert total == sum(flavors)
        uuid = made["seed-0000"]
        origin = host_of(lab, uuid)
        move(lab, uuid, "node006" if origin != "node006" else "node001")
        until(lambda: moves(lab, uuid) == ["completed"])
        act(lab, uuid, "os-stop")
        lab.seeding.await_state(uuid, "SHUTOFF")
        lab.seeding.delete([uuid])
        assert running(lab, uuid) == []

    def test_pinned_servers_are_not_copied(self, fresh_cloud: "Lab") -> None:
        numa = {"cells": 2, "threads": 2, "dedicated": 32, "pages": {"2048": 16384}}
        fresh_cloud.shape("node001", numa=numa)
        until(lambda: "PCPU" in used(fresh_cloud, "node001"))
        from labs.openstack.seeding import Seed

        with pytest.raises(LabError, match="cannot be copied"):
            fresh_cloud.seeding.plant([Seed("one", "pinned4", "node001")])
        uuid = fresh_cloud.seeding.booted("pinned", "pinned4")
        assert host_of(fresh_cloud, uuid) == "node001"
        assert used(fresh_cloud, "node001")["PCPU"] == 4
