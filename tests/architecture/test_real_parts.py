# SPDX-License-Identifier: Apache-2.0
"""A missing real part leaves no silent gap: its tests are deselected aloud, or the run fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest

@pytest.mark.qemu
def test_with_qemu(): pass

def test_without(): pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return a folder with two small tests under this project's own conftest and settings."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tests").mkdir()
    for shared in (ROOT / "tests").glob("*.py"):
        if not shared.name.startswith("test_"):
            shutil.copy(shared, tmp_path / "tests")
    (tmp_path / "tests" / "test_small.py").write_text(TESTS)
    return tmp_path


def run(suite: Path, require: str) -> subprocess.CompletedProcess[str]:
    """Run the small suite on a machine that seems to have no QEMU."""
    bare = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment = bare | {"PATH": str(suite), "BILLOW_REQUIRE": require}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    return subprocess.run(
        command, cwd=suite, env=environment, capture_output=True, text=True, check=False
    )


def test_missing_part_deselects_its_tests_and_says_why(suite: Path) -> None:
    result = run(suite, "")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed, 1 deselected" in result.stdout
    assert "deselected: tests marked `qemu`: qemu-system-x86_64" in result.stdout


def test_missing_part_that_is_required_fails_the_run(suite: Path) -> None:
    result = run(suite, "qemu")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "required by BILLOW_REQUIRE, but qemu: qemu-system-x86_64" in result.stderr


def test_unknown_requirement_is_refused(suite: Path) -> None:
    result = run(suite, "quemu")
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "BILLOW_REQUIRE names no known part: quemu" in result.stderr
