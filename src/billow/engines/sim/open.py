# SPDX-License-Identifier: Apache-2.0
"""Settings become a simulated world: its pool from a file, of stated hosts, or made up."""

import asyncio
import gzip
import shutil
import socket
from pathlib import Path

from billow.engines.sim.arrivals import read_arrivals
from billow.engines.sim.engine import SimEngine
from billow.engines.sim.generate import generate
from billow.engines.sim.script import Script
from billow.engines.sim.setting import Setting
from billow.engines.sim.timing import Timing
from billow.engines.sim.trace import Recorded
from billow.engines.sim.usage import Diurnal, Usage
from billow.engines.sim.watched import Ear
from billow.errors import Invalid, NotFound
from billow.model.host import Host, Node
from billow.model.pool import Pool
from billow.ports import Clock
from billow.sense.files import read_pool
from billow.settings import Settings

WORLD_FILE = "sim/world.log"
"""Where a state folder keeps the world."""
PLAIN_CPUS, PLAIN_MEMORY_MIB = 16, 65_536


async def open_engine(settings: Settings, clock: Clock) -> SimEngine:
    """Find the world of the state folder, or begin one.

    Raises:
        NotFound: the pool's file or the script is not there.
        Invalid: one of them, or the kept world, cannot be read.
        Unavailable: the state folder cannot be written.
    """
    setting = Setting(
        timing=Timing(downtime_limit_s=settings.migration_downtime_s),
        script=_script(settings),
        usage=_usage(settings),
        arrivals=read_arrivals(_lines(settings.arrivals)) if settings.arrivals else (),
        speed=settings.speed,
    )
    state_path = settings.state_dir / WORLD_FILE
    ear = Ear(
        settings.ha_name or socket.gethostname(), settings.ha_beat_s * settings.ha_beats_missed
    )
    return SimEngine.open(
        lambda: first_pool(settings), clock, state_path=state_path, setting=setting, ear=ear
    )


async def remove_pool(settings: Settings) -> None:
    """Forget the world of the state folder. One that is not there is no error."""
    folder = (settings.state_dir / WORLD_FILE).parent
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def first_pool(settings: Settings) -> Pool:
    """Return the pool that a new world begins with. Does I/O when it is in a file.

    Raises:
        NotFound: there is no such file.
        Invalid: the file holds no pool.
    """
    if settings.pool_file is not None:
        return read_pool(settings.pool_file)
    if settings.host_cpus or settings.host_memory_mib:
        return _plain(settings)
    return generate(settings.hosts, seed=settings.seed)


def _plain(settings: Settings) -> Pool:
    """Return empty hosts, all alike, of the stated size."""
    cpus = settings.host_cpus or PLAIN_CPUS
    node = Node(cpus * 1000, settings.host_memory_mib or PLAIN_MEMORY_MIB)
    return Pool.build(Host(f"h{number + 1}", (node,)) for number in range(settings.hosts))


def _script(settings: Settings) -> Script:
    if settings.faults is None:
        return Script()
    return Script.parse("\n".join(_lines(settings.faults)))


def _usage(settings: Settings) -> Usage:
    """Return recorded use when a trace is given, in whichever form it has, else a daily pattern."""
    if settings.usage_trace is None:
        return Diurnal(settings.seed)
    lines = _lines(settings.usage_trace)
    head = lines[0] if lines else ""
    if head.startswith("time,"):
        return Recorded.read_csv(lines)
    names = first_pool(settings).instances.id
    if head.startswith("id,"):
        return Recorded.read_bitbrains(lines, names)
    return Recorded.read_planetlab(lines, names)


def _lines(path: Path) -> list[str]:
    """Read the lines of a file, packed with gzip or not. Raises NotFound, Invalid."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
            return file.read().splitlines()
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise Invalid(f"{path.name} is not text that can be read: {error}") from error
    except OSError as error:
        raise NotFound(
            f"{path.name} cannot be read: {error.strerror}", fix="name a file that is there"
        ) from error
