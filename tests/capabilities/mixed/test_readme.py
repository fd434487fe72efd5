# SPDX-License-Identifier: Apache-2.0
"""The README's example runs, and its table is the policy."""

import re
from pathlib import Path

import billow.capabilities.mixed.plan as mixed
from billow.capabilities.mixed.policy import MixedPolicy
from billow.testing.pools import pool

README = Path(mixed.__file__).with_name("README.md").read_text()


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {"sensed": pool("2 hosts x 64GiB 16c; a: 2 vms x 4GiB 2c")}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102 (the example is ours)
    assert names["proposal"].actions == ()  # type: ignore[attr-defined]


def test_the_table_names_every_knob_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w.]+) \|", README, re.MULTILINE))
    knobs = {name: knob.default for name, knob in MixedPolicy.model_fields.items()}
    assert {name: float(default) for name, default in rows.items()} == knobs
