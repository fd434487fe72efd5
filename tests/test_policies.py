# SPDX-License-Identifier: Apache-2.0
"""Policies from the settings: the request wins over them, they win over the default."""

from pathlib import Path

import pytest
from pydantic import Field

from billow.capabilities.placement.plan import Placement
from billow.errors import Invalid, NotFound
from billow.model.plan import Proposal
from billow.model.policy import Policy
from billow.model.pool import Pool
from billow.policies import Policies, about, unit_of
from billow.settings import Settings
from tests.sample_report import Sample


class Bounds(Policy):
    """Knobs of every kind."""

    moves: int = Field(10, ge=1, description="How many.")
    full_share: float = Field(0.5, gt=0, lt=1, description="From when on.")
    names: frozenset[str] = Field(frozenset(), max_length=3, description="Which.")
    free: float = Field(1.0, description="Anything.")
    dirty_mib_s: float = Field(1.0, ge=0, le=10, description="How fast.")


class Bounded:
    """The capability: does nothing well."""

    name = "bounded"
    policy = Bounds

    def propose(self, pool: Pool, policy: Bounds, /) -> Proposal:
        """Propose nothing."""
        return Proposal(self.name)


ALL = (Placement(), Sample(), Bounded())


def test_the_request_wins_over_the_settings_and_they_over_the_default() -> None:
    policies = Policies(ALL, {"sample": {"rows": 7, "loud": True}})
    assert policies.of("sample").model_dump() == {"full_share": 0.5, "rows": 7, "loud": True}
    assert policies.of("sample", {"rows": 9}).model_dump()["rows"] == 9
    assert policies.of("placement") == Placement().policy()


def test_what_the_settings_name_must_exist() -> None:
    with pytest.raises(Invalid, match="'defrog', which is no capability") as caught:
        Policies(ALL, {"defrog": {}})
    assert "placement, sample" in caught.value.fix
    with pytest.raises(Invalid, match=r"\[policy.sample\] in the settings is not valid") as caught:
        Policies(ALL, {"sample": {"rows": 0, "lines": 3}})
    assert [each.partition(":")[0] for each in caught.value.details] == ["rows", "lines"]


def test_only_who_reports_is_among_the_reports() -> None:
    policies = Policies(ALL, {})
    assert "sample" in policies.reports
    assert "bounded" not in policies.reports
    with pytest.raises(NotFound, match="no report 'bounded'"):
        policies.reporting("bounded")
    with pytest.raises(NotFound, match="no capability 'x'"):
        policies.of("x")


def test_knobs_say_their_unit_range_and_present_value() -> None:
    knobs = {each.name: each for each in Policies(ALL, {"bounded": {"moves": 20}}).knobs("bounded")}
    assert {name: each.range for name, each in knobs.items()} == {
        "moves": "1 or more",
        "full_share": "over 0, under 1",
        "names": "3 at most",
        "free": "",
        "dirty_mib_s": "0 to 10",
    }
    assert [knobs["moves"].default, knobs["moves"].now, knobs["moves"].is_set] == [10, 20, True]
    assert knobs["dirty_mib_s"].unit == "MiB/s"
    assert knobs["names"].now == []
    assert not knobs["free"].is_set


def test_every_knob_of_every_capability_has_a_reason() -> None:
    policies = Policies(ALL, {})
    for name in policies.capabilities:
        assert about(policies.capability(name))
        assert all(knob.description for knob in policies.knobs(name))
    strategy = policies.knobs("placement")[0]
    assert (strategy.choices, strategy.range) == (("spread", "pack"), "spread | pack")


def test_units_come_from_the_end_of_the_name() -> None:
    assert unit_of("cool_down_s") == "s"
    assert unit_of("free_mib") == "MiB"
    assert unit_of("moves") == ""
    assert unit_of("rows") == ""


def test_billow_toml_holds_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "billow.toml").write_text('[policy.placement]\nstrategy = "pack"\n')
    monkeypatch.chdir(tmp_path)
    assert Settings().policy == {"placement": {"strategy": "pack"}}
    monkeypatch.setenv("BILLOW_POLICY", '{"placement": {"cpu_weight": 2}}')
    assert Settings().policy["placement"]["cpu_weight"] == 2
