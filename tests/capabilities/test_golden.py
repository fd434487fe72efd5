# SPDX-License-Identifier: Apache-2.0
"""Golden cases of every capability: a pool, and as text the plan and the report that come of it.

A case is `NAME/cases/*.pool` beside its `.plan`. A line `# policy: knob=value ...` in a pool sets
the policy. `pytest tests/capabilities --regenerate-golden` writes the plans anew; read the
difference before you commit it.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from billow.catalog import CAPABILITIES
from billow.model.policy import Limits
from billow.model.text import parse
from billow.plan.compose import Stamp, compose
from billow.plan.explain import text
from billow.policies import parse_policy
from billow.ports import Capability

HERE = Path(__file__).parent
KNOWN = {each.name: type(each)() for each in CAPABILITIES}
"""Every capability, its stopwatch standing still."""
CASES = sorted(HERE.glob("*/cases/*.pool"))


def told(capability: Capability[Any], source: str) -> str:
    """Return the plan for a pool, without the digest that it is based on, and the report."""
    knobs = re.search(r"^# policy: (.*)$", source, re.MULTILINE)
    given = dict(knob.split("=") for knob in knobs[1].split()) if knobs else {}
    pool, policy = parse(source), parse_policy(capability, given)
    proposal = capability.propose(pool, policy)
    plan = compose(pool, [proposal], Limits(), Stamp("p1", title=capability.name))
    lines = [line for line in text(pool, plan).splitlines() if not line.startswith("based on ")]
    report = capability.report(pool, policy)  # type: ignore[attr-defined]  # all of ours report
    return "\n".join([*lines, f"report: {report.summary}"]) + "\n"


@pytest.mark.parametrize("name", KNOWN)
def test_every_capability_has_cases_and_no_plan_without_a_pool(name: str) -> None:
    cases = {case.stem for case in CASES if case.parts[-3] == name}
    assert len(cases) >= 3
    assert {plan.stem for plan in (HERE / name / "cases").glob("*.plan")} == cases


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parts[-3]}-{case.stem}")
def test_plan_and_report_read_as_before(case: Path, request: pytest.FixtureRequest) -> None:
    golden = case.with_suffix(".plan")
    found = told(KNOWN[case.parts[-3]], case.read_text())
    if request.config.getoption("--regenerate-golden"):
        golden.write_text(found)
    assert found == golden.read_text()
