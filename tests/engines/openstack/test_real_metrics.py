# SPDX-License-Identifier: Apache-2.0
"""A real Gnocchi behind a real Keystone: what it was told that servers use is seen, and no more."""

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from labs.openstack import Lab
from labs.openstack.faults import Fault
from labs.openstack.metrics import MEANS, RATES
from tests.engines.openstack.world import LabStand

from billow.engines.openstack.engine import OpenStackEngine
from billow.model.instance import Instance
from billow.model.pool import Pool

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.openstack,
    pytest.mark.thorough,
    pytest.mark.xdist_group("openstack"),
]
GNOCCHI = "metric"
AN_HOUR_S = 3600.0


@pytest.fixture
def lab(fresh_metrics: Lab) -> Lab:
    return fresh_metrics


@pytest.fixture
async def engine(lab: Lab, tmp_path: Path) -> AsyncIterator[OpenStackEngine]:
    opened = await LabStand(tmp_path, lab).open()
    yield opened
    await opened.aclose()


@contextmanager
def refusing(lab: Lab) -> Iterator[None]:
    """Have Gnocchi's own policy let nobody look for servers while the block runs."""
    policy = lab.places.settings / "gnocchi" / "policy.yaml"
    policy.write_text('"search resource": "!"\n')
    try:
        yield
    finally:
        policy.unlink()


def use(instance: Instance) -> tuple[float, float]:
    """Return how much processor and memory an instance uses."""
    return instance.cpu_used_milli, instance.memory_used_mib


def is_unknown(instance: Instance) -> bool:
    return all(map(math.isnan, use(instance)))


def gaps(pool: Pool) -> list[str]:
    """Return what the pool says of use that could not be seen."""
    return [each.why for each in pool.gaps if each.subject == "use"]


async def test_what_servers_use_is_seen(lab: Lab, engine: OpenStackEngine) -> None:
    for name, cpus, memory_mib in (("half", 0.5, 512.0), ("full", 2.0, 3000.0)):
        server = lab.seeding.booted(name, "2c4g")
        lab.metrics.measured(server, cpus=cpus, memory_mib=memory_mib)
    lab.seeding.booted("unmeasured")
    pool = await engine.sense()
    assert use(pool.instance("half")) == pytest.approx((500, 512))
    assert use(pool.instance("full")) == pytest.approx((2000, 3000))
    assert is_unknown(pool.instance("unmeasured"))
    assert gaps(pool) == []


async def test_where_nothing_is_measured_nothing_is_amiss(
    lab: Lab, engine: OpenStackEngine
) -> None:
    lab.seeding.booted("web")
    pool = await engine.sense()
    assert is_unknown(pool.instance("web"))
    assert gaps(pool) == []


async def test_what_was_measured_an_hour_ago_is_not_so_now(
    lab: Lab, engine: OpenStackEngine
) -> None:
    server = lab.seeding.booted("web")
    lab.metrics.measured(server, cpus=0.5, memory_mib=512, ended_s_ago=AN_HOUR_S)
    assert is_unknown((await engine.sense()).instance("web"))


@pytest.mark.parametrize("policies", [("medium", "medium"), ("medium", MEANS), (RATES, "high")])
async def test_servers_of_other_archive_policies_hide_nobody(
    policies: tuple[str, str], lab: Lab, engine: OpenStackEngine
) -> None:
    """Of what has no granules in common Gnocchi tells nothing, if asked for it at once."""
    for name, kept in (("plain", (RATES, MEANS)), ("other", policies)):
        server = lab.seeding.booted(name)
        lab.metrics.measured(server, cpus=0.5, memory_mib=512, policies=kept)
    pool = await engine.sense()
    assert use(pool.instance("plain")) == pytest.approx((500, 512))
    assert use(pool.instance("other")) == pytest.approx((500, 512))


async def test_a_metric_without_means_is_told(lab: Lab, engine: OpenStackEngine) -> None:
    server = lab.seeding.booted("web")
    lab.metrics.measured(server, cpus=0.5, memory_mib=512, policies=(RATES, "bool"))
    pool = await engine.sense()
    assert "unknown aggregation" in "".join(gaps(pool))
    assert is_unknown(pool.instance("web"))


async def test_a_refusal_is_told(lab: Lab, engine: OpenStackEngine) -> None:
    lab.metrics.measured(lab.seeding.booted("web"), cpus=0.5, memory_mib=512)
    with refusing(lab):
        pool = await engine.sense()
    assert "answered 403" in "".join(gaps(pool))
    assert "Insufficient privileges" in "".join(gaps(pool))
    assert is_unknown(pool.instance("web"))
    assert gaps(await engine.sense()) == []


async def test_one_that_is_down_is_told(lab: Lab, engine: OpenStackEngine) -> None:
    lab.metrics.measured(lab.seeding.booted("web"), cpus=0.5, memory_mib=512)
    with lab.gates.struck(Fault(GNOCCHI, "POST", "/v1/aggregates", times=100)):
        pool = await engine.sense()
    assert "answered 503" in "".join(gaps(pool))
    assert is_unknown(pool.instance("web"))
    assert use((await engine.sense()).instance("web")) == pytest.approx((500, 512))


async def test_one_that_ended_is_told_and_asked_again(lab: Lab, engine: OpenStackEngine) -> None:
    lab.metrics.measured(lab.seeding.booted("web"), cpus=0.5, memory_mib=512)
    lab.service("gnocchi-api").kill()
    pool = await engine.sense()
    assert "does not answer" in "".join(gaps(pool))
    assert is_unknown(pool.instance("web"))
    lab.restart("gnocchi-api")
    assert use((await engine.sense()).instance("web")) == pytest.approx((500, 512))


async def test_who_shows_no_token_is_refused(lab: Lab) -> None:
    url = lab.places.url(GNOCCHI, "/v1/resource/instance")
    assert lab.client.raw("GET", url, {"X-Auth-Token": "made-up"}) == 401
    assert lab.client.raw("GET", url, {"X-Auth-Token": lab.client.log_in()}) == 200
