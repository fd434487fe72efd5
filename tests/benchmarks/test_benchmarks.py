# SPDX-License-Identifier: Apache-2.0
"""The measuring itself; what is measured is run by `./dev bench`."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))  # benchmarks are no part of the package

from benchmarks.figure import Better, Figure, Peer  # noqa: E402
from benchmarks.machine import in_fresh_process  # noqa: E402

KEYS = ["name", "value", "unit", "goal", "reached", "peer", "ratio"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("figure", "reached", "ratio"),
    [
        (Figure("t", 5, "s", goal=10, peer=Peer("p", 20)), True, 4.0),
        (Figure("t", 10, "s", goal=10), True, None),
        (Figure("t", 11, "s", goal=10, peer=Peer("p", 5.5)), False, 0.5),
        (Figure("t", 20, "1/s", goal=10, better=Better.HIGHER, peer=Peer("p", 5)), True, 4.0),
        (Figure("t", 9, "1/s", goal=10, better=Better.HIGHER), False, None),
        (Figure("t", math.nan, "s", goal=10), False, None),
        (Figure("t", 5, "s"), None, None),
        (Figure("t", 0, "s", peer=Peer("p", 1)), None, None),
    ],
)
def test_a_figure_knows_whether_it_is_good(
    figure: Figure, *, reached: bool | None, ratio: float | None
) -> None:
    assert figure.reached is reached
    assert figure.ratio == ratio
    assert list(figure.document()) == KEYS


def test_the_goal_is_written_with_its_sign() -> None:
    assert Figure("t", 1, "s", goal=0.5).document()["goal"] == "<= 0.5"
    assert Figure("t", 1, "s", goal=9, better=Better.HIGHER).document()["goal"] == ">= 9"


def test_the_list_names_every_benchmark_with_its_title() -> None:
    lines = dict(line.split("\t") for line in run("--list").stdout.splitlines())
    assert "pool" in lines
    assert all(lines.values())
    assert not lines.keys() & {"figure", "machine", "large_pool"}


def test_each_figure_is_one_line_and_the_machine_stands_beside() -> None:
    done = run("pool", "--json", "--hosts", "100", "--instances", "1000")
    figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(figure) == KEYS for figure in figures)
    assert len({figure["name"] for figure in figures}) == len(figures) > 5
    assert done.returncode == (0 if all(f["reached"] is not False for f in figures) else 1)
    assert "NumPy" in done.stderr
    assert "commit" in done.stderr


def test_a_benchmark_that_is_none_is_refused() -> None:
    done = run("figure")
    assert done.returncode == 2
    assert "pool" in done.stderr
    assert run().returncode == 2


def test_the_memory_of_a_fresh_process_is_its_own() -> None:
    ballast = bytearray(200 * 2**20)
    result, peak_mib = in_fresh_process('print("{}")')
    assert result == {}
    assert len(ballast) / 2**20 > peak_mib > 1
