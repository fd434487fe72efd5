# SPDX-License-Identifier: Apache-2.0
"""The README's example runs, and its table is the policy."""

import re
from pathlib import Path

import billow.capabilities.hotspot.plan as ours
from billow.capabilities.hotspot import HotspotPolicy
from billow.testing.pools import pool

README = Path(ours.__file__).with_name("README.md").read_text()


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {"sensed": pool("2 hosts x 64GiB 16c; 2 vms x 4GiB 2c spread")}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 (the example is ours)
    assert names["report"].name == "hotspot"  # type: ignore[attr-defined]


def test_the_table_names_every_knob_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\w.]+) \|", README, re.MULTILINE)
    assert dict(rows) == {
        name: f"{knob.default:g}" if isinstance(knob.default, int | float) else "none"
        for name, knob in HotspotPolicy.model_fields.items()
    }
