# SPDX-License-Identifier: Apache-2.0
"""Golden cases: a pool with what is seen of it, and the plan that comes of it, as text.

`pytest tests/capabilities --regenerate-golden` writes the plans anew; read the difference before
you commit it.
"""

from pathlib import Path

import pytest

from billow.capabilities.hotspot import Hotspot, HotspotPolicy
from billow.model.policy import Limits
from billow.model.text import parse
from billow.plan.compose import Stamp, compose
from billow.plan.explain import text

CASES = sorted((Path(__file__).parent / "cases").glob("*.pool"))


def planned(source: str) -> str:
    """Return the plan for a pool as text, without the digest that it is based on."""
    pool = parse(source)
    proposal = Hotspot().propose(pool, HotspotPolicy())
    plan = compose(pool, [proposal], Limits(), Stamp("p1", title="hotspot"))
    kept = [line for line in text(pool, plan).splitlines() if not line.startswith("based on ")]
    return "\n".join(kept) + "\n"


def test_there_are_cases() -> None:
    assert len(CASES) >= 4


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_plan_reads_as_before(case: Path, request: pytest.FixtureRequest) -> None:
    golden = case.with_suffix(".plan")
    found = planned(case.read_text())
    if request.config.getoption("--regenerate-golden"):
        golden.write_text(found)
    assert found == golden.read_text()
