# SPDX-License-Identifier: Apache-2.0
"""The README's example runs, and its table is the policy."""

import re
from pathlib import Path

import billow.capabilities.placement.plan as placement
from billow.capabilities.placement.policy import PlacementPolicy
from billow.testing.pools import pool

README = Path(placement.__file__).with_name("README.md").read_text()


def test_the_example_places_the_instance() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {"sensed": pool("2 hosts x 64GiB 16c")}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 (the example is ours)
    proposal = names["proposal"]
    assert [action.subject for action in proposal.actions] == ["instance/web1"]  # type: ignore[attr-defined]


def test_the_table_names_every_knob_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `?([\w.{}]+)`? \|", README, re.MULTILINE)
    defaults = {name: knob.default for name, knob in PlacementPolicy.model_fields.items()}
    assert {name: str(default) for name, default in rows} == {
        name: f"{default:g}" if isinstance(default, float) else str(default)
        for name, default in defaults.items()
    }
