# SPDX-License-Identifier: Apache-2.0
"""masakari-monitors 22 from PyPI in an environment of its own: the peer on the same lab."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from labs.ha import consul, space
from labs.ha.lab import Lab
from labs.ha.space import LabError

from billow.model.ha.evidence import NETWORKS

VERSION: Final = "22.0.0"
SCRIPT: Final = Path(__file__).with_name("masakari_monitor.py")
SHIPPED_S: Final = 60
"""Its `monitoring_interval`, as it is shipped."""
ENGINE_WAITS_S: Final = 180
"""What its engine then sleeps before it evacuates anything, as it is shipped; not run here."""


def program(cache: Path) -> Path:
    """Return a Python with the package, installed from PyPI when it is not there yet.

    Raises LabError when it cannot be had.
    """
    python = cache / "bin" / "python"
    if not (cache / "ready").exists():
        for words in (
            (sys.executable, "-m", "venv", str(cache)),
            (str(python), "-m", "pip", "install", "-q", f"masakari-monitors=={VERSION}"),
        ):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise LabError(f"masakari-monitors cannot be had: {done.stderr.strip()[-300:]}")
        (cache / "ready").touch()
    return python


def start(lab: Lab, python: Path, interval_s: int) -> Path:
    """Let it watch from the first controller; return the file of what it tells."""
    node = lab.controllers[0]
    rings = (consul.address(node, each).removeprefix("http://") for each in NETWORKS)
    words = (str(python), "-I", "-W", "ignore", str(SCRIPT), "watch", str(interval_s), *rings)
    lab.start(node, "masakari", words)
    log = lab.folder(node) / "masakari.log"
    space.until(lambda: "BEGUN" in log.read_text(), "masakari-monitors does not start", 30)
    return log


def told(log: Path, event: str, since: float) -> dict[str, float]:
    """Return the hosts of which it told an event since an instant (monotonic), and when first."""
    found: dict[str, float] = {}
    for line in log.read_text().splitlines():
        if line.startswith("{"):
            entry = json.loads(line)
            if entry["event"] == event and entry["at"] >= since:
                found.setdefault(entry["host"], entry["at"])
    return found


def cases(python: Path) -> dict[str, bool]:
    """Return the six situations of which its rules are known to be wrong, and how it does."""
    said = space.run(str(python), "-I", "-W", "ignore", str(SCRIPT), "cases", timeout_s=120)
    found: dict[str, bool] = json.loads(said.splitlines()[-1])
    return found
