# SPDX-License-Identifier: Apache-2.0
"""A host fails, in one way after another: what becomes of its instances, and what is proved."""

import asyncio
from pathlib import Path

import pytest

from billow.model.ha.evidence import NETWORKS, Hardware, Network, Symptom
from billow.model.ha.incident import Fate, Method, Phase
from billow.testing.pools import pool
from tests.ha.stand import stand

pytestmark = pytest.mark.anyio
POOL = "6 hosts x 64GiB 16c; a: 4 vms x 4GiB 2c on=h1; b: 2 vms x 4GiB 2c on=h2"
VICTIMS = ("a1", "a2", "a3", "a4")


async def test_instances_of_a_host_without_power_start_elsewhere_and_it_must_come_back_clean(
    tmp_path: Path,
) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        await held.until(lambda: True)
        held.fleet.die("h1")
        incident = await held.until_phase("h1", Phase.QUARANTINE)
        assert incident.proof is not None
        assert incident.proof.method is Method.BMC
        assert {each.fate for each in incident.victims} == {Fate.STARTED}
        homes = held.homes()
        assert all(homes[each] != "h1" for each in VICTIMS)
        assert homes["b1"] == "h2"
        assert held.lab.pool().host("h1").cordon.startswith("ha: ")
        await held.fleet.on("h1")
        closed = await held.until_phase("h1", Phase.CLOSED)
        assert ("h1", "clean") in held.fleet.orders
        assert closed.outcome == "back, and clean"
        await held.until(lambda: not held.lab.pool().host("h1").cordon)


async def test_a_silent_host_that_has_power_is_turned_off_first(tmp_path: Path) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        await held.until(lambda: True)
        held.fleet.silent["h1"] = NETWORKS
        await held.until_phase("h1", Phase.QUARANTINE)
        assert held.fleet.cuts == ["h1"]
        assert all(held.homes()[each] != "h1" for each in VICTIMS)


async def test_nothing_starts_elsewhere_while_nothing_is_proved(tmp_path: Path) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        await held.until(lambda: True)
        held.fleet.silent["h1"] = NETWORKS
        held.fleet.mute.add("h1")
        incident = await held.until_phase("h1", Phase.FENCING)
        held_for = ""
        while not held_for:
            await held.responder.turn()
            await asyncio.sleep(0.02)
            held_for = (await held.lab.store.incident(incident.id)).held
        assert all(held.homes()[each] == "h1" for each in VICTIMS)
        held.fleet.mute.clear()
        await held.until_phase("h1", Phase.QUARANTINE)


async def test_a_host_that_lost_its_storage_path_ends_its_instances_itself(tmp_path: Path) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        await held.until(lambda: True)
        held.fleet.silent["h1"] = (Network.STORAGE,)
        incident = await held.until_phase("h1", Phase.RECOVERING)
        assert incident.proof is not None
        assert incident.proof.method is Method.AGENT
        assert held.fleet.cuts == []
        assert ("h1", "fence") in held.fleet.orders


async def test_instances_without_a_tenant_path_are_moved_live(tmp_path: Path) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        await held.until(lambda: True)
        held.fleet.silent["h1"] = (Network.TENANT,)
        await held.until(lambda: all(held.homes()[each] != "h1" for each in VICTIMS))
        assert held.fleet.cuts == []
        assert held.fleet.orders == []
        held.fleet.silent.clear()
        closed = await held.until_phase("h1", Phase.CLOSED)
        assert closed.proof is None


async def test_a_host_that_will_fail_is_emptied(tmp_path: Path) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        await held.until(lambda: True)
        warned = Symptom("drive", "sda", Hardware.PREDICTED, "its own forecast says so", 0.0)
        held.fleet.symptoms["h1"] = (warned,)
        await held.until(lambda: all(held.homes()[each] != "h1" for each in VICTIMS))
        assert held.fleet.cuts == []


async def test_the_agent_of_a_host_that_booted_anew_proves_that_nothing_runs_there(
    tmp_path: Path,
) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        await held.until(lambda: True)
        held.fleet.silent["h1"] = NETWORKS
        held.fleet.mute.add("h1")
        await held.until_phase("h1", Phase.FENCING)
        held.fleet.reboot("h1")
        incident = await held.until_phase("h1", Phase.QUARANTINE)
        assert incident.proof is not None
        assert incident.proof.method is Method.AGENT
        assert held.fleet.orders[0] == ("h1", "fence")
        assert all(held.homes()[each] != "h1" for each in VICTIMS)
        assert held.fleet.cuts == []


async def test_an_agent_that_comes_first_is_admitted_without_an_incident(tmp_path: Path) -> None:
    async with stand(pool(POOL), tmp_path) as held:
        held.fleet.newcomers = {"h4"}
        await held.until(lambda: not held.fleet.newcomers)
        assert held.fleet.orders == [("h4", "clean")]
        assert await held.lab.store.incidents() == []
