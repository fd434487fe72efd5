# SPDX-License-Identifier: Apache-2.0
"""The ./dev script: its help, its refusals, and that what it names is there."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ./dev as a person would."""
    command = [str(ROOT / "dev"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_help_names_every_command() -> None:
    result = dev("--help")
    assert result.returncode == 0
    for command in ("up", "test", "lint", "bench", "docs", "lock", "clean"):
        assert f"\n  {command} " in result.stdout


def test_unknown_command_is_refused_with_a_way_out() -> None:
    result = dev("fly")
    assert result.returncode == 2
    assert result.stdout == ""
    assert "no such command: fly" in result.stderr
    assert "./dev --help" in result.stderr
