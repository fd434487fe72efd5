# SPDX-License-Identifier: Apache-2.0
"""Who may import whom: the contracts of pyproject.toml hold, and a breach of each is seen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of this project over a `src` folder."""
    command = [
        str(LINT_IMPORTS),
        "--no-logo",
        "--no-cache",
        "--config",
        str(ROOT / "pyproject.toml"),
    ]
    environment = os.environ | {"PYTHONPATH": str(source)}
    return subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=False
    )


def test_contracts_hold() -> None:
    result = lint(ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("files", "contract"),
    [
        ({"utils/__init__.py": ""}, "Who may import whom"),
        ({"model/early.py": "import billow.plan"}, "Who may import whom"),
        ({"plan/dice.py": "import random"}, "The model and the planners"),
        ({"capabilities/rash/plan.py": "import time"}, "The model and the planners"),
        (
            {"capabilities/one/plan.py": "import billow.capabilities.two.plan"},
            "Capabilities do not know",
        ),
        ({"engines/one/engine.py": "import billow.engines.two.engine"}, "Engines do not know"),
        (
            {
                "model/left.py": "from billow.model import right",
                "model/right.py": "from billow.model import left",
            },
            "No cycles",
        ),
    ],
)
def test_breach_is_seen(tmp_path: Path, files: dict[str, str], contract: str) -> None:
    package = tmp_path / "billow"
    shutil.copytree(ROOT / "src" / "billow", package, ignore=shutil.ignore_patterns("__pycache__"))
    stranger = {name.replace("one", "two"): "" for name in files if "/one/" in name}
    for name, text in (files | stranger).items():
        for folder in reversed((package / name).relative_to(package).parents[:-1]):
            (package / folder).mkdir(exist_ok=True)
            (package / folder / "__init__.py").touch()
        (package / name).write_text(text)
    result = lint(tmp_path)
    broken = [line for line in result.stdout.splitlines() if "BROKEN" in line or contract in line]
    assert result.returncode == 1, result.stdout
    assert any(line.startswith(contract) for line in broken), result.stdout
