# SPDX-License-Identifier: Apache-2.0
"""A real Cinder beside a real Nova: volumes are seen, hold their servers, and what leaks is found.

What the engine says of Nova is asked of Nova here, too: it fails where a server is held.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from labs.openstack import Lab
from labs.openstack.places import PROJECT
from labs.openstack.processes import until
from tests.engines.openstack.world import LabStand

from billow.act.clock import SystemClock
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.engine import OpenStackEngine
from billow.engines.openstack.read.volumes import volumes
from billow.engines.openstack.recover.amiss import Kind
from billow.engines.openstack.recover.survey import Survey
from billow.engines.openstack.sight import Sight
from billow.engines.openstack.transport import open_transport
from billow.errors import Denied
from billow.model.action import Evacuate, Fence, Migrate, Repair
from billow.openstack.storage import storage_report
from billow.testing.stand import do

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.openstack,
    pytest.mark.thorough,
    pytest.mark.xdist_group("openstack"),
]
CINDER = "block-storage"


@pytest.fixture
def lab(fresh_volumes: Lab) -> Lab:
    return fresh_volumes


@pytest.fixture
async def cloud(lab: Lab) -> AsyncIterator[Cloud]:
    opened = Cloud(open_transport("", 8), calls_at_once=8, calls_per_s=200)
    yield opened
    await opened.aclose()


@pytest.fixture
async def engine(lab: Lab, tmp_path: Path) -> AsyncIterator[OpenStackEngine]:
    opened = await LabStand(tmp_path, lab).open()
    yield opened
    await opened.aclose()


def volume(lab: Lab, uuid: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.client.get(CINDER, f"/volumes/{uuid}")["volume"]
    return found


def made(lab: Lab, name: str, gib: int = 10) -> str:
    """Make a volume, and wait until it is available."""
    body = {"volume": {"name": name, "size": gib}}
    new = str(lab.client.ask("POST", CINDER, "/volumes", body)["volume"]["id"])
    until(lambda: volume(lab, new)["status"] == "available", lambda: f"{name} is not available")
    return new


def attached(lab: Lab, server: str, name: str) -> str:
    """Make a volume and let Nova attach it to a server."""
    new = made(lab, name)
    path, body = f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": new}}
    lab.client.ask("POST", "compute", path, body)
    until(lambda: volume(lab, new)["status"] == "in-use", lambda: f"{name} is not attached")
    return new


def reset(lab: Lab, volume: str, **status: str) -> None:
    lab.client.ask("POST", CINDER, f"/volumes/{volume}/action", {"os-reset_status": status})


def homes(lab: Lab, uuid: str) -> list[str]:
    """Return on which hosts a volume is attached."""
    return [each["host_name"] for each in volume(lab, uuid)["attachments"]]


async def test_a_server_moves_with_its_volume(lab: Lab, engine: OpenStackEngine) -> None:
    first, second = lab.hosts[:2]
    disk = attached(lab, lab.seeding.booted("web", host=first), "data")
    assert (await engine.sense()).instance("web").immovable == ""
    move = Migrate(id="m", instance="web", source=first, target=second)
    assert await engine.blockers(move) == []
    await do(engine, move)
    assert (await engine.sense()).instance("web").host == second
    assert homes(lab, disk) == [second]
    assert volume(lab, disk)["status"] == "in-use"


async def test_a_server_of_a_dead_host_gets_its_volume_back(
    lab: Lab, engine: OpenStackEngine
) -> None:
    first, second = lab.hosts[:2]
    disk = attached(lab, lab.seeding.booted("web", host=first), "data")
    await do(engine, Fence(id="f", host=first))
    await do(engine, Evacuate(id="e", instance="web", source=first, target=second))
    assert (await engine.sense()).instance("web").host == second
    assert homes(lab, disk) == [second]
    lab.start(first)


@pytest.mark.parametrize("status", ["maintenance", "retyping", "backing-up", "error"])
async def test_a_volume_that_is_busy_holds_its_server_as_nova_would(
    status: str, lab: Lab, cloud: Cloud
) -> None:
    first, second = lab.hosts[:2]
    server = lab.seeding.booted("web", host=first)
    disk = attached(lab, server, "data")
    reset(lab, disk, status=status)
    pool = await Sight(cloud, SystemClock()).look()
    assert f"its volume data is {status}" in pool.instance("web").immovable
    order = {"os-migrateLive": {"host": second, "block_migration": "auto"}}
    lab.client.ask("POST", "compute", f"/servers/{server}/action", order)
    records = f"/os-migrations?instance_uuid={server}"

    def ended() -> bool:
        found = lab.client.get("compute", records)["migrations"]
        return bool(found) and found[0]["status"] in {"failed", "error", "completed"}

    until(ended, lambda: "Nova does not end the move")
    assert lab.client.get("compute", records)["migrations"][0]["status"] != "completed"
    assert homes(lab, disk) == [first]


async def test_moves_and_resizes_of_a_held_server_are_refused(
    lab: Lab, engine: OpenStackEngine
) -> None:
    first, second = lab.hosts[:2]
    disk = attached(lab, lab.seeding.booted("web", host=first), "data")
    reset(lab, disk, status="maintenance")
    assert "maintenance" in (await engine.sense()).instance("web").immovable
    move = Migrate(id="m", instance="web", source=first, target=second)
    assert any("maintenance" in each.reason for each in await engine.blockers(move))


def leaked(lab: Lab, host: str, disk: str, server: str) -> str:
    """Attach a volume to a server that does not know of it, as a lost detachment leaves it."""
    connector = {"host": host, "ip": "127.0.0.1", "initiator": "fake"}
    body = {"volume_uuid": disk, "instance_uuid": server, "connector": connector}
    found = lab.client.ask("POST", CINDER, "/attachments", {"attachment": body})
    made = str(found["attachment"]["id"])
    lab.client.ask("POST", CINDER, f"/attachments/{made}/action", {"os-complete": {}})
    return made


async def test_a_leaked_attachment_is_found_and_let_go(
    lab: Lab, cloud: Cloud, engine: OpenStackEngine
) -> None:
    first, second = lab.hosts[:2]
    kept = attached(lab, lab.seeding.booted("web", host=first), "kept")
    left = made(lab, "left")
    attachment = leaked(lab, first, left, str(uuid.uuid4()))
    survey = Survey(cloud, SystemClock())
    (ailment,) = await survey.ailments()
    assert (ailment.kind, ailment.id) == (Kind.ATTACHED_TO_NOBODY, attachment)
    assert (ailment.host, ailment.command) == (first, "")
    await do(engine, Repair(id="elsewhere", host=second))
    assert volume(lab, left)["status"] == "in-use"
    await do(engine, Repair(id="there", host=first))
    assert volume(lab, left)["status"] == "available"
    assert homes(lab, kept) == [first]
    assert await survey.ailments() == ()


async def test_what_a_person_must_decide_is_told_and_left(lab: Lab, cloud: Cloud) -> None:
    """Cinder has a volume attached to a living server, and Nova does not."""
    first = lab.hosts[0]
    server = lab.seeding.booted("web", host=first)
    disk = made(lab, "data")
    leaked(lab, first, disk, server)
    survey = Survey(cloud, SystemClock())
    (ailment,) = await survey.ailments()
    assert ailment.kind is Kind.ATTACHED_ELSEWHERE
    assert "attachment delete" in ailment.finding.text
    assert [each async for each in survey.repair(first)][-1].phase == "nothing was amiss"
    assert homes(lab, disk) == [first]


async def test_pools_are_in_the_report_and_what_is_down_holds_its_servers(
    lab: Lab, cloud: Cloud
) -> None:
    attached(lab, lab.seeding.booted("web", host=lab.hosts[0]), "data")
    report = storage_report(await Sight(cloud, SystemClock()).look())
    assert report is not None
    assert {row[0] for row in report.grids[0].rows} == {"lab@pools#fast", "lab@pools#slow"}
    assert report.figures["volumes"] == report.figures["attached"] == 1.0
    lab.service("cinder-volume").kill()

    def is_down() -> bool:
        found = lab.client.get(CINDER, "/os-services")["services"]
        return any(each["state"] == "down" for each in found)

    await asyncio.to_thread(until, is_down, lambda: "Cinder does not notice")
    pool = await Sight(cloud, SystemClock()).look()
    assert "nobody serves its volume data" in pool.instance("web").immovable
    report = storage_report(pool)
    assert report is not None
    assert "down: cinder-volume on lab@pools." in report.summary


async def test_an_old_name_in_the_catalogue_is_understood(lab: Lab) -> None:
    made(lab, "data")
    services = lab.client.get("identity", f"/services?type={CINDER}")["services"]
    path = f"/services/{services[0]['id']}"
    lab.client.ask("PATCH", "identity", path, {"service": {"type": "volumev3"}})
    try:
        cloud = Cloud(open_transport("", 8), calls_at_once=8, calls_per_s=200)
        assert [each.name for each in await volumes(cloud)] == ["data"]
        await cloud.aclose()
    finally:
        lab.client.ask("PATCH", "identity", path, {"service": {"type": CINDER}})


async def test_who_sees_one_project_only_is_told_so(lab: Lab) -> None:
    """Cinder ignores the wish to see all, without a word."""
    cloud = Cloud(open_transport(PROJECT, 8), calls_at_once=8, calls_per_s=200)
    body = {"volume": {"name": "own", "size": 1}}
    own = await cloud.call("POST", CINDER, "/volumes", body)
    made = own["volume"]["id"]
    until(lambda: volume(lab, made)["status"] == "available", lambda: "it is not available")
    with pytest.raises(Denied, match="one project only"):
        await volumes(cloud)
    await cloud.aclose()
