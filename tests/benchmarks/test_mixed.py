# SPDX-License-Identifier: Apache-2.0
"""The replay of a day: control pays, and is no more than what stands in the figures."""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # benchmarks are no part of the package

from benchmarks.mixed import figures


def test_control_keeps_waits_low_and_hosts_busy() -> None:
    arguments = argparse.Namespace(hosts=3, hours=6.0, step=300.0, seed=11, trace=None)
    found = {figure.name: figure for figure in figures(arguments)}
    beside = "time that latency-sensitive instances wait with mixed, beside "
    waits, free = found[f"{beside}no batch at all"], found[f"{beside}batch without control"]
    assert waits.reached
    assert free.ratio is not None
    assert free.ratio > 3
    used = found["CPUs used with mixed, beside no batch"]
    assert used.ratio is not None
    assert used.ratio > 1.5
    assert used.value < 100
