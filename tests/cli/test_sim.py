# SPDX-License-Identifier: Apache-2.0
"""`billow sim fault`: it befalls a world that another process keeps, or nobody, with a reason."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from billow.act.clock import SystemClock
from billow.cli.main import app
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.open import open_engine
from billow.errors import Invalid, NotFound
from billow.model.ha.evidence import NETWORKS
from billow.model.kinds import Power
from billow.settings import Settings


def opened(folder: Path, speed: float = 1.0) -> SimEngine:
    settings = Settings(engine="sim", hosts=4, host_cpus=8, state_dir=folder, speed=speed)
    return asyncio.run(open_engine(settings, SystemClock()))


def fault(folder: Path, line: str) -> str:
    """Run the command; return what it printed."""
    done = CliRunner().invoke(app, ["sim", "fault", "--state", str(folder), *line.split()])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0
    return done.stdout


@pytest.mark.parametrize("speed", [1.0, 50.0])
def test_a_running_world_is_struck(tmp_path: Path, speed: float) -> None:
    """Whoever keeps the world, at whatever pace, sees what befell it, from now on."""
    engine = opened(tmp_path, speed)
    asyncio.run(engine.sense())
    assert (
        fault(tmp_path, "host h2 loses everything")
        == "host h2 loses management tenant storage: h2\n"
    )
    assert fault(tmp_path, "host h3 goes dark") == "host h3 goes dark: h3\n"
    assert fault(tmp_path, "all hardware predicted").endswith(": h1, h2, h3, h4\n")
    now = SystemClock().now()
    view = engine.view(now)
    lost = {host for host, heard in zip(view.hosts, view.heard_at, strict=True) if max(heard) < now}
    assert lost == {"h2", "h3"}
    assert len(view.reports["h1"].symptoms) == 1
    assert asyncio.run(engine.sense()).host("h3").power is Power.OFF
    assert engine._look().speed == speed, "the command leaves the pace alone"


def test_what_befalls_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no simulated world"):
        fault(tmp_path / "nowhere", "all freezes")
    engine = opened(tmp_path)
    with pytest.raises(Invalid, match="there is no host"):
        fault(tmp_path, "host h9 freezes")
    with pytest.raises(Invalid, match="not understood"):
        fault(tmp_path, "host h1 sulks")
    now = SystemClock().now()
    assert not engine.view(now).missed(now).any()
    assert len(NETWORKS) == engine.view(now).heard_at.shape[1]
