# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
import shlex
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from typer.testing import CliRunner

from billow.catalog import CAPABILITIES
from billow.cli.main import app
from billow.engines.openstack.cloud import Cloud
from billow.engines.openstack.transport import Answer, Request, Versions
from billow.errors import Invalid, NotFound
from billow.openstack.asked import MASAKARI, WATCHER, masakari_rows, watcher_rows
from billow.openstack.exported import Row, conf_in, flag, rows_in
from billow.openstack.imported import Imported, Setting, checked, merged, nested_of, toml
from billow.openstack.masakari import METHODS, from_masakari
from billow.openstack.masakari_conf import NOTHING, OTHERWISE
from billow.openstack.watcher import from_watcher
from billow.openstack.watcher_strategies import GOALS, STRATEGIES
from billow.policies import Policies
from billow.sense.files import write_pool
from tests.openstack.clouds import cloud

EXPORTS = Path(__file__).parent / "exports"
POLICIES = Policies(CAPABILITIES, {})


def masakari() -> Imported:
    rows = [*rows_in(EXPORTS / "segments.json"), *rows_in(EXPORTS / "hosts.json")]
    conf = {**conf_in(EXPORTS / "masakari.conf"), **conf_in(EXPORTS / "masakarimonitors.conf")}
    return from_masakari(rows, conf, cloud())


def watcher() -> Imported:
    return from_watcher([*rows_in(EXPORTS / "templates.json"), *rows_in(EXPORTS / "audits.json")])


def said(found: Imported) -> str:
    remarks = (*found.differs, *found.nothing)
    return "\n".join(f"{each.subject}: {each.text}" for each in remarks)


def test_masakari_becomes_settings() -> None:
    assert nested_of(checked(masakari(), POLICIES).settings) == {
        "ha_consul": {"management": "http://10.0.0.1:8500", "storage": "https://10.2.0.1:8500"},
        "policy": {
            "capacity": {"failures": 1},
            "ha": {"bmc_s": 50.0},
            "power": {"spare_hosts": 1},
        },
    }


def test_masakari_becomes_commands() -> None:
    commands = [each.command for each in masakari().errands]
    assert "billow host uncordon cmp-001" in commands
    assert any(each.startswith("billow host maintenance cmp-002 ") for each in commands)
    assert all(shlex.split(each)[0] == "billow" for each in commands)


def test_what_masakari_has_and_billow_has_not_is_told() -> None:
    text = said(masakari())
    for word in (
        *("evacuate_all_instances = false", "matrix_config_file", "[database]"),
        *("host_auto_failure_recovery_tasks", "rack-b, reserved_host", "17 hosts in no segment"),
        *("wait_period_after_service_update = 60", "hosts lie in az1, az2"),
    ):
        assert word in text


def test_a_segment_that_is_a_zone_is_one() -> None:
    pool = cloud()
    names = [name for row, name in enumerate(pool.hosts.id) if pool.hosts.zone[row] == "az1"]
    segment = {"name": "s", "uuid": "u", "recovery_method": "auto", "service_type": "COMPUTE"}
    hosts = [{"name": each, "control_attributes": "", "failover_segment_id": "u"} for each in names]
    assert "it is the zone az1" in said(from_masakari([segment, *hosts], {}, pool))


@pytest.mark.parametrize("method", METHODS)
def test_every_recovery_method_is_known(method: str) -> None:
    row = {"name": "s", "uuid": "u", "recovery_method": method}
    assert METHODS[method] in said(from_masakari([row], {}))


@pytest.mark.parametrize(
    "row", [{"name": "s", "recovery_method": "prayer"}, {"name": "x"}, {"goal_name": "dummy"}]
)
def test_what_masakari_cannot_have_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r"recovery method|neither"):
        from_masakari([row], {})


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="stonith_wait"):
        from_masakari([], {("host", "stonith_wait"): "soon"})


def test_an_option_that_masakari_does_not_know_is_told() -> None:
    assert "Masakari 22 does not know it" in said(from_masakari([], {("host", "magic"): "1"}))


@pytest.mark.parametrize("option", [*OTHERWISE, *NOTHING])
def test_every_option_has_its_words(option: tuple[str, str]) -> None:
    assert f"[{option[0]}] {option[1]} = 7" in said(from_masakari([], {option: "7"}))


def test_watcher_becomes_settings() -> None:
    assert nested_of(checked(watcher(), POLICIES).settings) == {
        "approved": ["hotspot"],
        "history_step_s": 300.0,
        "protected": ["6ae05517", "cmp-003"],
        "standing": {"hotspot": 3600.0, "power": 0.0},
        "policy": {
            "hotspot": {"cpu_hot_share": 0.6, "cpu_target_share": 0.54},
            "power": {"spare_hosts": 3},
        },
    }


def test_what_watcher_has_and_billow_has_not_is_told() -> None:
    text = said(watcher())
    for word in ("thermal_optimization", "backup_node = cmp-001", "free_used_percent", "period"):
        assert word in text
    assert "old" not in [each.subject.split(",")[0] for each in watcher().differs]
    assert watcher().read == ("templates 2", "audits 3", "audits that are over 1")


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_an_answer(name: str) -> None:
    row = {"name": "t", "goal_name": "unclassified", "strategy_name": name}
    found = checked(from_watcher([row]), POLICIES)
    assert STRATEGIES[name].otherwise in said(found)
    capability = STRATEGIES[name].capability
    assert not capability or capability in POLICIES.capabilities


@pytest.mark.parametrize("goal", GOALS)
def test_every_goal_has_an_answer(goal: str) -> None:
    assert said(from_watcher([{"name": "t", "goal_name": goal, "strategy_name": None}]))


@pytest.mark.parametrize(
    "row",
    [
        {"name": "t", "goal_name": "world_peace"},
        {"name": "t", "goal_name": "dummy", "strategy_name": "my_own"},
        {"name": "no audit"},
    ],
)
def test_what_watcher_does_not_have_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        from_watcher([row])


def test_goals_and_strategies_in_the_same_export_are_passed_over() -> None:
    rows = [{"name": "dummy", "display_name": "Dummy goal", "uuid": "1"}]
    assert from_watcher(rows).read == ()


@pytest.mark.parametrize("found", [masakari(), watcher()], ids=["masakari", "watcher"])
def test_what_is_written_is_toml_that_can_be_read_back(found: Imported) -> None:
    assert tomllib.loads(toml(found)) == nested_of(found.settings)
    assert max(map(len, toml(found).splitlines())) <= 130


def test_two_wishes_for_one_setting_become_one() -> None:
    paths = [Setting(("a",), 1, "x"), Setting(("a",), 3, "y"), Setting(("b",), ["2"], "z")]
    united = merged([*paths, Setting(("b",), ["1"], "z")])
    assert [(each.path, each.value) for each in united] == [(("a",), 3), (("b",), ["1", "2"])]
    assert united[0].why == "x; y"


def test_yaml_holds_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "segments.yaml"
    path.write_text(yaml.safe_dump(json.loads((EXPORTS / "segments.json").read_text())))
    assert rows_in(path) == rows_in(EXPORTS / "segments.json")


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.json", "{"), ("x.json", "7"), ("x.json", "[1]"), ("x.yaml", "a: [")],
)
def test_what_is_no_export_is_refused(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(Invalid):
        rows_in(path)


def test_what_is_no_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "masakari.conf"
    path.write_text("this = that\n")
    with pytest.raises(Invalid, match="no configuration file"):
        conf_in(path)
    with pytest.raises(NotFound):
        conf_in(tmp_path / "nobody.conf")


@pytest.mark.parametrize(("word", "is_true"), [(True, True), ("True", True), ("false", False)])
def test_flags_are_read_as_they_are_spelled(word: object, *, is_true: bool) -> None:
    assert flag(word) is is_true


def test_the_commands_import(tmp_path: Path) -> None:
    run, pool = CliRunner(), tmp_path / "north.pool"
    write_pool(cloud(), pool)
    files = [str(each) for each in (EXPORTS / "segments.json", EXPORTS / "masakari.conf")]
    out = tmp_path / "billow.toml"
    asked = ["openstack", "import-masakari", *files, "--pool", str(pool), "--out", str(out)]
    answer = run.invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    tomllib.loads(out.read_text())
    asked = ["openstack", "import-watcher", str(EXPORTS / "audits.json"), "--json"]
    document = json.loads(run.invoke(app, asked).stdout)
    assert (document["format"], document["source"]) == ("billow-import", "Watcher")


class _Apis:
    """A cloud with a Masakari behind `/v1/...` and a Watcher, as a transport."""

    name = "north"

    def __init__(self, answers: dict[str, object], services: Sequence[str]) -> None:
        self._answers = answers
        self._services = services

    def send(self, request: Request) -> Answer:
        assert request.method == "GET"
        found = self._answers.get(request.path)
        return Answer(404 if found is None else 200, json.dumps(found or {}).encode())

    def versions(self, service: str) -> Versions | None:
        return Versions((1, 0), (1, 3)) if service in self._services else None

    def close(self) -> None:
        pass


def _asked(
    answers: dict[str, object],
    ask: Callable[[Cloud], Awaitable[list[Row]]],
    services: Sequence[str] = (MASAKARI, WATCHER),
) -> list[Row]:
    async def run() -> list[Row]:
        there = Cloud(_Apis(answers, services), calls_at_once=2, calls_per_s=1000.0)
        try:
            return await ask(there)
        finally:
            await there.aclose()

    return asyncio.run(run())


def test_masakari_is_asked_over_its_api() -> None:
    hosts = json.loads((EXPORTS / "hosts.json").read_text())
    segments = json.loads((EXPORTS / "segments.json").read_text())
    answers: dict[str, object] = {"/segments": segments}
    for each in segments["segments"]:
        mine = [host for host in hosts if host["failover_segment_id"] == each["uuid"]]
        answers[f"/segments/{each['uuid']}/hosts"] = {"hosts": mine}
    rows = _asked(answers, masakari_rows)
    files = [*rows_in(EXPORTS / "segments.json"), *rows_in(EXPORTS / "hosts.json")]
    assert from_masakari(rows, {}) == from_masakari(files, {})


def test_watcher_is_asked_over_its_api() -> None:
    audits = json.loads((EXPORTS / "audits.json").read_text())
    answers = {"/v1/audit_templates/detail": {"audit_templates": []}, "/v1/audits/detail": audits}
    assert _asked(answers, watcher_rows) == audits["audits"]


def test_a_cloud_without_them_says_so() -> None:
    with pytest.raises(NotFound, match="has no Watcher"):
        _asked({}, watcher_rows, services=())
