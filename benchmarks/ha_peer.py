# SPDX-License-Identifier: Apache-2.0
"""masakari-monitors 22 with Consul 1.8.7 on the same lab, beside Billow: how soon, and how right.

Only its monitor runs here: what it takes until its notification is what it takes at least. Its
engine then sleeps 180 s, as it is shipped, before it starts anything elsewhere.
"""

import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from labs.ha import consul, masakari
from labs.ha.faults import struck
from labs.ha.lab import Lab
from labs.ha.patience import until
from labs.ha.stage import Plan

from benchmarks.ha_drills import Guests, staged
from billow.model.ha.evidence import Network
from billow.model.ha.incident import Phase

HOSTS: Final = 4
FORMED_S: Final = 8.0
OBSERVED_S: Final = 30.0
_TESTS: Final = "tests/plan/ha/test_masakari.py"


@dataclass(frozen=True, slots=True)
class Compared:
    """Seconds, healthy hosts given up, and cases right.

    Attributes:
        shipped_s: Its time to the notification with its own and Consul's settings as shipped.
        quick_s: The same asking every second, with quick gossip.
        ours_s: Ours until the incident.
    """

    shipped_s: float
    quick_s: float
    ours_s: float
    wrong: int
    ours_wrong: int
    right: int
    ours_right: int


def compared(cache: Path) -> Compared:
    """Measure both. Raises LabError when one of the peers cannot be had."""
    python, program = masakari.program(cache / "masakari"), consul.program(cache / "consul")
    shipped_s, _ = _theirs(python, program, quick=False)
    quick_s, wrong = _theirs(python, program, quick=True)
    ours_s, ours_wrong = _ours()
    right = sum(masakari.cases(python).values())
    return Compared(shipped_s, quick_s, ours_s, wrong, ours_wrong, right, _ours_right())


def _theirs(python: Path, program: Path, *, quick: bool) -> tuple[float, int]:
    """Return when it told of a dead host, and how many healthy ones it gave up for a cut cable."""
    with tempfile.TemporaryDirectory(prefix="bha") as folder:
        lab = Lab.planned(Path(folder) / "lab", HOSTS, controllers=1)
        try:
            lab.up()
            consul.start(lab, program, lab.layout.nodes, quick=quick)
            time.sleep(FORMED_S)
            log = masakari.start(lab, python, 1 if quick else masakari.SHIPPED_S)
            time.sleep(3.0)
            start = time.monotonic()
            lab.power_off(lab.hosts[-1])
            until(lambda: bool(masakari.told(log, "STOPPED", start)), 150.0)
            told = masakari.told(log, "STOPPED", start)
            seconds = min(told.values(), default=math.inf) - start
            if not quick:
                return seconds, 0
            start = time.monotonic()
            with struck("link", lab, lab.controllers[0], networks=(Network.STORAGE,)):
                time.sleep(OBSERVED_S)
            return seconds, len(masakari.told(log, "STOPPED", start))
        finally:
            lab.down()


def _ours() -> tuple[float, int]:
    """Return when an incident stood, and how many healthy hosts were given up for a cut cable."""
    with staged(Plan(hosts=HOSTS, instances=1, beside=1, bmc="redfish")) as (stage, watch):
        watch.look()
        lives = Guests(stage, sorted({name for name, _ in watch.last}))
        with struck("link", stage.lab, stage.leader(), networks=(Network.STORAGE,)):
            time.sleep(OBSERVED_S)
        lives.look()
        acted = {each.host for each in stage.incidents() if each.phase is not Phase.NOTED}
        wrong = max(len(lives.spoke_at), len(acted))
        start, wall = time.monotonic(), time.time()
        stage.cut_power(stage.hosts[-1])
        host = stage.hosts[-1].name

        def stands() -> bool:
            return any(each.host == host and each.opened_at >= wall for each in stage.incidents())

        until(stands, 30.0)
        return time.monotonic() - start, wrong


def _ours_right() -> int:
    """Return in how many of the six situations Billow's own core does what is right."""
    words = ("-m", "pytest", "-q", _TESTS, "-k", " or ".join(f"masakari_{n}_" for n in range(1, 7)))
    done = subprocess.run(
        [sys.executable, *words, "-rA"], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    names = {f"test_masakari_{n}_" for n in range(1, 7)}
    failed = {
        name for name in names for line in lines if line.startswith("FAILED") and name in line
    }
    passed = {
        name for name in names for line in lines if line.startswith("PASSED") and name in line
    }
    return len(passed - failed)
