# SPDX-License-Identifier: Apache-2.0
"""The wheel holds every file of the package: pages, scripts, migrations, firmware and types."""

import subprocess
import sys
import zipfile
from pathlib import Path

import billow

ROOT = Path(__file__).resolve().parents[2]


def test_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src/billow"]
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    there = [name for name in tracked.splitlines() if (ROOT / name).exists()]
    wheel = tmp_path / f"billow-{billow.__version__}-py3-none-any.whl"
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert "billow/py.typed" in packed
    assert {name.removeprefix("src/") for name in there} - packed == set()
