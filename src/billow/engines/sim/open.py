# SPDX-License-Identifier: Apache-2.0
"""Settings become a simulated world: its pool from a file, of stated hosts, or made up."""

from billow.engines.sim.engine import SimEngine
from billow.engines.sim.generate import generate
from billow.engines.sim.script import Script
from billow.engines.sim.setting import Setting
from billow.engines.sim.usage import Diurnal
from billow.errors import NotFound
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
    setting = Setting(script=_script(settings), usage=Diurnal(settings.seed), speed=settings.speed)
    state_path = settings.state_dir / WORLD_FILE
    return SimEngine.open(
        lambda: first_pool(settings), clock, state_path=state_path, setting=setting
    )


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
    try:
        return Script.parse(settings.faults.read_text())
    except OSError as error:
        raise NotFound(
            f"the script of faults cannot be read: {error.strerror}",
            fix="name a readable file in the setting faults",
        ) from error
